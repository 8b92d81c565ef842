"""The engine on torch: CPU or CUDA. The reference, and CUDA where ONNX Runtime has none.

A step reads states from rows of a bank on the device, and writes the new ones to rows that nobody
refers to. All its buffers stay where they are, so on CUDA the whole of it is one graph, captured
once for each number of streams and replayed for every frame, whatever phases these are of.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from models.card import ModelCard
from models.folding import fold_batch_norm
from models.network import OnlineNetwork
from online_tsm.engine import Array, State, check_step
from online_tsm.pool import Held, Pool

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FIRST_ROWS = 16  # of the bank, which doubles when it is full
ZEROS = 0  # the row that every stream begins from
WARM_RUNS = 3  # before a capture, in which libraries choose their kernels

Run = Callable[[], None]  # a step, from static buffers to static buffers


def cuda_granted() -> bool:
    """Whether torch can use a GPU, without its warnings about drivers that are too old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cuda.is_available()


class TorchEngine:
    """A loaded network, stepped by torch. A state is a row of the engine's bank."""

    name = "torch"
    provider = "torch"
    _first_rows = FIRST_ROWS
    _reference = True  # with fp32 on the CPU, where the network is run as it is

    def __init__(self, network: OnlineNetwork, card: ModelCard, device: str = "cpu",
                 threads: int | None = None, note: str = "", *, precision: str = "fp32") -> None:
        """`threads`, where given, holds for all of torch in this process. "fp16" and "bf16"
        compute with weights and states of that type. The network becomes the engine's own: it is
        moved, and may be changed."""
        if threads is not None:
            torch.set_num_threads(threads)
        if device == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = False  # TF32 keeps 10 bits of a float's 23
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cudnn.benchmark = True
        if device == "cuda" or precision != "fp32" or not self._reference:
            fold_batch_norm(network)
        self.card = card
        self.device = device
        self.precision = precision
        self.threads = torch.get_num_threads()
        self.note = note
        # On the CPU, too, convolutions read channels-last faster: 11 ms against 17 a step.
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network: OnlineNetwork = network.eval().to(device, TYPES[precision])
        self._bank = [part.permute(0, 2, 3, 1).contiguous()  # [rows, h, w, fold]: channels last
                      for part in self._network.open_state(self._first_rows, *card.input_size)]
        self.shifted_blocks = len(self._bank)
        self._used = ZEROS + 1
        self._pool = Pool(self._new_row)
        self._passes: dict[int, _Pass] = {}  # by the number of streams

    def open_state(self) -> State:
        return Held(ZEROS, [])

    @torch.inference_mode()
    def step(self, inputs: Array | Tensor, states: Sequence[State]) -> tuple[Array, list[State]]:
        """`inputs` may be on the device already, as a tensor."""
        check_step(inputs, states, self.card.input_size)
        n = len(states)
        after = [self._pool.take() for _ in range(n)]  # first: it may move the bank
        if n not in self._passes:
            self._passes[n] = _Pass(self._network, self._bank, inputs.shape, len(self.card.labels),
                                    self._played)
        logits = self._passes[n].step(inputs, [state.place for state in states],
                                      [state.place for state in after])
        return logits, list(after)

    @staticmethod
    def _played(run: Run, device: str) -> Run:
        """What does the same as `run`, which may be run for it, on buffers that are filled."""
        return captured(run) if device == "cuda" else run

    def _new_row(self) -> int:
        if self._used == len(self._bank[0]):
            self._bank = [torch.cat([part, torch.zeros_like(part)]) for part in self._bank]
            self._passes.clear()  # they read the old bank
        self._used += 1
        return self._used - 1


class _Pass:
    """A step of N streams, with its buffers: in the host's memory (pinned, for CUDA) and on the
    device. On the CPU these are the same."""

    def __init__(self, network: OnlineNetwork, bank: Sequence[Tensor], shape: Sequence[int],
                 classes: int, played: Callable[[Run, str], Run]) -> None:
        """`shape` is that of the inputs, [N, 3, h, w]; `played` as `TorchEngine._played`."""
        self._network, self._bank, self._played = network, bank, played
        self._device = bank[0].device
        pinned = self._device.type == "cuda"
        self._sent = [torch.empty(*shape, pin_memory=pinned),
                      torch.empty(2, shape[0], dtype=torch.int64, pin_memory=pinned)]
        self._inputs, self._rows = (buffer.to(self._device) for buffer in self._sent)
        self._received = torch.empty(shape[0], classes, pin_memory=pinned)
        self._logits = self._received.to(self._device)
        self._play: Run | None = None

    def step(self, inputs: Array | Tensor, before: Sequence[int], after: Sequence[int]) -> Array:
        """Logits [N, K], the caller's own. Rows `before` of the bank are read, and rows `after`,
        which must be others, written."""
        if isinstance(inputs, np.ndarray):
            self._sent[0].numpy()[:] = inputs  # whatever its strides, and whoever may write it
            inputs = self._sent[0]
        self._inputs.copy_(inputs, non_blocking=True)
        self._sent[1].numpy()[:] = before, after
        self._rows.copy_(self._sent[1], non_blocking=True)
        if self._play is None:
            self._play = self._played(self._run, self._device.type)
        self._play()
        self._received.copy_(self._logits, non_blocking=True)
        if self._device.type == "cuda":
            torch.cuda.current_stream().synchronize()
        return np.array(self._received.numpy())

    def _run(self) -> None:
        """All that happens on the device, from the static inputs to the static logits."""
        before, after = self._rows
        frames = self._inputs.to(self._bank[0].dtype, memory_format=torch.channels_last)
        state = tuple(part.index_select(0, before).permute(0, 3, 1, 2) for part in self._bank)
        logits, new = self._network.step(frames, state)
        for part, kept in zip(self._bank, new, strict=True):
            part.index_copy_(0, after, kept.permute(0, 2, 3, 1))
        self._logits.copy_(logits)


def captured(run: Run) -> Run:
    """What replays `run` as a CUDA graph. `run` is run first, so it must be one that changes
    nothing more when it is run again with the same buffers."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_RUNS):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    # Another thread may step another engine meanwhile, as the demo does while it opens a model.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        run()
    replay: Run = graph.replay
    return replay
