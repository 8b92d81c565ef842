"""What a stream remembers: a state a phase, and what makes it forget."""

from __future__ import annotations

import numpy as np
import pytest
from toy_engines import RATE, Memory, image, raw, run

from online_tsm.preprocess import Preprocessor
from online_tsm.stream import Stream, step_streams


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("fixed", [True, False])
def test_k_phases_equal_k_separate_streams_over_every_kth_frame(k, fixed):
    times = [5.0 + i / (k * RATE) for i in range(40)]
    together = raw(run(Stream(Memory(), phases=k if fixed else None), times))
    for phase in range(k):
        alone = Stream(Memory(), phases=1)
        separate = [alone.step(image(i), times[i]) for i in range(phase, 40, k)]
        assert np.array_equal(together[phase::k], raw(separate))
    assert not np.allclose(together, raw(run(Stream(Memory(), phases=k + 1), times)))


def test_every_step_sees_exactly_the_frame_that_its_look_back_names():
    """Jitter, dropped frames, a rate that changes, a gap: no content is mixed."""
    rng = np.random.default_rng(0)
    intervals = np.concatenate([
        rng.choice([1, 1, 1, 2], 150) / 30, np.full(60, 1 / 10), np.full(150, 1 / 45), [3.0],
        np.full(60, 1 / 30)])
    times = list(np.cumsum(intervals * rng.uniform(0.9, 1.1, len(intervals))))
    engine = Memory()
    predictions = run(Stream(engine), times)
    assert len({prediction.phases for prediction in predictions}) >= 3
    for prediction, (number, last) in zip(predictions, engine.seen, strict=True):
        assert prediction.index == number
        if last is None:
            assert prediction.lookback_s is None
            assert prediction.cold
        else:
            assert times[number] - times[last] == pytest.approx(prediction.lookback_s)
            assert prediction.lookback_s < 4 / RATE


def test_forgotten_phases_leave_no_state_behind():
    stream = Stream(Memory())
    run(stream, [i / 60 for i in range(120)])
    assert len(stream._states) == 6
    run(stream, [2 + i / 10 for i in range(60)])
    assert len(stream._states) == 1


def test_one_phase_is_stepped_on_every_frame_whatever_its_time():
    engine = Memory()
    run(Stream(engine, phases=1), [0, 0.001, 0.3, 0.31, 0.32])
    assert [last for _, last in engine.seen] == [None, 0, 1, 2, 3]


def test_reset_gives_a_stream_like_new():
    times = [i / 20 for i in range(30)]
    stream = Stream(Memory())
    first = run(stream, times)
    stream.reset()
    again = run(stream, times)
    assert np.array_equal(raw(first), raw(again))
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.probabilities, other.probabilities)
        assert (one.events, one.cold) == (
            tuple(type(event)(event.label, event.time, event.confidence, event.index - 30)
                  for event in other.events), other.cold)
    assert again[0].index == 30


@pytest.mark.parametrize("jump", [5.0, -100.0])
def test_a_gap_and_a_jump_back_forget_everything(jump):
    stream = Stream(Memory())
    run(stream, [100 + i / 20 for i in range(40)])
    later = [102 + jump + i / 20 for i in range(40)]
    after = run(stream, later, first=40)
    fresh = run(Stream(Memory()), later, first=40)
    assert np.array_equal(raw(after), raw(fresh))
    assert [p.cold for p in after] == [p.cold for p in fresh]
    assert np.array_equal(after[-1].probabilities, fresh[-1].probabilities)


def test_an_engine_that_fails_leaves_a_stream_that_can_start_anew():
    class Failing(Memory):
        fail = False

        def step(self, inputs, states):
            if self.fail:
                raise RuntimeError("out of memory")
            return super().step(inputs, states)

    engine = Failing()
    stream = Stream(engine)
    run(stream, [i / 20 for i in range(20)])
    engine.fail = True
    with pytest.raises(RuntimeError, match="out of memory"):
        stream.step(image(20), 1.0)
    engine.fail = False
    after = run(stream, [1.05 + i / 20 for i in range(10)], first=21)
    assert np.array_equal(raw(after), raw(run(
        Stream(Memory()), [1.05 + i / 20 for i in range(10)], first=21)))


@pytest.fixture
def real(tiny_network, tiny_card):
    """A small network with seeded weights, on torch."""
    from online_tsm.engine_torch import TorchEngine

    return TorchEngine(tiny_network, tiny_card, threads=1)


def pictures(n: int, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), np.uint8))


def test_a_stream_of_one_phase_equals_the_network_over_the_clip(real, tiny_network, tiny_card):
    import torch

    frames = pictures(24)
    stream = Stream(real, phases=1)
    stepped = raw([stream.step(frame, i / 30) for i, frame in enumerate(frames)])
    preprocess = Preprocessor(tiny_card)
    clip = torch.from_numpy(np.array([preprocess(frame).copy() for frame in frames]))
    with torch.inference_mode():
        whole = tiny_network(clip[None])[0].numpy()
    assert stepped == pytest.approx(whole, abs=1e-5)
    forgetful = np.array([Stream(real).step(frame, 0.0).logits for frame in frames])
    assert np.abs(stepped[1:] - forgetful[1:]).max() > 0.01  # the state matters


def test_phases_and_batches_of_a_real_network_are_separate_streams(real, tiny_card):
    """Three streams in one pass, at 1, 2 and 3 times the card's rate."""
    frames = [pictures(30, seed) for seed in range(3)]
    streams = [Stream(real) for _ in frames]
    found = [step_streams(streams, [frames[s][i] for s in range(3)],
                          [i / (tiny_card.frame_rate * (s + 1)) for s in range(3)])
             for i in range(30)]
    for s, k in enumerate((1, 2, 3)):
        together = raw([predictions[s] for predictions in found])
        for phase in range(k):
            alone = Stream(real, phases=1)
            separate = raw([alone.step(frame, i / 10)
                            for i, frame in enumerate(frames[s][phase::k])])
            assert together[phase::k] == pytest.approx(separate, abs=1e-5)
