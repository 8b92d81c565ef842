"""The torch engine: against the network's own clip, in batches, and its choice of device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from online_tsm.engine import EngineError
from online_tsm.engine_torch import TorchEngine, cuda_granted


def frames(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((*shape, 3, 32, 32)).astype(np.float32)


@pytest.fixture
def engine(tiny_network, tiny_card) -> TorchEngine:
    return TorchEngine(tiny_network, tiny_card)


def run(engine, clip: np.ndarray) -> np.ndarray:
    state, rows = engine.open_state(), []
    for frame in clip:
        logits, (state,) = engine.step(frame[None], [state])
        rows.append(logits[0])
    return np.array(rows)


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


def test_what_the_engine_says_of_itself(engine):
    assert (engine.name, engine.device, engine.provider, engine.precision) == (
        "torch", "cpu", "torch", "fp32")
    assert (engine.shifted_blocks, engine.threads) == (10, torch.get_num_threads())


def test_a_step_that_does_not_fit_is_named(engine):
    with pytest.raises(EngineError, match=r"\[1, 3, 16, 32\]"):
        engine.step(np.zeros((1, 3, 16, 32), np.float32), [engine.open_state()])


@pytest.mark.skipif(not cuda_granted(), reason="torch has no CUDA here")
def test_cuda_agrees_with_the_cpu(seed_weights, tiny_card):
    from models.build import build_network

    clip = frames(12)
    on_cpu = run(TorchEngine(seed_weights(build_network(tiny_card)), tiny_card), clip)
    on_gpu = TorchEngine(seed_weights(build_network(tiny_card)), tiny_card, "cuda")
    assert on_gpu.device == "cuda"
    assert np.abs(run(on_gpu, clip) - on_cpu).max() < 5e-4
