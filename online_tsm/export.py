"""From a network to ONNX, with the state as inputs and outputs. A command, too:

    python -m online_tsm.export MODEL OUT.onnx
    python -m online_tsm.export MODEL.safetensors --beside

The second writes MODEL.onnx, a small graph whose weights are those of MODEL.safetensors: it names
each tensor's place in that file, so that the weights are stored once.
"""

from __future__ import annotations

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from models.card import CardError, ModelCard
from models.card_files import METADATA_KEY, card_to_json
from models.checkpoints import CheckpointError, load_model, resolve
from models.network import OnlineNetwork
from online_tsm.engine import EngineError
from online_tsm.graphs import (
    DIGEST_KEY,
    EXPORTER,
    GRAPH_KEY,
    SHARED_KEY,
    check_target,
    file_digest,
    graph_key,
    write_atomically,
)

OPSET = 17
TOLERANCE = 5e-4  # between torch and ONNX Runtime, for logits of ordinary size
VERIFY_STEPS = 16
BESIDE_LIMIT = 200_000  # bytes; a small graph that is larger holds weights after all


def export_network(network: OnlineNetwork, card: ModelCard, weights_digest: str,
                   verify_steps: int = VERIFY_STEPS) -> bytes:
    """The ONNX file of a network: frame, state_0, ... to logits, next_state_0, ...

    The batch is dynamic, the image size is the card's. The card travels in the metadata, with the
    weights' digest and the graph's key. Batch normalisation stays unfolded, so that the weights
    keep the network's names; ONNX Runtime folds it as it loads. The graph is compared with torch
    over `verify_steps` recurrent steps; raises EngineError where they differ.
    """
    model = onnx.load_model_from_string(_traced(network, card))
    _describe(model, card, weights_digest)
    graph: bytes = model.SerializeToString()
    verify(graph, network, card, verify_steps)
    return graph


def verify(graph: bytes | Path, network: OnlineNetwork, card: ModelCard, steps: int) -> float:
    """The largest difference between a graph's logits and torch's over recurrent steps of two
    streams, relative to the logits where these are above 1. Raises EngineError above 5e-4."""
    from online_tsm.engine_onnx import OnnxEngine, open_session

    engine = OnnxEngine(open_session(graph), card, "the exported graph")
    states = [engine.open_state(), engine.open_state()]
    expected_state = network.open_state(2, *card.input_size)
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(steps):
        frames = rng.standard_normal((2, 3, *card.input_size), np.float32)
        logits, states = engine.step(frames, states)
        with torch.inference_mode():
            expected, expected_state = network.step(torch.from_numpy(frames), expected_state)
        if not torch.isfinite(expected).all():
            raise EngineError(f"model {card.name!r} gives logits that are not finite numbers; its "
                              "weights are broken")
        scale = max(1.0, float(expected.abs().max()))
        worst = max(worst, float(np.abs(logits - expected.numpy()).max()) / scale)
    if not worst <= TOLERANCE:  # a NaN is no agreement either
        raise EngineError(f"the exported graph differs from torch by {worst:.2g} over {steps} "
                          f"steps; {TOLERANCE:g} is allowed")
    return worst


def share_weights(graph: bytes, weights: Path) -> bytes:
    """`graph` with its tensors replaced by their places in a .safetensors file beside it.

    Raises EngineError where a tensor is not in the file as float32, or too much would stay.
    """
    model = onnx.load_model_from_string(graph)
    places = _places(weights)
    content = weights.read_bytes()
    for tensor in model.graph.initializer:
        name = tensor.name.removeprefix("network.")
        if name not in places:
            continue
        start, length = places[name]
        if content[start:start + length] != tensor.raw_data:
            raise EngineError(f"{weights.name}: {name} is not stored as the float32 numbers that "
                              "the network uses, so its graph cannot share them")
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", weights.name), ("offset", start), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
    model.metadata_props.add(key=SHARED_KEY, value=weights.name)
    small: bytes = model.SerializeToString()
    if len(small) > BESIDE_LIMIT:
        raise EngineError(f"the graph beside {weights.name} would still hold {len(small)} bytes: "
                          "not all of the weights are stored there as float32")
    return small


class _Step(nn.Module):
    """One step with the state spread over the arguments, as ONNX wants it."""

    def __init__(self, network: OnlineNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, frame: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        logits, after = self.network.step(frame, state)
        return (logits, *after)


def _traced(network: OnlineNetwork, card: ModelCard) -> bytes:
    state = network.open_state(1, *card.input_size)
    inputs = ["frame", *(f"state_{i}" for i in range(len(state)))]
    outputs = ["logits", *(f"next_state_{i}" for i in range(len(state)))]
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # that this exporter is old, and that shapes are fixed
        torch.onnx.export(
            _Step(network).eval(), (torch.zeros(1, 3, *card.input_size), *state),
            file,  # type: ignore[arg-type]  # this exporter writes into memory, too
            dynamo=False, opset_version=OPSET, input_names=inputs, output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in inputs + outputs},
            training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
    return file.getvalue()


def _describe(model: Any, card: ModelCard, weights_digest: str) -> None:
    facts = {
        METADATA_KEY: card_to_json(card),
        DIGEST_KEY: weights_digest,
        "exporter": f"online_tsm {EXPORTER}, torch {torch.__version__}",
        GRAPH_KEY: graph_key(card, weights_digest),  # last: a file that was cut off lacks it
    }
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)


def _places(weights: Path) -> dict[str, tuple[int, int]]:
    """Name to (offset, length) in bytes of every float32 tensor in a .safetensors file.

    The format: eight bytes of length, that much JSON, then the tensors.
    """
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    return {
        name: (8 + length + entry["data_offsets"][0],
               entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m online_tsm.export",
                                     description="Write a network as a stateful ONNX file.")
    parser.add_argument("model", help="a model's name or checkpoint file")
    parser.add_argument("out", type=Path, nargs="?", help="the .onnx file to write")
    parser.add_argument("--beside", action="store_true",
                        help="write a small graph beside the .safetensors file, with its weights")
    parser.add_argument("--verify-steps", type=int, default=VERIFY_STEPS,
                        help="recurrent steps compared with torch (default %(default)s)")
    parser.add_argument("--card", type=Path, help="a YAML card for the checkpoint")
    parser.add_argument("--trust-checkpoint", action="store_true",
                        help="allow a checkpoint that runs code as it loads")
    args = parser.parse_args(arguments)
    if args.beside == (args.out is not None):
        parser.error("give either OUT.onnx or --beside")
    if args.verify_steps < 1:
        parser.error("--verify-steps must be at least 1")
    try:
        _export(args)
    except (CardError, CheckpointError, EngineError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _export(args: argparse.Namespace) -> None:
    path = resolve(args.model)
    if path.suffix.lower() == ".onnx":
        raise EngineError(f"{path.name} is an ONNX file already")
    if args.beside and path.suffix.lower() != ".safetensors":
        raise EngineError(f"--beside shares the weights of a .safetensors file, which "
                          f"{path.name} is not; convert it first: python -m models.convert")
    out = path.with_suffix(".onnx") if args.beside else args.out
    check_target(out)
    network, card = load_model(path, card_file=args.card, trust=args.trust_checkpoint)
    graph = export_network(network, card, file_digest(path), args.verify_steps)
    if args.beside:
        graph = share_weights(graph, path)
    try:
        write_atomically(out, graph)
    except OSError as error:
        raise EngineError(f"{out} cannot be written: {error.strerror or error}") from error
    worst = verify(out, network, card, args.verify_steps)
    print(f"{out}: {len(graph)} bytes, within {worst:.1g} of torch over {args.verify_steps} steps")


if __name__ == "__main__":
    command_line.run(main)
