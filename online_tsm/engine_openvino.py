"""The engine on OpenVINO: CPUs, in float32 or, by request, bf16. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino.preprocess import PrePostProcessor

from models.card import ModelCard
from models.weight_files import open_graph_file
from online_tsm.engine import Array, EngineError, State, check_step
from online_tsm.graphs import PRECISION_KEY, check_shared, open_graph
from online_tsm.pool import Pool, Row, Tensors, in_turn, together, zeros
from online_tsm.ports import FLOAT32, Port, state_shapes

NO_PAIR = (0, 0)  # in place of the ids of two sets
PLANES = 3  # dimensions of a state of planes: channels, height, width
HINTS = {"fp32": "f32", "bf16": "bf16"}  # without one, OpenVINO takes bf16 where it can


def open_openvino(path: Path, card: ModelCard, precision: str, threads: int | None,
                  load: Callable[[], Any]) -> OpenVinoEngine:
    """The engine for an ONNX file, or for a checkpoint by its graph (see graphs.py).

    `load()` gives the torch network, called only if no graph of it is at hand. Raises EngineError.
    """
    if precision not in native_precisions():
        raise EngineError(f"this processor does not compute in {precision}; OpenVINO offers "
                          f"{', '.join(native_precisions())} here")
    written = ""  # what an ONNX file says of its own precision
    if path.suffix.lower() == ".onnx":
        metadata = open_graph_file(path).metadata
        check_shared(path, metadata)
        written = metadata.get(PRECISION_KEY, "")
        model = _read(path)
    else:
        model = open_graph(path, card, load, _read)
    return OpenVinoEngine(model, card, path.name, precision, threads or 1,
                          written=written)


@lru_cache(maxsize=1)
def _core() -> Any:
    """OpenVINO's one core of this process, for good: each core that compiles for a CPU gives the
    thread another stack for signals, and cores that end in another order than the reverse of their
    beginning leave it one that is gone. The next signal, such as Ctrl-C, then ends the process."""
    return openvino.Core()


def native_precisions() -> list[str]:
    """What this processor computes in: "fp32", and "bf16" where that is built in."""
    able = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["fp32", "bf16"] if "BF16" in able else ["fp32"]


class _Bound(NamedTuple):
    """A pass from one set of state tensors to another; its `logits` are overwritten by the next."""

    request: Any
    logits: Array


class _Compiled(NamedTuple):
    """The network for one number of streams, the sets of state tensors for it, and the pass of each
    pair of sets, by their ids, with a spare one for tensors that do not last: to set them anew
    costs a twentieth of a step."""

    model: Any
    pool: Pool[Tensors]
    kept: dict[tuple[int, int], _Bound]


class OpenVinoEngine:
    """A stateful graph compiled by OpenVINO, once for each number of streams. Its steps write
    into state tensors of a pool."""

    name = "openvino"
    device = "cpu"
    provider = "OpenVINO"
    note = ""

    def __init__(self, model: Any, card: ModelCard, file: str, precision: str, threads: int,
                 *, written: str = "") -> None:
        """`file` is named in errors, and `written` what its graph is rounded to already, such as
        "int8". Raises EngineError where graph and card do not fit."""
        self.card = card
        self.precision = written or precision
        self._hint = HINTS[precision]  # for what is not
        self.threads = threads
        self._model = model
        self._shapes = state_shapes(_ports(model.inputs), _ports(model.outputs), card, file)
        self._fixed_batch = any(port.partial_shape[0].is_static for port in model.inputs)
        self.shifted_blocks = len(self._shapes)
        # As its layers pass them on: to turn states into float32 and back costs time in each step.
        self._stored = openvino.Type.bf16 if self._hint == "bf16" else openvino.Type.f32
        self._zeros = zeros([self._tensor(np.zeros((1, *_channels_last(shape)), np.float32))
                             for shape in self._shapes])
        self._compiled: dict[int, _Compiled] = {}

    def open_state(self) -> State:
        return self._zeros

    def step(self, inputs: Array, states: Sequence[State]) -> tuple[Array, list[State]]:
        check_step(inputs, states, self.card.input_size)
        if self._fixed_batch and len(states) > 1:
            return in_turn(self._run, inputs, states)
        return self._run(inputs, states)

    def _run(self, inputs: Array, states: Sequence[Row]) -> tuple[Array, list[State]]:
        n = len(states)
        if n not in self._compiled:
            self._compiled[n] = self._compile(n)
        model, pool, kept = self._compiled[n]
        before, after = together(states, _array, self._tensor), pool.take()
        # Those that `together` made are gone after the pass, and a stream has one first frame.
        lasting = before is states[0].set.place and states[0] is not self._zeros
        pair = (id(before), id(after.place)) if lasting else NO_PAIR
        bound = kept.get(pair)
        if bound is None or not lasting:
            request = bound.request if bound else model.create_infer_request()
            bound = kept[pair] = _bind(request, before, after.place)
        # Lent to the pass, and must outlive it; OpenVINO takes none that is read-only.
        frames = np.require(inputs, requirements=["C", "W"])
        bound.request.set_input_tensor(0, openvino.Tensor(frames, shared_memory=True))
        try:
            bound.request.start_async()  # infer() would copy every output into a dictionary
            bound.request.wait()
        except RuntimeError as error:
            raise EngineError(f"the network failed in OpenVINO: {_last_line(error)}") from error
        return bound.logits.copy(), [Row(after, row, n) for row in range(n)]

    def _compile(self, n: int) -> _Compiled:
        model = self._model.clone()
        if not self._fixed_batch:
            sizes = [(3, *self.card.input_size), *self._shapes]
            model.reshape({port: [n, *size] for port, size in zip(model.inputs, sizes,
                                                                  strict=True)})
        options = {"INFERENCE_PRECISION_HINT": self._hint, "NUM_STREAMS": 1,
                   "INFERENCE_NUM_THREADS": self.threads}
        try:
            compiled = _core().compile_model(self._with_its_layout(model), "CPU", options)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot compile the network: {_last_line(error)}"
                              ) from error
        return _Compiled(compiled, Pool(lambda: self._new_set(n)), {})

    def _with_its_layout(self, model: Any) -> Any:
        """The model with its states as its layers compute: in their type, and planes with channels
        last. Else each step would turn every state round twice."""
        wrapped = PrePostProcessor(model)
        for place, shape in enumerate(self._shapes, start=1):
            for port in (wrapped.input(place), wrapped.output(place)):
                port.tensor().set_element_type(self._stored)
                if len(shape) == PLANES:
                    port.tensor().set_layout(openvino.Layout("NHWC"))
                    port.model().set_layout(openvino.Layout("NCHW"))
        return wrapped.build()

    def _new_set(self, n: int) -> Tensors:
        return [openvino.Tensor(self._stored, [n, *_channels_last(shape)])
                for shape in self._shapes]

    def _tensor(self, array: NDArray[Any]) -> Any:
        """A copy of zeros, or of what `_array` gave: NumPy knows no bf16 and sees bits of it."""
        tensor = openvino.Tensor(self._stored, array.shape)
        tensor.data[:] = array
        return tensor


def _bind(request: Any, before: Tensors, after: Tensors) -> _Bound:
    for place, (read, written) in enumerate(zip(before, after, strict=True), start=1):
        request.set_input_tensor(place, read)
        request.set_output_tensor(place, written)
    return _Bound(request, request.get_output_tensor(0).data)


def _channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Where a state's shape, without the batch, is one of planes; else as it is."""
    return (*shape[1:], shape[0]) if len(shape) == PLANES else shape


def _read(graph: Path | bytes) -> Any:
    try:
        return _core().read_model(graph if isinstance(graph, bytes) else str(graph))
    except RuntimeError as error:
        name = "the exported graph" if isinstance(graph, bytes) else str(graph)
        raise EngineError(f"OpenVINO {openvino.__version__} cannot open {name}: "
                          f"{_last_line(error)}") from error


def _array(tensor: Any) -> Array:
    array: Array = tensor.data
    return array


def _ports(nodes: Sequence[Any]) -> list[Port]:
    return [Port(node.any_name, _sizes(node.partial_shape),
                 FLOAT32 if node.element_type == openvino.Type.f32
                 else node.element_type.get_type_name()) for node in nodes]


def _sizes(shape: Any) -> list[Any]:
    """Empty also where not even the number of dimensions is known, as ONNX Runtime has it."""
    if shape.rank.is_dynamic:
        return []
    return [size.get_length() if size.is_static else "?" for size in shape]


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()  # the first ones name OpenVINO's own source files
    return lines[-1].strip() if lines else type(error).__name__
