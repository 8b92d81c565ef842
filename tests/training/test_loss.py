"""What the loss asks for, and what the validation counts, frame by frame."""

from __future__ import annotations

import pytest
import torch

from training.loss import gesture_of, sequence_loss
from training.recipe import LossOptions
from training.samples import Batch
from training.validation import Case, _sums_of, scores

IDLE, LEFT, STOP = 3, 0, 2


def batch(places: list[list[int]], weights: list[list[float]]) -> Batch:
    pixels = torch.zeros(len(places), len(places[0]), 3, 2, 2, dtype=torch.uint8)
    return Batch(pixels, torch.tensor(places), torch.tensor(weights))


def test_frames_without_weight_ask_for_nothing() -> None:
    asked = batch([[IDLE, LEFT, IDLE]], [[0.5, 1.0, 0.0]])
    logits = torch.zeros(1, 3, 4)
    logits[0, 0, IDLE] = logits[0, 1, LEFT] = 20
    right = sequence_loss(logits, asked, IDLE, LossOptions(label_smoothing=0), lambda x: x)
    assert right.total < 1e-3
    assert (right.frames, right.sequences) == (1, 1)
    logits[0, 2, STOP] = 50  # asked for nothing there
    assert sequence_loss(logits, asked, IDLE, LossOptions(label_smoothing=0),
                         lambda x: x).total < 1e-3
    logits[0, 0, STOP] = 50  # shouting at a person who sits still
    shout = sequence_loss(logits, asked, IDLE, LossOptions(label_smoothing=0), lambda x: x)
    assert shout.total > 5


def test_the_pooled_part_is_about_the_last_gesture_that_is_clear() -> None:
    asked = batch([[LEFT, IDLE, STOP, STOP], [IDLE, IDLE, IDLE, LEFT], [IDLE, IDLE, LEFT, IDLE]],
                  [[1, 0.5, 0.6, 1], [0.5, 0.5, 0, 0.3], [0, 0, 0, 0]])
    labels, shares = gesture_of(asked, IDLE)
    assert labels.tolist() == [STOP, IDLE, IDLE]  # a weight of .3 is not clear
    assert shares[0].tolist() == pytest.approx([0, 0, 0.375, 0.625])
    assert shares[1].tolist() == pytest.approx([0.5, 0.5, 0, 0])
    assert shares[2].sum() == 0


def test_a_false_alarm_is_a_sure_gesture_in_an_idle_frame_that_is_asked() -> None:
    case = Case(torch.zeros(4, 3, 2, 2), torch.tensor([IDLE, IDLE, LEFT, LEFT]),
                torch.tensor([0.5, 0.0, 1.0, 1.0]), LEFT)
    logits = torch.zeros(4, 4)
    logits[torch.arange(4), [LEFT, LEFT, LEFT, STOP]] = torch.tensor([9.0, 9.0, 9.0, 5.0])
    sums = _sums_of(case, logits, torch.tensor([IDLE]))
    assert sums[:5].tolist() == [1, 1, 1, 1, 1]  # right, among three, cases, alarms, idle frames
    found = scores(sums)
    assert (found.top1, found.alarms) == (1, 1)
    logits[0] = 0
    assert scores(_sums_of(case, logits, torch.tensor([IDLE]))).alarms == 0
