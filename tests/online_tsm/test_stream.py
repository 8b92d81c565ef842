"""Frames in, predictions and events out, on engines that really remember."""

from __future__ import annotations

import time as clocks

import numpy as np
import pytest
from toy_engines import LABELS, WARMUP, Memory, Script, card, fired, image, raw, run, show

from models.card import Smoothing
from online_tsm.labels import LabelError
from online_tsm.stream import Stream, StreamError


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
    assert fired(show(Stream(Script(), allow="left"), ("stop", 1), ("left", 1))) == ["left"]
    slow = Script(card(smoothing=Smoothing(hold_s=9)))
    assert fired(show(Stream(slow), ("stop", 3))) == []
    mute = Script(card(smoothing=Smoothing(disabled=("stop",))))
    assert fired(show(Stream(mute), ("stop", 1))) == []
    assert fired(show(Stream(mute, allow=["stop"]), ("stop", 1))) == ["stop"]
    assert fired(show(Stream(mute, allow="all"), ("stop", 1))) == ["stop"]


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


def test_a_time_is_a_plain_number_whatever_was_given():
    """A NumPy float32 is one that JSON refuses."""
    assert type(Stream(Memory()).step(image(0), np.float32(0.5)).time) is float


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
