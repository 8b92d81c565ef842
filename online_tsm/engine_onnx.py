"""The engine on ONNX Runtime: CPU or CUDA, our own graphs and foreign ones. Imports no torch."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from models.card import ModelCard
from online_tsm.engine import Array, EngineError, State, check_step
from online_tsm.graphs import PRECISION_KEY, check_shared, open_graph
from online_tsm.pool import Pool, Row, Tensors, in_turn, together, zeros
from online_tsm.ports import Port, state_shapes

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


class OnnxEngine:
    """A stateful graph in an ONNX Runtime session. States stay on the device between steps, in
    tensors of a pool: a step allocates no other memory than its few logits."""

    name = "onnxruntime"
    note = ""

    def __init__(self, session: Any, card: ModelCard, file: str, threads: int = 1) -> None:
        """`file` is named in errors. Raises EngineError where graph and card do not fit."""
        self.card = card
        self.provider = CUDA if CUDA in session.get_providers() else CPU
        self.device = "cuda" if self.provider == CUDA else "cpu"
        self.precision = session.get_modelmeta().custom_metadata_map.get(PRECISION_KEY, "fp32")
        self.threads = threads
        self._session = session
        self._inputs = [node.name for node in session.get_inputs()]
        self._outputs = [node.name for node in session.get_outputs()]
        self._shapes = state_shapes(_ports(session.get_inputs()), _ports(session.get_outputs()),
                                    card, file)
        self._fixed_batch = any(node.shape[0] == 1 for node in session.get_inputs())
        self.shifted_blocks = len(self._shapes)
        self._zeros = zeros([self._value(np.zeros((1, *s), np.float32)) for s in self._shapes])
        self._bindings: dict[int, tuple[Any, Any, Pool[Tensors]]] = {}  # by the number of streams

    def open_state(self) -> State:
        return self._zeros

    def step(self, inputs: Array, states: Sequence[State]) -> tuple[Array, list[State]]:
        check_step(inputs, states, self.card.input_size)
        if self._fixed_batch and len(states) > 1:
            return in_turn(self._run, inputs, states)
        return self._run(inputs, states)

    def _run(self, inputs: Array, states: Sequence[Row]) -> tuple[Array, list[State]]:
        n = len(states)
        if n not in self._bindings:
            self._bindings[n] = self._bind(n)
        binding, logits, pool = self._bindings[n]
        before, after = together(states, _array, self._value), pool.take()
        binding.bind_cpu_input(self._inputs[0], np.ascontiguousarray(inputs))
        for name, tensor in zip(self._inputs[1:], before, strict=True):
            binding.bind_ortvalue_input(name, tensor)
        for name, tensor in zip(self._outputs[1:], after.place, strict=True):
            binding.bind_ortvalue_output(name, tensor)
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # ONNX Runtime's own errors share no narrower base
            raise EngineError(f"the network failed in ONNX Runtime: {_first_line(error)}"
                              ) from error
        return np.array(logits.numpy()), [Row(after, row, n) for row in range(n)]

    def _bind(self, n: int) -> tuple[Any, Any, Pool[Tensors]]:
        """What steps of `n` streams use again and again: binding, logits, state tensors."""
        binding = self._session.io_binding()
        logits = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            [n, len(self.card.labels)], np.float32, "cpu")
        binding.bind_ortvalue_output(self._outputs[0], logits)
        return binding, logits, Pool(lambda: [
            onnxruntime.OrtValue.ortvalue_from_shape_and_type([n, *s], np.float32, self.device)
            for s in self._shapes])

    def _value(self, array: Array) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array, self.device)


def _array(tensor: Any) -> Array:
    array: Array = tensor.numpy()
    return array


def _ports(nodes: Sequence[Any]) -> list[Port]:
    return [Port(node.name, list(node.shape), node.type) for node in nodes]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
