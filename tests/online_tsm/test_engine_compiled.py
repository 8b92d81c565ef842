"""The compiled engine against the eager one, and what is said where nothing can be compiled.

Compiling takes seconds a network and number of streams, so on the CPU there is one small network.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from fresh_python import python
from gpu_marks import needs_cuda, needs_no_gpu
from seeding import seed_weights
from tiny_streams import CARD, frames
from torch import Tensor, nn

from models.build import build_network
from models.card import Shift
from models.mobilenet_v2 import InvertedResidual
from models.network import OnlineNetwork, ShiftFunction, ShiftPoint
from online_tsm import engine as engines
from online_tsm import engine_compiled, measuring
from online_tsm.benchmark import best
from online_tsm.engine import EngineError, open_engine
from online_tsm.engine_compiled import CompiledEngine, missing
from online_tsm.engine_torch import TorchEngine
from online_tsm.phases import MAX_PHASES
from online_tsm.stream import Stream

needs_triton = pytest.mark.skipif(bool(missing("cuda")), reason=missing("cuda") or "there is one")
needs_compiler = pytest.mark.skipif(bool(missing("cpu")), reason=missing("cpu") or "there is one")
PRECISIONS = [("fp32", 5e-4), ("bf16", 0.3), ("fp16", 0.06)]


class TwoBlocks(OnlineNetwork):
    """A stem and two shifted blocks, which compile in seconds."""

    def __init__(self) -> None:
        super().__init__(Shift())
        self.stem = nn.Conv2d(3, 8, 3, 4, 1)
        self.blocks = nn.ModuleList([InvertedResidual(8, 8, 1, 2, self.shift) for _ in range(2)])
        self.classifier = nn.Linear(8, len(CARD.labels))

    def walk(self, x: Tensor, shift: ShiftFunction, start: int = 0, stop: int | None = None
             ) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, shift)
        return self.classifier(x.mean((2, 3)))

    def shift_points(self) -> Iterator[ShiftPoint]:
        yield from [ShiftPoint(8, 4)] * 2


def plain(engine, clips: np.ndarray) -> np.ndarray:
    """Logits [P, T, K] of clips [P, T, 3, h, w], in turns, each in a phase of its own."""
    states = [engine.open_state() for _ in clips]
    logits = np.empty((*clips.shape[:2], len(CARD.labels)), np.float32)
    for t in range(clips.shape[1]):
        for phase, clip in enumerate(clips):
            row, (states[phase],) = engine.step(clip[t:t + 1], [states[phase]])
            logits[phase, t] = row[0]
    return logits


def together(engine, clips: np.ndarray) -> np.ndarray:
    """The same, in passes of all clips."""
    states, rows = [engine.open_state() for _ in clips], []
    for t in range(clips.shape[1]):
        logits, states = engine.step(clips[:, t].copy(), states)
        rows.append(logits)
    return np.stack(rows, axis=1)


@pytest.fixture(scope="module")
def engine() -> CompiledEngine:
    return CompiledEngine(seed_weights(TwoBlocks().eval()), CARD)


@pytest.fixture(scope="module")
def eager() -> TorchEngine:
    return TorchEngine(seed_weights(TwoBlocks().eval()), CARD)


@needs_compiler
def test_phases_and_batches_equal_the_eager_engine(engine, eager):
    clips = frames(3, 9)
    expected = plain(eager, clips)
    assert np.abs(expected - expected[:, :1]).max() > 0.01
    compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert np.abs(plain(engine, clips) - expected).max() < 1e-4
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiled  # as it was opened
    assert np.abs(together(engine, clips) - expected).max() < 1e-4
    assert len(engine._bank[0]) == CompiledEngine._first_rows > MAX_PHASES + 1


@needs_compiler
def test_a_state_can_be_stepped_from_twice(engine):
    clip = frames(3)
    _, (state,) = engine.step(clip[:1], [engine.open_state()])
    first, _ = engine.step(clip[1:2], [state])
    engine.step(clip[2:], [state])
    assert (first == engine.step(clip[1:2], [state])[0]).all()
    assert np.abs(first - engine.step(clip[1:2], [engine.open_state()])[0]).max() > 1e-3


@needs_compiler
def test_more_states_than_the_bank_has_rows_are_kept_apart(engine, eager):
    rows = len(engine._bank[0])
    clips = frames(rows + 1, 2)
    assert np.abs(plain(engine, clips) - plain(eager, clips)).max() < 1e-4
    assert len(engine._bank[0]) == 2 * rows


@needs_compiler
def test_what_the_engine_says_of_itself_and_what_prepares_its_frames(engine, monkeypatch):
    assert (engine.name, engine.device, engine.provider, engine.precision, engine.note) == (
        "compiled", "cpu", "torch", "fp32", "")
    assert measuring.candidate_of(engine, 1).name == f"compiled fp32, {engine.threads} thread" + (
        "s" if engine.threads > 1 else "")
    assert isinstance(Stream(engine)._inputs, np.ndarray)


# Where it cannot be


@pytest.fixture
def bare(monkeypatch):
    """A machine without compilers and Triton."""
    monkeypatch.setattr(engine_compiled.shutil, "which", lambda _: None)
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(engine_compiled.importlib.util, "find_spec", lambda _: None)


def test_what_is_missing_is_named(bare, monkeypatch):
    assert missing("cuda").startswith("the engine compiled needs Triton on an NVIDIA GPU: pip inst")
    monkeypatch.setattr(engine_compiled.importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(engine_compiled.sys, "platform", "linux")
    assert "needs a C compiler for Triton's launchers" in missing("cuda")
    assert "needs the C++ compiler g++ on the CPU" in missing("cpu")
    assert all(missing(device).endswith("or use --engine torch") for device in ("cpu", "cuda"))


@pytest.mark.usefixtures("in_shared_cache")
def test_an_engine_that_cannot_be_is_refused_before_the_model_is_read(checkpoint, monkeypatch):
    monkeypatch.setattr(engine_compiled, "missing", lambda device: f"no compiler for {device}")
    monkeypatch.setattr(engines, "load_model", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(EngineError, match=r"^no compiler for cpu$"):
        open_engine(checkpoint, "compiled", "cpu")


def test_a_compiler_that_fails_is_one_sentence(tiny_card, tiny_network, monkeypatch):
    def fails(run, **_):
        def fused() -> None:
            raise RuntimeError("no kernel for this\n  File ...\n  and much more")
        return fused

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(EngineError) as told:
        CompiledEngine(tiny_network, tiny_card)
    assert str(told.value) == (
        "the network could not be compiled here (RuntimeError: no kernel for this File ...). If it "
        "lacks a compiler, install one for C and C++ and Python's headers (Debian: g++ "
        "python3-dev); else use --engine torch")


@needs_no_gpu
@pytest.mark.usefixtures("in_shared_cache")
@pytest.mark.parametrize(("device", "precision", "named"), [
    ("cuda", "fp32", "no NVIDIA GPU"), ("cpu", "bf16", "bf16 on an NVIDIA GPU alone")])
def test_what_needs_a_gpu_says_so(checkpoint, device, precision, named):
    with pytest.raises(EngineError, match=named):
        open_engine(checkpoint, "compiled", device, precision=precision)


# Taken only where it is asked for


def test_auto_never_takes_it(checkpoint, monkeypatch, in_shared_cache):
    monkeypatch.setattr(engine_compiled, "missing", lambda _: pytest.fail("it was asked for"))
    opened = open_engine(checkpoint)
    assert opened.name != "compiled"
    monkeypatch.setattr(engines, "nvidia_visible", lambda: True)
    monkeypatch.setattr(engines, "torch_cuda", lambda: True)
    monkeypatch.setattr(engines, "_open_torch", lambda *_: opened)
    assert open_engine(checkpoint).name != "compiled"


def test_it_is_not_suggested_to_auto():
    rows = [{"engine": name, "anchor": "", "streams": 1, "faithful": {"faithful": True},
             "paced": None, "hot": {"median_ms": ms}}
            for name, ms in [("compiled", 1), ("torch", 2)]]
    assert best(rows)["engine"] == "torch"
    assert best(rows[:1]) is None


def test_the_benchmark_opens_it_on_a_gpu_with_triton_or_where_it_is_named(monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(measuring, "open_engine", lambda path, engine, device, threads, precision: (
        opened.append((engine, device, precision))))
    monkeypatch.setattr(measuring, "nvidia_visible", lambda: False)
    assert not [one for one in measuring.usable(tmp_path) if one[0] == "compiled"]
    assert measuring.usable(tmp_path, ["compiled"]) == [("compiled", "cpu", "fp32")]
    opened.clear()
    assert measuring.usable(tmp_path, ["torch"]) == opened == [("torch", "cpu", "fp32")]
    monkeypatch.setattr(measuring, "nvidia_visible", lambda: True)
    monkeypatch.setattr(measuring.importlib.util, "find_spec", lambda name: name == "triton")
    assert [one for one in measuring.usable(tmp_path) if one[0] == "compiled"] == [
        ("compiled", "cuda", precision) for precision, _ in PRECISIONS]


@needs_compiler
def test_compiling_says_that_it_does_and_no_more():
    code = ("import sys; sys.path[:0] = ['tests', 'tests/online_tsm']\n"
            "import test_engine_compiled as t\n"
            "print(t.CompiledEngine(t.seed_weights(t.TwoBlocks().eval()), t.CARD).name)\n")
    done = python(code)
    assert done.stdout == "compiled\n"
    assert done.stderr == ("compiling the network, which takes a while, the longest at the first "
                           "time\n")


@pytest.mark.parametrize("architecture", ["mobilenet_v2", "resnet18"])
def test_a_step_of_the_real_networks_is_one_graph(architecture):
    """Traced alone, which takes no compiler: no graph break, and the same results."""
    card = CARD.replace(architecture=architecture, width_multiplier=1.0)
    network = seed_weights(build_network(card)).eval()
    step = torch.compile(network.step, fullgraph=True, dynamic=False, backend="eager")
    inputs = torch.from_numpy(frames(1)[:1])
    with torch.inference_mode():
        state = network.open_state(1, *card.input_size)
        wanted, kept = network.step(inputs, state)
        logits, new = step(inputs, state)
    assert torch.allclose(logits, wanted, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(new, kept, strict=True))


# On a GPU


@needs_cuda
@needs_triton
@pytest.mark.parametrize(("precision", "tolerance"), PRECISIONS)
def test_on_cuda_phases_and_batches_equal_the_eager_step_on_the_cpu(precision, tolerance):
    clips = frames(3, 16)
    expected = plain(TorchEngine(seed_weights(build_network(CARD)), CARD), clips)
    engine = CompiledEngine(seed_weights(build_network(CARD)), CARD, "cuda", precision=precision)
    most = tolerance * max(1.0, np.abs(expected).max())
    assert np.abs(plain(engine, clips) - expected).max() < most
    assert np.abs(together(engine, clips) - expected).max() < most
    assert isinstance(Stream(engine)._inputs, Tensor)  # its frames are prepared where it runs


@needs_cuda
@needs_triton
def test_on_cuda_a_step_allocates_nothing():
    engine = CompiledEngine(seed_weights(TwoBlocks().eval()), CARD, "cuda")
    clips = frames(2, 6)
    plain(engine, clips)
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    plain(engine, clips)
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before
