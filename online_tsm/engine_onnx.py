"""The engine on ONNX Runtime: CPU or CUDA, our own graphs and foreign ones. Imports no torch.

A graph serves if it has n inputs and n outputs (n > 1) of which the first pair is image and
logits and every other pair, of equal shapes, one piece of state: what comes out of one step goes
into the next.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from models.card import ModelCard
from online_tsm.engine import Array, EngineError, State, check_step
from online_tsm.graphs import check_shared, open_graph

log = logging.getLogger(__name__)

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
FATAL, ERROR = 4, 3  # ONNX Runtime's log severities


def open_onnx(path: Path, card: ModelCard, want_cuda: bool, threads: int | None,
              load: Callable[[], Any]) -> OnnxEngine:
    """The engine for an ONNX file, or for a checkpoint by its graph (see graphs.py).

    `load()` gives the torch network, called only if no graph of it is at hand. The engine's
    `device` says whether CUDA, where it was wanted, was granted. Raises EngineError.
    """

    def session_of(graph: Path | bytes) -> Any:
        return open_session(graph, want_cuda, threads or 1)

    if path.suffix.lower() == ".onnx":
        session = session_of(path)
        check_shared(path, session.get_modelmeta().custom_metadata_map)
    else:
        session = open_graph(path, card, load, session_of)
    return OnnxEngine(session, card, path.name, threads or 1)


def open_session(graph: Path | bytes, want_cuda: bool = False, threads: int = 1) -> Any:
    """An onnxruntime.InferenceSession; its get_providers() says whether CUDA was granted.

    Raises EngineError for a file that is no ONNX graph or that this version cannot run.
    """
    want_cuda = want_cuda and built_for_cuda()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = ERROR
    providers: list[Any] = [CPU]
    if want_cuda:
        _preload_cuda()
        providers.insert(0, (CUDA, {"use_tf32": "0"}))
        # Refused, ONNX Runtime prints red errors and goes on; the engine says it better.
        onnxruntime.set_default_logger_severity(FATAL)
    source = graph if isinstance(graph, bytes) else str(graph)
    try:
        return onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # ONNX Runtime's own errors share no narrower base
        name = "the exported graph" if isinstance(graph, bytes) else str(graph)
        raise EngineError(f"ONNX Runtime {onnxruntime.__version__} cannot open {name}: "
                          f"{_first_line(error)}") from error
    finally:
        onnxruntime.set_default_logger_severity(ERROR)


def built_for_cuda() -> bool:
    """Whether the installed ONNX Runtime has CUDA inside (which does not mean that it works)."""
    return CUDA in onnxruntime.get_available_providers()


def _preload_cuda() -> None:
    """Loads the CUDA and cuDNN libraries that come as wheels; says nothing where there are none."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        onnxruntime.preload_dlls()
    if said.getvalue():
        log.debug("onnxruntime.preload_dlls: %s", said.getvalue().strip())


class _Row(NamedTuple):
    """One stream's state: row `row` of tensors [N, fold, h, w] that one step left behind."""

    tensors: Sequence[Any]  # onnxruntime.OrtValue on the engine's device
    row: int
    batch: int


class OnnxEngine:
    """A stateful graph in an ONNX Runtime session. States stay on the device between steps."""

    name = "onnxruntime"
    precision = "fp32"
    note = ""

    def __init__(self, session: Any, card: ModelCard, file: str, threads: int = 1) -> None:
        """`file` is named in errors. Raises EngineError where graph and card do not fit."""
        self.card = card
        self.provider = CUDA if CUDA in session.get_providers() else CPU
        self.device = "cuda" if self.provider == CUDA else "cpu"
        self.threads = threads
        self._session = session
        self._inputs = [node.name for node in session.get_inputs()]
        self._outputs = [node.name for node in session.get_outputs()]
        self._state_shapes = _state_shapes(session, card, file)
        self._fixed_batch = any(node.shape[0] == 1 for node in session.get_inputs())
        self.shifted_blocks = len(self._state_shapes)
        self._zeros = tuple(self._value(np.zeros((1, *s), np.float32)) for s in self._state_shapes)

    def open_state(self) -> State:
        return _Row(self._zeros, 0, 1)

    def step(self, inputs: Array, states: Sequence[State]) -> tuple[Array, list[State]]:
        check_step(inputs, states, self.card.input_size)
        if self._fixed_batch and len(states) > 1:
            parts = [self._run(inputs[i:i + 1], states[i:i + 1]) for i in range(len(states))]
            return np.concatenate([part[0] for part in parts]), [part[1][0] for part in parts]
        return self._run(inputs, states)

    def _run(self, inputs: Array, states: Sequence[_Row]) -> tuple[Array, list[State]]:
        binding = self._session.io_binding()
        binding.bind_cpu_input(self._inputs[0], np.ascontiguousarray(inputs))
        for name, tensor in zip(self._inputs[1:], self._together(states), strict=True):
            binding.bind_ortvalue_input(name, tensor)
        binding.bind_output(self._outputs[0], "cpu")
        for name in self._outputs[1:]:
            binding.bind_output(name, self.device)
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # ONNX Runtime's own errors share no narrower base
            raise EngineError(f"the network failed in ONNX Runtime: {_first_line(error)}"
                              ) from error
        logits, *after = binding.get_outputs()
        n = len(states)
        return logits.numpy(), [_Row(after, row, n) for row in range(n)]

    def _together(self, states: Sequence[_Row]) -> Sequence[Any]:
        """The states of N streams as tensors [N, ...], the very same ones where that is so."""
        first = states[0]
        if first.batch == len(states) and all(
                state.tensors is first.tensors and state.row == row
                for row, state in enumerate(states)):
            return first.tensors
        return [
            self._value(np.concatenate([s.tensors[i].numpy()[s.row:s.row + 1] for s in states]))
            for i in range(self.shifted_blocks)
        ]

    def _value(self, array: Array) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array, self.device)


def _state_shapes(session: Any, card: ModelCard, file: str) -> list[tuple[int, ...]]:
    """Shapes, without the batch, of the state. Raises EngineError for a graph that is no online
    network, or not the one of the card."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    image = list(inputs[0].shape)
    if len(inputs) == 1 and len(image) == 5:
        raise EngineError(f"{file} takes whole clips {image}: it keeps no state from frame to "
                          "frame, so it is no online network and cannot run here")
    if len(inputs) != len(outputs) or len(inputs) < 2:
        raise EngineError(f"{file} has {len(inputs)} inputs and {len(outputs)} outputs; an online "
                          "network has as many outputs as inputs, image and logits first, then "
                          "each piece of state")
    for before, after in zip(inputs[1:], outputs[1:], strict=True):
        if before.type != after.type or not _may_equal(before.shape[1:], after.shape[1:]):
            raise EngineError(f"{file}: {before.name} {before.shape} and {after.name} "
                              f"{after.shape} must be the same state before and after a step, "
                              "but their shapes differ")
    for node in inputs:
        if isinstance(node.shape[0], int) and node.shape[0] != 1:
            raise EngineError(f"{file}: {node.name} {node.shape} is for {node.shape[0]} streams at "
                              "once; export it with a batch of 1 or a dynamic one")
        if node.type != "tensor(float)":
            raise EngineError(f"{file}: {node.name} is {node.type}; only float32 is run here")
        if node is not inputs[0] and not all(isinstance(n, int) for n in node.shape[1:]):
            raise EngineError(f"{file}: the shape of {node.name} {node.shape} is not fixed, so "
                              "its zeros cannot be made; export it with a fixed image size")
    expected = [3, *card.input_size]
    if not _may_equal(image[1:], expected):
        raise EngineError(f"{file} takes images {image}, but the card says {expected} (input_size)")
    classes = outputs[0].shape[-1]
    if isinstance(classes, int) and classes != len(card.labels):
        raise EngineError(f"{file} has {classes} classes, but the card names {len(card.labels)} "
                          "labels")
    return [tuple(node.shape[1:]) for node in inputs[1:]]


def _may_equal(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two shapes, some of whose sizes may be unknown (no numbers), can be the same."""
    return len(one) == len(other) and all(
        a == b or not isinstance(a, int) or not isinstance(b, int)
        for a, b in zip(one, other, strict=True))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
