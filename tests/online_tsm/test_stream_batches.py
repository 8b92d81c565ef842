"""Several streams in one pass of their engine."""

from __future__ import annotations

import numpy as np
import pytest
from toy_engines import Memory, image, run

from online_tsm.preprocess import FrameError
from online_tsm.stream import Prediction, Stream, StreamError, step_streams


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
