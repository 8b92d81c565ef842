"""From float32 to INT8, by static quantisation after training (ONNX Runtime, QDQ). A command:

    python -m online_tsm.quantize MODEL OUT.onnx --frames VIDEO ...

Weights become signed, with a scale a channel, activations unsigned; what ranges these have is seen
on real frames, stepped in float32 so that the states are real, too. Image, logits and states stay
float32, so OUT.onnx is a model like any other: `--model OUT.onnx`. Where INT8 throughout decides
otherwise too often and it comes nearer, a third of the layers stays in float32, too. How often it
decides as float32 does is told; nothing ever takes it by itself.
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

from models.card import CardError, ModelCard
from models.checkpoints import CheckpointError, load_model, read_card, resolve
from online_tsm.engine import Array, EngineError
from online_tsm.engine_onnx import OnnxEngine, open_session
from online_tsm.faithful import Faithfulness, compared, engine_logits, network_inputs
from online_tsm.frames import FramesError, read_frames
from online_tsm.fresh import SAMPLE
from online_tsm.graphs import PRECISION_KEY, SHARED_KEY, open_graph, write_atomically

AGREEMENT = 0.99  # share of frames with the decision of float32, below which a user is warned
CALIBRATION_FRAMES = 128  # of each video; as many others, in between, are compared
WEIGHED = ("Conv", "Gemm")  # layers with weights
# Of these the share, from the first on, that stays in float32: tried in turn until decisions agree.
# An early layer's rounding goes through all others.
SHARES = (0.0, 1 / 3)
DECIDING = 2  # last layers that then stay in float32 as well


def quantised(graph: Path | bytes, inputs: Array, share: float = 0.0) -> bytes:
    """The INT8 form of a stateful float32 graph, calibrated on the steps of one stream over
    `inputs` [T, 3, h, w]. `share` of its layers, from the first on, and if it is not 0 the last
    ones stay in float32."""
    with tempfile.TemporaryDirectory() as folder:
        folded, out = Path(folder) / "folded.onnx", Path(folder) / "int8.onnx"
        metadata = _fold(graph, folded)
        weighed = [node for node in onnx.load(folded).graph.node if node.op_type in WEIGHED]
        early = round(share * len(weighed))
        kept = weighed[:early] + weighed[-DECIDING:] if share else []
        fine = {node.input[1]: [{"axis": 0, "reduce_range": False,
                                 "quant_type": quantization.QuantType.QInt8}]
                for node in weighed if node not in kept and _depthwise(node)}
        quantization.quantize_static(
            folded, out, _Steps(folded, inputs), quant_format=quantization.QuantFormat.QDQ,
            per_channel=True, weight_type=quantization.QuantType.QInt8,
            activation_type=quantization.QuantType.QUInt8,
            # Weights of 7 bits: where a processor has no VNNI, sums of two products of 8 bits
            # overflow its 16 bits, and the answers are wrong. Depthwise layers sum in 32 bits.
            reduce_range=True, extra_options={"TensorQuantOverrides": fine},
            nodes_to_exclude=[node.name for node in kept] or None)
        model = onnx.load(out)
    del model.metadata_props[:]
    for key, value in {**metadata, PRECISION_KEY: "int8"}.items():
        if key != SHARED_KEY:  # the weights are inside now
            model.metadata_props.add(key=key, value=value)
    made: bytes = model.SerializeToString()
    return made


def _depthwise(node: onnx.NodeProto) -> bool:
    return any(field.name == "group" and field.i > 1 for field in node.attribute)


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


def make(graph: Path | bytes, card: ModelCard, frames: Sequence[Any]
         ) -> tuple[bytes, Faithfulness, float]:
    """The INT8 form with the least in float32 that decides as float32 does on enough frames, or
    else the one with the nearest logits: the graph, how it compares, and its share of `SHARES`.
    Every other frame calibrates, the ones between them are compared."""
    inputs = network_inputs(card, frames, len(frames))
    calibrating, comparing = inputs[0::2], inputs[1::2]
    tried: list[tuple[bytes, Faithfulness, float]] = []
    for share in SHARES:
        made = quantised(graph, calibrating, share)
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
    path = resolve(model)
    card = read_card(path)
    graph = path if path.suffix.lower() == ".onnx" else open_graph(
        path, card, lambda: load_model(path)[0], lambda graph: graph)
    frames = [frame for video in videos
              for frame in read_frames(video, limit=2 * CALIBRATION_FRAMES)]
    made, found, share = make(graph, card, frames)
    write_atomically(out, made)
    kept = f", the first {share:.0%} of the layers and the last {DECIDING} in float32"
    print(f"{out}: {len(made)} bytes{kept if share else ''}")
    print(f"decides as float32 on {found.agreement:.1%} of {len(frames) // 2} frames that it was "
          f"not calibrated on; logits off by up to {found.difference:.2g} of {found.scale:.2g}")
    if found.agreement < AGREEMENT:
        print(f"warning: fewer than {AGREEMENT:.0%}; expect other decisions than the model's own")


if __name__ == "__main__":
    command_line.run(main)
