"""From float32 to INT8, by static quantisation after training (ONNX Runtime, QDQ). A command:

    python -m online_tsm.quantize MODEL OUT.onnx --frames VIDEO ...

Weights become signed, with a scale a channel, activations unsigned; what ranges these have is seen
on real frames, stepped in float32 so that the states are real, too. Image, logits and states stay
float32, so OUT.onnx is a model like any other: `--model OUT.onnx`. Where INT8 throughout decides
otherwise too often and it comes nearer, a third of the network stays in float32, too, or half or
two thirds of it. How often it decides as float32 does is told; nothing ever takes it by itself.
"""

from __future__ import annotations

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization
from tqdm import tqdm

from models.card import CardError, ModelCard
from models.checkpoints import CheckpointError, load_model, read_card, resolve
from online_tsm.engine import Array, EngineError, open_engine
from online_tsm.engine_onnx import OnnxEngine, open_session
from online_tsm.equalise import equalised
from online_tsm.export import export_network
from online_tsm.faithful import Faithfulness, compared, engine_logits, network_inputs
from online_tsm.frames import FramesError, read_frames
from online_tsm.fresh import SAMPLE
from online_tsm.graphs import (
    GRAPH_KEY,
    PRECISION_KEY,
    SHARED_KEY,
    check_target,
    file_digest,
    open_graph,
    write_atomically,
)

AGREEMENT = 0.99  # share of frames with the decision of float32, below which a user is warned
CALIBRATION_FRAMES = 128  # of each video; as many others, in between, are compared
WEIGHED = ("Conv", "Gemm")  # layers with weights
# Of these the share, from the first on, that stays in float32: tried in turn until decisions agree.
# An early layer's rounding goes through all others.
SHARES = (0.0, 1 / 3, 1 / 2, 2 / 3)
DECIDING = 2  # last layers that then stay in float32 as well
# Where a processor has no VNNI, products of weights and activations of 8 bits are summed two by two
# in 16 bits, and what does not fit is cut off: 255 * 128 does, 255 * 127 + 255 * 127 does not.


def quantised(graph: Path | bytes, inputs: Array, share: float = 0.0) -> bytes:
    """The INT8 form of a stateful float32 graph, calibrated on the steps of one stream over
    `inputs` [T, 3, h, w]. What comes before `share` of its layers, and if that is not 0 the last
    ones, stay in float32."""
    with tempfile.TemporaryDirectory() as folder:
        folded, out = Path(folder) / "folded.onnx", Path(folder) / "int8.onnx"
        metadata = _fold(graph, folded)
        model = onnx.load(folded)
        kept = _kept(model, share)
        quantization.quantize_static(
            folded, out, _Steps(folded, inputs), quant_format=quantization.QuantFormat.QDQ,
            per_channel=True, weight_type=quantization.QuantType.QInt8,
            activation_type=quantization.QuantType.QUInt8, nodes_to_exclude=kept or None,
            reduce_range=True,  # 7 bits for weights without a range of their own: those of MatMul
            extra_options={"TensorQuantOverrides": _weight_ranges(model, kept)})
        model = onnx.load(out)
    del model.metadata_props[:]
    for key, value in {**metadata, PRECISION_KEY: "int8"}.items():
        # The weights are inside now; and beside its checkpoint, nothing takes it for float32.
        if key not in (SHARED_KEY, GRAPH_KEY):
            model.metadata_props.add(key=key, value=value)
    made: bytes = model.SerializeToString()
    return made


def _kept(model: onnx.ModelProto, share: float) -> list[str]:
    """The names of the nodes that stay in float32; not layers alone: streams keep their sums."""
    nodes = list(model.graph.node)
    layers = [place for place, node in enumerate(nodes) if node.op_type in WEIGHED]
    early = round(share * len(layers))
    if not early:
        return []
    return [node.name for node in nodes[:layers[early]] + nodes[layers[-DECIDING]:]]


def _weight_ranges(model: onnx.ModelProto, kept: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The quantiser's overrides: how large a weight 127 stands for, for each output channel."""
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    ranges: dict[str, list[dict[str, Any]]] = {}
    for node in model.graph.node:
        if node.op_type in WEIGHED and node.name not in kept and node.input[1] in values:
            weights = onnx.numpy_helper.to_array(values[node.input[1]])
            axis = int(node.op_type == "Gemm" and not _attribute(node, "transB"))
            depthwise = weights.shape[1] == 1 and _attribute(node, "group") == len(weights)
            ranges[node.input[1]] = [
                {"axis": axis, "quant_type": quantization.QuantType.QInt8, "symmetric": True,
                 "reduce_range": False, "rmin": -largest, "rmax": largest}
                for largest in safe_ranges(np.moveaxis(weights, axis, 0), summed=not depthwise)]
    return ranges


def safe_ranges(weights: Array, summed: bool) -> Array:
    """How large a weight of each output channel [O] 127 may stand for. `weights` are [O, I] or
    [O, I, h, w]; where they are `summed` over I, two neighbours of one sign never exceed 128
    together, in whichever order places and channels are gone through."""
    alone = np.abs(weights).reshape(len(weights), -1).max(1)
    found = [alone]
    orders = [weights, np.moveaxis(weights, 1, -1)] if summed else []
    for order in orders:
        row = order.reshape(len(weights), -1)
        for sign in (1, -1):
            signed = np.maximum(sign * row, 0)
            found.append((signed[:, 1:] + signed[:, :-1]).max(1, initial=0))
    largest: Array = np.maximum(np.stack(found).max(0), np.float32(1e-6))
    return largest


def _attribute(node: onnx.NodeProto, name: str) -> int:
    return next((field.i for field in node.attribute if field.name == name), 0)


def _fold(graph: Path | bytes, out: Path) -> dict[str, str]:
    """Writes the graph with its batch normalisation folded, one file. Returns its metadata."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    # Weights that lie in another file are read first: the folded graph would point beside itself.
    whole = graph if isinstance(graph, bytes) else onnx.load(graph).SerializeToString()
    session = onnxruntime.InferenceSession(whole, options, providers=["CPUExecutionProvider"])
    model = onnx.load(out)
    for number, node in enumerate(model.graph.node):  # the quantiser tells nodes by their names
        node.name = node.name or f"{node.op_type}_{number}"
    onnx.save(model, out)
    metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
    return metadata


class _Steps(quantization.CalibrationDataReader):  # type: ignore[misc]  # it has no types
    """Every input of the graph, image and states, as one stream's steps in float32 give them."""

    def __init__(self, graph: Path, inputs: Array) -> None:
        self._feeds = self._step(open_session(graph), inputs)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._feeds, None)

    def _step(self, session: Any, inputs: Array) -> Iterator[dict[str, Array]]:
        names = [node.name for node in session.get_inputs()]
        states = [np.zeros((1, *node.shape[1:]), np.float32) for node in session.get_inputs()[1:]]
        for frame in inputs:
            feed = dict(zip(names, [frame[None], *states], strict=True))
            yield feed
            states = session.run(None, feed)[1:]


def compare(graph: Path | bytes, int8: bytes, card: ModelCard, inputs: Array) -> Faithfulness:
    """The INT8 graph against the float32 one, over the steps of one stream."""
    engines = [OnnxEngine(open_session(g), card, "the graph") for g in (graph, int8)]
    exact, rounded = (engine_logits(engine, inputs) for engine in engines)
    return compared(rounded, exact)


def make(graph: Path | bytes, even: Path | bytes, card: ModelCard, inputs: Array
         ) -> tuple[bytes, Faithfulness, float]:
    """The INT8 form with the least in float32 that decides as float32 does on enough frames, or
    else the one with the nearest logits: the graph, how it compares, and its share of `SHARES`.

    `even` computes what `graph` does, and is what is rounded (`equalise`). Every other one of the
    `inputs` [T, 3, h, w] calibrates, the ones between them are compared.
    """
    calibrating, comparing = inputs[0::2], inputs[1::2]
    tried: list[tuple[bytes, Faithfulness, float]] = []
    for share in tqdm(SHARES, unit="form", desc="INT8 forms", leave=False,
                      disable=None):
        made = quantised(even, calibrating, share)
        found = compare(graph, made, card, comparing)
        tried.append((made, found, share))
        if found.agreement >= AGREEMENT:
            return tried[-1]
    return min(tried, key=lambda one: one[1].difference)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m online_tsm.quantize",
                                     description="Write a network as an INT8 ONNX file.")
    parser.add_argument("model", help="a model's name or checkpoint file")
    parser.add_argument("out", type=Path, help="the .onnx file to write")
    parser.add_argument("--frames", nargs="+", default=[str(SAMPLE)], metavar="VIDEO",
                        help="videos of people as the camera will see them (default: the sample)")
    args = parser.parse_args(arguments)
    # The quantiser logs advice that is not for users, straight to the root logger.
    logging.getLogger().addFilter(_no_advice)
    try:
        _quantise(args.model, args.out, args.frames)
    except (CardError, CheckpointError, EngineError, FramesError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        logging.getLogger().removeFilter(_no_advice)
    return 0


def _no_advice(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _quantise(model: str, out: Path, videos: Sequence[str]) -> None:
    check_target(out)
    path = resolve(model)
    card = read_card(path)
    if (path.suffix.lower() == ".onnx"
            and open_engine(path, "onnxruntime", "cpu").precision == "int8"):
        raise EngineError(f"{path} is INT8 already; give the model that it was made of")
    frames = [frame for video in videos
              for frame in read_frames(video, limit=2 * CALIBRATION_FRAMES)]
    if len(frames) < 2:
        raise FramesError(f"{videos[0]} has a single frame; one calibrates, others are compared: "
                          "give a video of people as the camera will see them")
    inputs = network_inputs(card, frames, len(frames))
    graph: Path | bytes = path
    even: Path | bytes = path
    if path.suffix.lower() != ".onnx":
        network, _ = load_model(path)
        graph = open_graph(path, card, lambda: network, lambda graph: graph)
        even = export_network(equalised(network, inputs[0::2]), card, file_digest(path))
    made, found, share = make(graph, even, card, inputs)
    write_atomically(out, made)
    kept = f", the first {share:.0%} of the network and its last {DECIDING} layers in float32"
    print(f"{out}: {len(made)} bytes{kept if share else ''}")
    print(f"decides as float32 on {found.agreement:.1%} of {len(frames) // 2} frames that it was "
          f"not calibrated on; logits off by up to {found.difference:.2g} of {found.scale:.2g}")
    if found.agreement < AGREEMENT:
        print(f"warning: fewer than {AGREEMENT:.0%}; expect other decisions than the model's own")


if __name__ == "__main__":
    command_line.run(main)
