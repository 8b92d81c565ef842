"""A stream in steady state allocates nothing: sets of state tensors, Python's heap, the process."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from seeding import seed_weights

from models.build import build_network
from models.card import ModelCard
from online_tsm.engine_onnx import OnnxEngine, open_session
from online_tsm.engine_torch import TorchEngine, cuda_granted
from online_tsm.export import export_network
from online_tsm.stream import Stream

CARD = ModelCard(name="tiny", architecture="mobilenet_v2", labels=("a", "b", "c"),
                 input_size=(96, 96), resize="whole-frame", filter="bilinear",
                 width_multiplier=0.25, frame_rate=10.0)
STATE_BYTES = 4 * (8 // 8 * 24 ** 2 + 2 * 8 // 8 * 12 ** 2 + 3 * 16 // 8 * 6 ** 2
                   + 2 * 24 // 8 * 6 ** 2 + 2 * 40 // 8 * 3 ** 2)
STEADY = 100  # frames in a window,
WINDOWS = 4  # of which there are so many
STATM = Path("/proc/self/statm")
PAGE = 4096


@pytest.fixture(scope="module")
def graph() -> bytes:
    return export_network(seed_weights(build_network(CARD)), CARD, "0" * 64)


@pytest.fixture
def engine(graph) -> OnnxEngine:
    return OnnxEngine(open_session(graph), CARD, "tiny.onnx")


def play(stream: Stream, first: int, frames: int) -> None:
    image = np.full((96, 96, 3), 90, np.uint8)
    for index in range(first, first + frames):
        stream.step(image, index / 70)


@pytest.fixture
def made(monkeypatch) -> list[int]:
    """Grows by the bytes of each tensor that is allocated."""
    sizes: list[int] = []
    real = onnxruntime.OrtValue.ortvalue_from_shape_and_type

    def counting(shape, *args):
        sizes.append(4 * int(np.prod(shape)))
        return real(shape, *args)

    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_shape_and_type", counting)
    return sizes


@pytest.mark.parametrize("phases", [1, 7])
def test_one_set_of_state_a_phase_and_a_spare_one(engine, made, phases):
    logits = 4 * len(CARD.labels)
    play(Stream(engine, phases=phases), 0, 60)
    assert sum(made) - logits == (phases + 1) * STATE_BYTES


@pytest.mark.parametrize("phases", [1, 7])
def test_nothing_is_bound_anew(engine, monkeypatch, phases):
    stream = Stream(engine, phases=phases)
    play(stream, 0, 3 * (phases + 1))
    bound: list[str] = []
    for kind in ("input", "output"):
        monkeypatch.setattr(onnxruntime.IOBinding, f"bind_ortvalue_{kind}",
                            lambda self, name, value: bound.append(name))
    play(stream, 3 * (phases + 1), 30)
    assert bound == []
    assert len(engine._passes[1].kept) <= phases + 2  # one a pair, and the spare one


@pytest.mark.parametrize("phases", [1, 7])
def test_a_steady_stream_leaves_nothing_behind(engine, phases):
    stream = Stream(engine, phases=phases)
    play(stream, 0, 80)  # longer than the window of the smoothing, which keeps its votes
    heap, process = [], []
    tracemalloc.start()
    for window in range(WINDOWS + 1):
        play(stream, 80 + window * STEADY, STEADY)
        heap.append(tracemalloc.get_traced_memory()[0])
        process.append(int(STATM.read_text().split()[1]) * PAGE if STATM.exists() else 0)
    tracemalloc.stop()
    # What is left behind is so in every window; caches fill up in one, and in another no more.
    assert np.diff(heap).min() < 1_000  # bytes; a logits array kept a frame would be over 10,000
    assert np.diff(process).min() < STEADY * STATE_BYTES / 2


def test_a_state_that_is_kept_is_never_written_to(engine):
    frames = np.random.default_rng(0).standard_normal((12, 1, 3, 96, 96)).astype(np.float32)
    _, (kept,) = engine.step(frames[0], [engine.open_state()])
    expected, _ = engine.step(frames[1], [kept])
    state = kept
    for frame in frames[1:]:
        _, (state,) = engine.step(frame, [state])
    assert (engine.step(frames[1], [kept])[0] == expected).all()


def test_logits_are_the_callers_own(engine):
    frames = np.random.default_rng(0).standard_normal((2, 1, 3, 96, 96)).astype(np.float32)
    first, (state,) = engine.step(frames[0], [engine.open_state()])
    copy = first.copy()
    second, _ = engine.step(frames[1], [state])
    assert (first == copy).all()
    assert (first != second).any()


# torch on CUDA


@pytest.fixture
def waits(monkeypatch):
    """Has an entry for each wait for the stream. Any other wait for the GPU is an error."""
    seen: list[torch.cuda.Stream] = []
    real = torch.cuda.Stream.synchronize

    def counted(one: torch.cuda.Stream) -> None:
        seen.append(one)
        torch.cuda.set_sync_debug_mode("default")
        real(one)
        torch.cuda.set_sync_debug_mode("error")

    monkeypatch.setattr(torch.cuda.Stream, "synchronize", counted)
    yield seen
    torch.cuda.set_sync_debug_mode("default")


def allocated() -> list[int]:
    """Allocations so far: on the GPU, by its driver, and of pinned memory."""
    on_gpu = torch.cuda.memory_stats()
    return [on_gpu["allocation.all.allocated"], on_gpu["segment.all.allocated"],
            torch.cuda.host_memory_stats()["num_host_alloc"]]


@pytest.mark.skipif(not cuda_granted(), reason="torch has no CUDA here")
@pytest.mark.parametrize("phases", [1, 7])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_steady_stream_on_cuda_allocates_nothing_and_waits_once_a_step(precision, phases, waits):
    engine = TorchEngine(seed_weights(build_network(CARD)), CARD, "cuda", precision=precision)
    stream = Stream(engine, phases=phases)
    play(stream, 0, 3 * (phases + 1))
    before = allocated()
    waits.clear()
    torch.cuda.set_sync_debug_mode("error")
    play(stream, 3 * (phases + 1), 2 * STEADY)
    assert allocated() == before
    assert len(waits) == 2 * STEADY
