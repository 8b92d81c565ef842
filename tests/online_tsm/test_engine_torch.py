"""The torch engine: against the network's own clip, in batches, and its choice of device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gpu_marks import needs_cuda
from seeding import seed_weights
from tiny_streams import frames, run

from models.build import build_network
from models.folding import fold_batch_norm
from online_tsm.engine import EngineError
from online_tsm.engine_torch import FIRST_ROWS, TorchEngine

DEVICES = ["cpu", pytest.param("cuda", marks=needs_cuda)]
HALF = [("bf16", 0.3), ("fp16", 0.06)]  # how far from float32, as a share of the largest logit


@pytest.fixture
def engine(tiny_network, tiny_card) -> TorchEngine:
    return TorchEngine(tiny_network, tiny_card)


def test_streaming_equals_the_clip(engine, tiny_network):
    clip = frames(12)
    with torch.inference_mode():
        expected = tiny_network(torch.from_numpy(clip)[None])[0].numpy()
    assert np.abs(run(engine, clip) - expected).max() < 1e-5


def test_streams_in_a_batch_do_not_leak_and_reset_alone(engine):
    clips = frames(2, 8)
    states, rows = [engine.open_state(), engine.open_state()], []
    for t in range(8):
        if t == 4:
            states[0] = engine.open_state()
        logits, states = engine.step(clips[:, t].copy(), states)
        rows.append(logits)
    together = np.stack(rows, axis=1)
    assert np.abs(together[1] - run(engine, clips[1])).max() < 1e-4
    assert np.abs(together[0, 4:] - run(engine, clips[0, 4:])).max() < 1e-4
    assert np.abs(together[0, 4:] - run(engine, clips[0])[4:]).max() > 0.01  # it did reset


def test_a_state_can_be_stepped_from_twice(engine):
    clip = frames(3)
    _, (state,) = engine.step(clip[:1], [engine.open_state()])
    first, _ = engine.step(clip[1:2], [state])
    engine.step(clip[2:], [state])
    assert (first == engine.step(clip[1:2], [state])[0]).all()


@pytest.mark.filterwarnings("error")
def test_inputs_may_be_views_in_any_order_and_read_only(engine):
    inputs = frames(1)
    expected, _ = engine.step(inputs, [engine.open_state()])
    turned = inputs[:, ::-1].copy()[:, ::-1]
    turned.setflags(write=False)
    assert (engine.step(turned, [engine.open_state()])[0] == expected).all()


def test_what_the_engine_says_of_itself(engine):
    assert (engine.name, engine.device, engine.provider, engine.precision) == (
        "torch", "cpu", "torch", "fp32")
    assert (engine.shifted_blocks, engine.threads) == (10, torch.get_num_threads())


def test_a_step_that_does_not_fit_is_named(engine):
    with pytest.raises(EngineError, match=r"\[1, 3, 16, 32\]"):
        engine.step(np.zeros((1, 3, 16, 32), np.float32), [engine.open_state()])


def plain(network, clips: np.ndarray) -> np.ndarray:
    """Logits [P, T, K] of clips [P, T, 3, h, w] by the network's own step, one after the other."""
    rows = []
    with torch.inference_mode():
        for clip in torch.from_numpy(clips):
            state = network.open_state(1, *clip.shape[2:])
            for frame in clip:
                logits, state = network.step(frame[None], state)
                rows.append(logits[0].numpy())
    return np.array(rows).reshape(*clips.shape[:2], -1)


def interleaved(engine, clips: np.ndarray) -> np.ndarray:
    """The same by the engine, whose frames go round the clips, each in a phase of its own."""
    states = [engine.open_state() for _ in clips]
    logits = np.empty((*clips.shape[:2], len(engine.card.labels)), np.float32)
    for t in range(clips.shape[1]):
        for phase, clip in enumerate(clips):
            row, (states[phase],) = engine.step(clip[t:t + 1], [states[phase]])
            logits[phase, t] = row[0]
    return logits


@pytest.mark.parametrize("phases", [1, 7])
def test_interleaved_phases_equal_the_plain_step(engine, tiny_network, phases):
    clips = frames(phases, 14)
    assert np.abs(interleaved(engine, clips) - plain(tiny_network, clips)).max() < 1e-5
    assert len(engine._bank[0]) == FIRST_ROWS  # rows are used again


@pytest.mark.parametrize("device", DEVICES)
def test_more_states_than_the_bank_has_rows_are_kept_apart(tiny_network, tiny_card, device):
    clips = frames(FIRST_ROWS + 1, 2)
    expected = plain(tiny_network, clips)
    engine, states = TorchEngine(tiny_network, tiny_card, device), []
    for clip in clips:  # the bank is moved in the middle of this
        _, (state,) = engine.step(clip[:1], [engine.open_state()])
        states.append(state)
    assert len(engine._bank[0]) == 2 * FIRST_ROWS
    for clip, state, row in zip(clips, states, expected, strict=True):
        assert np.abs(engine.step(clip[1:], [state])[0] - row[1]).max() < 5e-4


@pytest.mark.parametrize(("precision", "tolerance"), HALF)
def test_half_precision_is_near(tiny_network, tiny_card, precision, tolerance):
    clips = frames(2, 10)
    expected = plain(tiny_network, clips)
    engine = TorchEngine(tiny_network, tiny_card, precision=precision)
    assert engine.precision == precision
    difference = np.abs(interleaved(engine, clips) - expected).max()
    assert 1e-5 < difference < tolerance * np.abs(expected).max()


@pytest.mark.parametrize("architecture", ["mobilenet_v2", "resnet18", "resnet50"])
def test_normalisation_is_folded_away(tiny_card, architecture):
    width = {"width_multiplier": 0.25 if architecture == "mobilenet_v2" else 1.0}
    network = seed_weights(build_network(tiny_card.replace(architecture=architecture, **width)))
    clips = frames(1, 4)
    expected = plain(network, clips)
    fold_batch_norm(network)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    assert np.abs(plain(network, clips) - expected).max() < 1e-4 * np.abs(expected).max()


@needs_cuda
@pytest.mark.parametrize("phases", [1, 7])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 5e-4), *HALF])
def test_a_graph_on_cuda_equals_the_plain_step_on_the_cpu(tiny_card, phases, precision, tolerance):
    clips = frames(phases, 64)
    expected = plain(seed_weights(build_network(tiny_card)), clips)
    engine = TorchEngine(seed_weights(build_network(tiny_card)), tiny_card, "cuda",
                         precision=precision)
    scale = max(1.0, np.abs(expected).max())
    assert np.abs(interleaved(engine, clips) - expected).max() < tolerance * scale
    assert engine._passes[1]._play is not None


@needs_cuda
def test_streams_on_cuda_do_not_leak(tiny_card):
    clips = frames(3, 12)
    engine = TorchEngine(seed_weights(build_network(tiny_card)), tiny_card, "cuda")
    alone = interleaved(engine, clips)
    states = [engine.open_state() for _ in clips]
    rows = []
    for t in range(12):
        logits, states = engine.step(clips[:, t].copy(), states)
        rows.append(logits)
    assert np.abs(np.stack(rows, 1) - alone).max() < 5e-4
