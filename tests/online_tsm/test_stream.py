"""Frames in, predictions and events out, on engines that really remember."""

from __future__ import annotations

import time as clocks
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from models.card import ModelCard, Smoothing
from online_tsm.labels import LabelError
from online_tsm.preprocess import FrameError, Preprocessor
from online_tsm.stream import Prediction, Stream, StreamError, step_streams

LABELS = ("left", "right", "stop", "nothing")
RATE = 10.0  # the card's, steps a second
WARMUP = 3


def card(**changes) -> ModelCard:
    """Frames of 4 x 4 pixels reach the engine as they are: grey levels 0 to 255, in BGR."""
    plain: dict[str, Any] = {
        "background": ("nothing",), "mirrored_pairs": (("left", "right"),), "frame_rate": RATE,
        "warmup_steps": WARMUP, "input_size": (4, 4), "resize": "whole-frame", "colour": "bgr",
        "mean": (0, 0, 0), "std": (1 / 255,) * 3}
    return ModelCard("tiny", "mobilenet_v2", LABELS, **{**plain, **changes})


class Memory:
    """An engine whose state is an exponential memory of the frames and the last frame's number.

    Logits: the memory's means over the four quarters. `seen` keeps what each step looked back to.
    """

    name, device, provider, precision, threads, note = "test", "cpu", "test", "fp32", 1, ""
    shifted_blocks = 1

    def __init__(self, of: ModelCard | None = None) -> None:
        self.card = of or card()
        self.seen: list[tuple[int, int | None]] = []  # (frame, frame of the state)
        self.passes = 0
        self._logits = np.empty((0, 4), np.float32)

    def open_state(self) -> Any:
        return np.zeros((3, 4, 4), np.float32), None

    def step(self, inputs: np.ndarray, states: Sequence[Any]) -> tuple[np.ndarray, list[Any]]:
        self.passes += 1
        if len(self._logits) != len(inputs):
            self._logits = np.empty((len(inputs), 4), np.float32)  # reused, as real engines do
        after = []
        for row, (frame, (memory, last)) in enumerate(zip(inputs, states, strict=True)):
            number = number_in(frame)
            blend = 0.5 * memory + frame
            self._logits[row] = blend.reshape(3, 2, 2, 2, 2).mean(axis=(0, 2, 4)).ravel() / 50
            self.seen.append((number, last))
            after.append((blend, number))
        return self._logits, after


def image(number: int) -> np.ndarray:
    """A frame with its number in two pixels and noise of its own in the others."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
    pixels[0, 0, 0], pixels[0, 1, 0] = number % 256, number // 256
    return pixels


def number_in(frame: np.ndarray) -> int:
    return round(float(frame[0, 0, 0])) + 256 * round(float(frame[0, 0, 1]))


def run(stream: Stream, times: Sequence[float], first: int = 0) -> list[Prediction]:
    return [stream.step(image(first + i), time) for i, time in enumerate(times)]


def raw(predictions: Sequence[Prediction]) -> np.ndarray:
    return np.array([prediction.logits for prediction in predictions])


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


class Script:
    """An engine whose logits are the frame's first pixel as a class; its state counts steps."""

    name, device, provider, precision, threads, note = "test", "cpu", "test", "fp32", 1, ""
    shifted_blocks = 1

    def __init__(self, of: ModelCard | None = None) -> None:
        self.card = of or card(smoothing=Smoothing(window_s=0.2))

    def open_state(self) -> int:
        return 0

    def step(self, inputs: np.ndarray, states: Sequence[int]) -> tuple[np.ndarray, list[int]]:
        logits = np.full((len(inputs), 4), -4, np.float32)
        for row, frame in enumerate(inputs):
            logits[row, int(frame[0, 0, 0])] = 4
        return logits, [state + 1 for state in states]


def show(stream: Stream, *parts: tuple[str, float], rate: float = 20, start: float = 0.0
         ) -> list[Prediction]:
    """Predictions while each label of `parts` is shown for so many seconds."""
    found, frame = [], 0
    for label, seconds in parts:
        picture = np.full((4, 4, 3), LABELS.index(label), np.uint8)
        for _ in range(round(seconds * rate)):
            found.append(stream.step(picture, start + frame / rate))
            frame += 1
    return found


def fired(predictions: Sequence[Prediction]) -> list[str]:
    return [event.label for prediction in predictions for event in prediction.events]


@pytest.mark.parametrize("rate", [10, 20, 40])
def test_gestures_become_one_event_each_with_time_and_index_of_their_frame(rate):
    found = show(Stream(Script()), ("nothing", 1), ("stop", 1), ("nothing", 1), ("left", 0.6),
                 ("right", 0.4), ("nothing", 1), ("stop", 0.5), rate=rate, start=7.0)
    assert fired(found) == ["stop", "left", "stop"]  # "right" is the hand's way back
    for prediction in found:
        for event in prediction.events:
            assert (event.time, event.index) == (prediction.time, prediction.index)
            assert event.label == prediction.label
            assert event.confidence == prediction.confidence > 0.6


def test_cold_predictions_fire_nothing_and_leave_no_trace():
    """A stop sign that is seen only while cold; the same one fires once the phase is warm."""
    held = show(Stream(Script()), ("stop", 2.0))
    assert fired(held) == ["stop"]
    assert [p.cold for p in held[:8]] == [True] * 2 * WARMUP + [False] * 2
    assert all(not p.events for p in held if p.cold)
    brief = show(Stream(Script()), ("stop", 2 * WARMUP / 20), ("nothing", 2.0))
    assert fired(brief) == []
    assert brief[2 * WARMUP].probabilities[LABELS.index("stop")] < 0.01


def test_a_stream_without_warm_up_is_never_cold():
    engine = Script(card(warmup_steps=0))
    assert not any(p.cold for p in show(Stream(engine), ("stop", 1.0)))


def test_lists_and_constants_reach_the_head_and_the_detector():
    assert fired(show(Stream(Script(), deny=["stop"]), ("stop", 1))) == []
    assert fired(show(Stream(Script(), allow=["left"]), ("stop", 1), ("left", 1))) == ["left"]
    slow = Script(card(smoothing=Smoothing(hold_s=9)))
    assert fired(show(Stream(slow), ("stop", 3))) == []
    mute = Script(card(smoothing=Smoothing(disabled=("stop",))))
    assert fired(show(Stream(mute), ("stop", 1))) == []
    assert fired(show(Stream(mute, allow=["stop"]), ("stop", 1))) == ["stop"]


def test_predictions_stay_as_they_were():
    stream = Stream(Memory())
    found = run(stream, [i / 20 for i in range(20)])
    copies = [(p.logits.copy(), p.probabilities.copy()) for p in found]
    run(stream, [1 + i / 20 for i in range(50)], first=20)
    for prediction, (logits, probabilities) in zip(found, copies, strict=True):
        assert np.array_equal(prediction.logits, logits)
        assert np.array_equal(prediction.probabilities, probabilities)
        with pytest.raises(ValueError, match="read-only"):
            prediction.logits[0] = 1
    assert len({p.logits.tobytes() for p in found}) > 10


def test_a_frame_may_be_overwritten_after_the_step():
    one, other = Stream(Memory()), Stream(Memory())
    buffer = np.empty((4, 4, 3), np.uint8)
    reused = []
    for i in range(12):
        buffer[:] = image(i)
        reused.append(one.step(buffer, i / 20))
        buffer[:] = 0
    assert np.array_equal(raw(reused), raw(run(other, [i / 20 for i in range(12)])))


def test_stage_times_are_those_of_the_work():
    class Slow(Script):
        def step(self, inputs, states):
            clocks.sleep(0.02)
            return super().step(inputs, states)

    prediction = Stream(Slow()).step(np.zeros((4, 4, 3), np.uint8), 0.0)
    assert set(prediction.stages) == {"preprocess", "network", "smoothing"}
    assert 0.02 <= prediction.stages["network"] < 0.2
    assert 0 < prediction.stages["preprocess"] < 0.01
    assert 0 < prediction.stages["smoothing"] < 0.01


def test_several_streams_step_in_one_pass_and_equal_themselves_alone():
    engine = Memory()
    starts = [0, 300, 600]
    streams = [Stream(engine) for _ in starts]
    rates = [10, 20, 37]
    batched: list[list[Prediction]] = []
    for i in range(30):
        if i == 15:
            streams[1].reset()
        batched.append(step_streams(streams, [image(start + i) for start in starts],
                                    [i / rate for rate in rates]))
    assert engine.passes == 30
    for which, (start, rate) in enumerate(zip(starts, rates, strict=True)):
        alone = Stream(Memory())
        for i in range(30):
            if i == 15 and which == 1:
                alone.reset()
            single = alone.step(image(start + i), i / rate)
            assert np.array_equal(single.logits, batched[i][which].logits)
            assert np.array_equal(single.probabilities, batched[i][which].probabilities)
            assert single.phase == batched[i][which].phase
    changing = step_streams(streams[:2], [image(1), image(2)], [9.0, 9.0])
    assert len(changing) == 2


def test_streams_that_cannot_step_together_are_told_so():
    engine = Memory()
    one, two = Stream(engine), Stream(engine)
    with pytest.raises(StreamError, match="same number"):
        step_streams([one, two], [image(0)], [0.0, 0.0])
    with pytest.raises(StreamError, match="at least one"):
        step_streams([], [], [])
    with pytest.raises(StreamError, match="share one engine"):
        step_streams([one, Stream(Memory())], [image(0)] * 2, [0.0, 0.0])
    with pytest.raises(StreamError, match="twice"):
        step_streams([one, one], [image(0)] * 2, [0.0, 0.1])


@pytest.mark.parametrize("bad", ["image", "time"])
def test_a_refused_frame_leaves_all_streams_as_they_were(bad):
    engine = Memory()
    streams = [Stream(engine), Stream(engine)]
    for i in range(10):
        step_streams(streams, [image(i), image(i)], [i / 20] * 2)
    wrong = image(10).astype(np.float32) if bad == "image" else image(10)
    with pytest.raises((FrameError, StreamError)):
        step_streams(streams, [image(10), wrong], [0.5, 0.5 if bad == "image" else float("nan")])
    after = step_streams(streams, [image(10)] * 2, [0.5] * 2)
    expected = run(Stream(Memory()), [i / 20 for i in range(11)])[-1]
    for prediction in after:
        assert np.array_equal(prediction.logits, expected.logits)
        assert prediction.index == 10


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


def test_logits_that_are_no_numbers_are_an_error_and_not_a_prediction():
    class Broken(Script):
        def step(self, inputs, states):
            logits, after = super().step(inputs, states)
            logits[0, 0] = np.nan
            return logits, after

    with pytest.raises(StreamError, match="not finite"):
        Stream(Broken()).step(image(0), 0.0)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"phases": 0}, "phases is 0"), ({"phases": 1.5}, "phases is 1.5"),
    ({"phases": 65}, "phases is 65"), ({"preset": "offical"}, "unknown preset 'offical'"),
    ({"preset": "official", "deny": ["stop"]}, "official preset has its own")])
def test_settings_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(StreamError, match=message):
        Stream(Memory(), **arguments)


def test_the_official_preset_refuses_other_labels():
    with pytest.raises(LabelError, match="27 Jester labels"):
        Stream(Memory(), preset="official")


def test_one_phase_is_stepped_on_every_frame_whatever_its_time():
    engine = Memory()
    run(Stream(engine, phases=1), [0, 0.001, 0.3, 0.31, 0.32])
    assert [last for _, last in engine.seen] == [None, 0, 1, 2, 3]


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
