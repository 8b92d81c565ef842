"""The engine on ONNX Runtime: CPU, CUDA or TensorRT, our own graphs and foreign ones. Imports no
torch."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from models.cache import cache_folder
from models.card import ModelCard
from online_tsm.engine import Array, EngineError, State, check_step
from online_tsm.graphs import PRECISION_KEY, check_shared, open_graph
from online_tsm.pool import Pool, Row, Tensors, in_turn, together, zeros
from online_tsm.ports import Port, state_shapes

log = logging.getLogger(__name__)

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
CAPTURE = "enable_cuda_graph"  # an option of CUDA
GRAPH_ID = "gpu_graph_id"  # of a run: which captured graph it replays,
NO_GRAPH = "-1"  # or none
FATAL, ERROR = 4, 3  # ONNX Runtime's log severities


def open_onnx(path: Path, card: ModelCard, provider: str, threads: int | None,
              load: Callable[[], Any], *, precision: str = "fp32") -> OnnxEngine:
    """The engine for an ONNX file, or for a checkpoint by its graph (see graphs.py).

    `load()` gives the torch network, called only if no graph of it is at hand. The engine's
    `provider` says whether the one that was wanted was granted. Raises EngineError.
    """

    def session_of(graph: Path | bytes) -> Any:
        return open_session(graph, provider, threads or 1, precision)

    if path.suffix.lower() == ".onnx":
        session = session_of(path)
        check_shared(path, session.get_modelmeta().custom_metadata_map)
    else:
        session = open_graph(path, card, load, session_of)
    return OnnxEngine(session, card, path.name, threads or 1, precision)


def open_session(graph: Path | bytes, provider: str = CPU, threads: int = 1,
                 precision: str = "fp32") -> Any:
    """An onnxruntime.InferenceSession; its get_providers() says whether `provider` was granted.

    Raises EngineError for a file that is no ONNX graph or that this version cannot run.
    """
    if provider != CPU and built_for_cuda():
        _preload_cuda()
        try:
            return _open(graph, threads, _providers(provider, precision, capture=True))
        except EngineError as error:  # not every graph can be captured
            log.info("opened again without a CUDA graph: %s", error)
            return _open(graph, threads, _providers(provider, precision, capture=False))
    return _open(graph, threads, [CPU])


def _providers(wanted: str, precision: str, capture: bool) -> list[Any]:
    """CUDA, under TensorRT where that is wanted, above the CPU. A capture is for CUDA alone."""
    if wanted == CUDA:
        return [(CUDA, {"use_tf32": "0", CAPTURE: str(int(capture))}), CPU]
    built = cache_folder() / "tensorrt"  # which takes TensorRT minutes
    return [(TENSORRT, {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(built),
                        "trt_fp16_enable": str(int(precision == "fp16"))}),
            (CUDA, {"use_tf32": "0"}), CPU]


def _open(graph: Path | bytes, threads: int, providers: list[Any]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = ERROR
    if providers != [CPU]:
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
    tensors of a pool: a step allocates no other memory than its few logits.

    On CUDA nothing that a step touches ever moves, so its kernels are captured as a CUDA graph:
    one for each pair of state tensors, those that are read and those that are written.
    """

    note = ""

    def __init__(self, session: Any, card: ModelCard, file: str, threads: int = 1,
                 precision: str = "fp32") -> None:
        """`file` is named in errors. Raises EngineError where graph and card do not fit."""
        self.card = card
        self.provider: str = session.get_providers()[0]
        self.name = "tensorrt" if self.provider == TENSORRT else "onnxruntime"
        self.device = "cpu" if self.provider == CPU else "cuda"
        self.precision = session.get_modelmeta().custom_metadata_map.get(PRECISION_KEY, precision)
        self.threads = threads
        self._session = session
        self._captures = session.get_provider_options().get(CUDA, {}).get(CAPTURE) == "1"
        self._inputs = [node.name for node in session.get_inputs()]
        self._outputs = [node.name for node in session.get_outputs()]
        self._shapes = state_shapes(_ports(session.get_inputs()), _ports(session.get_outputs()),
                                    card, file)
        self._fixed_batch = any(node.shape[0] == 1 for node in session.get_inputs())
        self.shifted_blocks = len(self._shapes)
        self._zeros = zeros([self._value(np.zeros((1, *s), np.float32)) for s in self._shapes])
        self._bindings: dict[int, _Binding] = {}  # by the number of streams
        self._graphs: dict[tuple[int, int], Any] = {}  # by the places read and written

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
        binding, frames, logits, pool = self._bindings[n]
        before, after = together(states, _array, self._value), pool.take()
        if frames is None:
            binding.bind_cpu_input(self._inputs[0], np.ascontiguousarray(inputs))
        else:
            frames.update_inplace(np.ascontiguousarray(inputs))
        for name, tensor in zip(self._inputs[1:], before, strict=True):
            binding.bind_ortvalue_input(name, tensor)
        for name, tensor in zip(self._outputs[1:], after.place, strict=True):
            binding.bind_ortvalue_output(name, tensor)
        lasting = before is states[0].set.place and states[0] is not self._zeros
        graph = self._graph(before, after.place, lasting) if self._captures else None
        try:
            self._session.run_with_iobinding(binding, graph)
        except Exception as error:  # ONNX Runtime's own errors share no narrower base
            raise EngineError(f"the network failed in ONNX Runtime: {_first_line(error)}"
                              ) from error
        return np.array(logits.numpy()), [Row(after, row, n) for row in range(n)]

    def _bind(self, n: int) -> _Binding:
        binding = self._session.io_binding()
        where = self.device if self._captures else "cpu"
        logits = self._empty([n, len(self.card.labels)], where)
        binding.bind_ortvalue_output(self._outputs[0], logits)
        frames = None
        if self._captures:
            frames = self._empty([n, 3, *self.card.input_size], where)
            binding.bind_ortvalue_input(self._inputs[0], frames)
        return _Binding(binding, frames, logits, Pool(
            lambda: [self._empty([n, *s], self.device) for s in self._shapes]))

    def _graph(self, before: Tensors, after: Tensors, lasting: bool) -> Any:
        """The options of a run that is captured, or replayed, for these tensors; those `before`
        that are not `lasting` are gone after the run, so theirs is never captured."""
        pair = (id(before), id(after)) if lasting else (0, 0)
        if pair not in self._graphs:
            options = onnxruntime.RunOptions()
            number = str(len(self._graphs) + 1) if lasting else NO_GRAPH
            options.add_run_config_entry(GRAPH_ID, number)
            self._graphs[pair] = options
        return self._graphs[pair]

    def _empty(self, shape: Sequence[int], device: str) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, device)

    def _value(self, array: Array) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array, self.device)


class _Binding(NamedTuple):
    """What steps of so many streams use again and again. `frames` is None where the network reads
    the caller's own."""

    io: Any
    frames: Any
    logits: Any
    pool: Pool[Tensors]


def _array(tensor: Any) -> Array:
    array: Array = tensor.numpy()
    return array


def _ports(nodes: Sequence[Any]) -> list[Port]:
    return [Port(node.name, list(node.shape), node.type) for node in nodes]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
