"""The smoothing head: windows of time, votes, lists of classes."""

from __future__ import annotations

import numpy as np
import pytest

from models.card import ModelCard, Smoothing
from online_tsm.smoothing import MAX_VOTES, SmoothingHead, softmax

LABELS = ("wave", "point", "fist", "nothing")


def card(**smoothing) -> ModelCard:
    return ModelCard("test", "mobilenet_v2", LABELS, background=("nothing",),
                     smoothing=Smoothing(**smoothing))


def logits(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def signal(time: float) -> np.ndarray:
    """The same hand at any frame rate: it rests, waves from 1 s to 2 s, and rests."""
    wave = 6.0 * np.clip(min(time - 1.0, 2.0 - time) * 5, 0, 1)
    return logits(wave, 0.5 * np.sin(3 * time), 0, 3)


def test_logits_are_averaged_and_not_probabilities():
    head = SmoothingHead(card(window_s=1.0))
    head.update(0.0, logits(4, 0, 0, 0))
    smoothed = head.update(0.1, logits(0, 2, 0, 0))
    assert smoothed == pytest.approx(softmax(logits(2, 1, 0, 0)))
    assert smoothed.sum() == pytest.approx(1)


def test_a_vote_counts_for_the_window_and_no_longer():
    head = SmoothingHead(card(window_s=0.5))
    head.update(10.0, logits(9, 0, 0, 0))
    assert head.update(10.49, logits(0, 0, 0, 0))[0] > 0.9
    assert head.update(10.5, logits(0, 0, 0, 0)) == pytest.approx(0.25)


def test_an_empty_window_leaves_the_newest_logits():
    head = SmoothingHead(card(window_s=0.0))
    head.update(0.0, logits(9, 0, 0, 0))
    assert head.update(0.0, logits(0, 9, 0, 0))[1] > 0.9


@pytest.mark.parametrize("rate", [15, 60])
def test_the_frame_rate_does_not_change_the_outcome(rate):
    """Compared with 30 frames a second, every 1/15 s, over the same 3 s."""
    smoothed = {}
    for frames in (30, rate):
        head = SmoothingHead(card())
        steps = [head.update(i / frames, signal(i / frames)) for i in range(3 * frames)]
        smoothed[frames] = np.array(steps[:: frames // 15])
    wave = smoothed[30][:, 0]
    assert wave.max() > 0.8
    assert wave.min() < 0.1
    # a window of 0.6 s is off by at most half a frame; the signal's slope makes 0.1 of it
    assert smoothed[rate] == pytest.approx(smoothed[30], abs=0.1)
    crossings = [np.flatnonzero(found[:, 0] > 0.5)[[0, -1]] for found in smoothed.values()]
    assert np.abs(crossings[0] - crossings[1]).max() <= 1


def test_temperature_flattens_and_sharpens():
    one = logits(2, 1, 0, 0)
    mild, plain, sharp = (SmoothingHead(card(temperature=t)).update(0.0, one)[0]
                          for t in (4.0, 1.0, 0.25))
    assert mild < plain < sharp
    assert mild == pytest.approx(softmax(one / 4)[0])


def test_huge_logits_overflow_nothing():
    assert softmax(logits(5000, 0, -5000, 0)) == pytest.approx([1, 0, 0, 0])


def test_a_disabled_class_gets_nothing_and_the_others_share_it():
    smoothed = SmoothingHead(card(disabled=("wave",))).update(0.0, logits(9, 2, 0, 0))
    assert smoothed[0] == 0
    assert smoothed[1:] == pytest.approx(softmax(logits(2, 0, 0)))


def test_cold_logits_do_not_vote():
    head = SmoothingHead(card(window_s=1.0))
    head.update(0.0, logits(3, 0, 0, 0))
    shown = head.update(0.1, logits(0, 99, 0, 0), cold=True)
    assert shown == pytest.approx(softmax(logits(3, 0, 0, 0)))
    assert head.update(0.2, logits(3, 0, 0, 0)) == pytest.approx(softmax(logits(3, 0, 0, 0)))


def test_cold_logits_are_shown_while_there_is_nothing_else():
    head = SmoothingHead(card())
    assert head.update(0.0, logits(0, 9, 0, 0), cold=True)[1] > 0.9
    assert head.update(0.1, logits(9, 0, 0, 0))[0] > 0.9


def test_reset_forgets_the_votes():
    head = SmoothingHead(card())
    head.update(0.0, logits(50, 0, 0, 0))
    head.reset()
    assert head.update(0.1, logits(0, 1, 0, 0))[0] < 0.25


def test_votes_are_kept_in_rows_that_are_used_again():
    head = SmoothingHead(card(window_s=0.6))
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((5 * MAX_VOTES, 4)).astype(np.float32)
    n = 600  # votes in the window
    assert n < MAX_VOTES
    for index, row in enumerate(rows):
        smoothed = head.update(index * 0.001, row)
        if index % 97 == 96:
            mean = rows[max(0, index - n + 1):index + 1].mean(axis=0, dtype=np.float64)
            assert smoothed == pytest.approx(softmax(mean), abs=1e-6)


def test_a_clock_that_stands_still_keeps_a_bounded_number_of_votes():
    head = SmoothingHead(card(window_s=0.6))
    rows = np.random.default_rng(0).standard_normal((3 * MAX_VOTES, 4)).astype(np.float32)
    for row in rows:
        smoothed = head.update(0.0, row)
    mean = rows[-MAX_VOTES:].mean(axis=0, dtype=np.float64)
    assert smoothed == pytest.approx(softmax(mean), abs=1e-6)
