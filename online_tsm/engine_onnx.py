"""The engine on ONNX Runtime: CPU, CUDA or TensorRT, our own graphs and foreign ones. Imports no
torch."""

from __future__ import annotations

import contextlib
import io
import itertools
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
NO_PAIR = (0, 0)  # in place of two ids
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
    built.mkdir(parents=True, exist_ok=True)  # TensorRT makes the last part of a path alone
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
        self._passes: dict[int, _Pass] = {}  # by the number of streams
        self._graphs = itertools.count(1)  # their numbers, of the whole session

    def open_state(self) -> State:
        return self._zeros

    def step(self, inputs: Array, states: Sequence[State]) -> tuple[Array, list[State]]:
        check_step(inputs, states, self.card.input_size)
        if self._fixed_batch and len(states) > 1:
            return in_turn(self._run, inputs, states)
        return self._run(inputs, states)

    def handed_on(self, state: State) -> Array:
        """What the last shifted block hands on to the next frame: [fold, h, w], a copy."""
        return np.array(_array(state.set.place[-1])[state.row])

    def _run(self, inputs: Array, states: Sequence[Row]) -> tuple[Array, list[State]]:
        n = len(states)
        if n not in self._passes:
            self._passes[n] = self._open_pass(n)
        logits, frames, pool, kept = self._passes[n]
        before, after = together(states, _array, self._value), pool.take()
        # Those that `together` made are gone after the run, and a stream has one first frame.
        lasting = before is states[0].set.place and states[0] is not self._zeros
        pair = (id(before), id(after.place)) if lasting else NO_PAIR
        bound = kept.get(pair)
        if bound is None or not lasting:
            bound = kept[pair] = self._bind(bound, before, after.place, self._passes[n], lasting)
        if frames is None:
            bound.io.bind_cpu_input(self._inputs[0], np.ascontiguousarray(inputs))
        else:
            frames.update_inplace(np.ascontiguousarray(inputs))
        try:
            self._session.run_with_iobinding(bound.io, bound.options)
        except Exception as error:  # ONNX Runtime's own errors share no narrower base
            raise EngineError(f"the network failed in ONNX Runtime: {_first_line(error)}"
                              ) from error
        return np.array(logits.numpy()), [Row(after, row, n) for row in range(n)]

    def _open_pass(self, n: int) -> _Pass:
        where = self.device if self._captures else "cpu"
        frames = (self._empty([n, 3, *self.card.input_size], where) if self._captures else None)
        return _Pass(self._empty([n, len(self.card.labels)], where), frames, Pool(
            lambda: [self._empty([n, *s], self.device) for s in self._shapes]), {})

    def _bind(self, spare: _Bound | None, before: Tensors, after: Tensors, shared: _Pass,
              lasting: bool) -> _Bound:
        """A run from the tensors `before` to those `after`, or the spare one turned into that. It
        gets a graph of its own where it lasts."""
        io = spare.io if spare else self._session.io_binding()
        if shared.frames is not None:
            io.bind_ortvalue_input(self._inputs[0], shared.frames)
        io.bind_ortvalue_output(self._outputs[0], shared.logits)
        for name, tensor in zip(self._inputs[1:], before, strict=True):
            io.bind_ortvalue_input(name, tensor)
        for name, tensor in zip(self._outputs[1:], after, strict=True):
            io.bind_ortvalue_output(name, tensor)
        if not self._captures or spare:
            return _Bound(io, spare.options if spare else None)
        options = onnxruntime.RunOptions()
        number = str(next(self._graphs)) if lasting else NO_GRAPH
        options.add_run_config_entry(GRAPH_ID, number)
        return _Bound(io, options)

    def _empty(self, shape: Sequence[int], device: str) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, device)

    def _value(self, array: Array) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array, self.device)


class _Bound(NamedTuple):
    """A run from one set of state tensors to another. `options` is None where nothing is
    captured."""

    io: Any
    options: Any


class _Pass(NamedTuple):
    """What steps of so many streams use again and again. `frames` is None where the network reads
    the caller's own. `kept` has the run of each pair of sets, by their ids, and a spare one for
    tensors that do not last: to bind them anew in every step costs Python time."""

    logits: Any
    frames: Any
    pool: Pool[Tensors]
    kept: dict[tuple[int, int], _Bound]


def _array(tensor: Any) -> Array:
    array: Array = tensor.numpy()
    return array


def _ports(nodes: Sequence[Any]) -> list[Port]:
    return [Port(node.name, list(node.shape), node.type) for node in nodes]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
