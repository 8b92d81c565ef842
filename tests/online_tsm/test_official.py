"""The official demo's decision, against a plain transcription of its rules."""

from __future__ import annotations

import numpy as np
import pytest

from models.card import ModelCard
from models.jester import ALPHABETICAL, CSV_ORDER
from online_tsm.labels import LabelError
from online_tsm.official import OfficialHead
from online_tsm.phases import Turn

PLACE = {label: place for place, label in enumerate(ALPHABETICAL)}
MASKED = {3, 7, 8, 21, 22}  # as the demo numbers its classes


def card(labels: tuple[str, ...] = ALPHABETICAL) -> ModelCard:
    return ModelCard("test", "mobilenet_v2", labels)


def turn(frame: int = 0, phases: int = 1, cold: bool = False) -> Turn:
    return Turn(0, phases, frame / 15, 1 / 15, False, cold, False)


def logits_of(*labels: str) -> list[np.ndarray]:
    found = np.full((len(labels), 27), -1, np.float32)
    for row, label in zip(found, labels, strict=True):
        row[PLACE[label]] = 1
    return list(found)


def demo(sequence: list[np.ndarray]) -> list[int]:
    """What the demo shows for each frame; its history begins with a second entry, or it crashes."""
    history, recent, shown = [2, 2], [], []
    for logits in sequence:
        recent = [*recent, logits][-12:]
        best = int(np.argmax(sum(recent)))
        if best in MASKED:
            best = history[-1]
        if best == 0:
            best = 2
        if best != history[-1] and history[-1] != history[-2]:
            best = history[-1]
        history = [*history, best][-20:]
        shown.append(best)
    return shown


def play(sequence: list[np.ndarray], of: ModelCard | None = None, phases: int = 1):
    head = OfficialHead(of or card())
    return [head.update(turn(frame, phases), logits, frame)
            for frame, logits in enumerate(sequence)]


@pytest.mark.parametrize("seed", range(5))
def test_one_phase_decides_as_the_demo_does(seed):
    """Random logits that linger, so that labels change often and every rule is used."""
    rng = np.random.default_rng(seed)
    sequence = [rng.normal(0, 1, 27).astype(np.float32) for _ in range(40)]
    sequence += [row for _ in range(100) for row in
                 [3 * rng.normal(0, 1, 27).astype(np.float32)] * int(rng.integers(1, 8))]
    shown = [place for place, _, _ in play(sequence)]
    assert shown == demo(sequence)
    assert len(set(shown)) > 10
    raw = {int(np.argmax(np.sum(sequence[max(0, i - 11):i + 1], axis=0)))
           for i in range(len(sequence))}
    assert raw & MASKED
    assert not set(shown) & MASKED


def test_a_gesture_as_the_first_label_is_no_crash():
    (place, _, events), *_ = play(logits_of("Swiping Left"))
    assert ALPHABETICAL[place] == "Swiping Left"
    assert [event.label for event in events] == ["Swiping Left"]


def test_twelve_logits_are_summed_and_no_more():
    sequence = logits_of(*["Stop Sign"] * 30, *["Thumb Up"] * 12)
    shown = [ALPHABETICAL[place] for place, _, _ in play(sequence)]
    assert shown.index("Thumb Up") == 30 + 6  # the seventh of twelve outvotes the other five


def test_doing_other_things_is_shown_as_no_gesture_and_neither_fires():
    found = play(logits_of(*["Doing other things"] * 20, *["No gesture"] * 20))
    assert {ALPHABETICAL[place] for place, _, _ in found} == {"No gesture"}
    assert not any(events for _, _, events in found)


def test_each_change_to_a_gesture_is_one_event():
    found = play(logits_of(*["No gesture"] * 12, *["Thumb Up"] * 20, *["Thumb Down"] * 20,
                           *["No gesture"] * 20, *["Thumb Up"] * 20))
    events = [event for _, _, events in found for event in events]
    assert [event.label for event in events] == ["Thumb Up", "Thumb Down", "Thumb Up"]
    assert [event.time for event in events] == [pytest.approx(event.index / 15)
                                                for event in events]


def test_cold_steps_decide_but_fire_nothing():
    head = OfficialHead(card())
    found = [head.update(turn(frame, cold=frame < 20), logits, frame)
             for frame, logits in enumerate(logits_of(*["Thumb Up"] * 20, *["Stop Sign"] * 20))]
    assert ALPHABETICAL[found[10][0]] == "Thumb Up"
    assert [event.label for _, _, events in found for event in events] == ["Stop Sign"]


def test_probabilities_are_those_of_the_mean_logits():
    _, probabilities, _ = play(logits_of("Thumb Up", "Stop Sign"))[-1]
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities[PLACE["Thumb Up"]] == pytest.approx(probabilities[PLACE["Stop Sign"]])


@pytest.mark.parametrize("k", [2, 3])
def test_with_k_phases_it_takes_the_same_time(k):
    sequence = logits_of(*["No gesture"] * 20, *["Thumb Up"] * 20, *["Stop Sign"] * 20)
    hasty = logits_of("Thumb Down", "Shaking Hand", *["Shaking Hand"] * 10)
    sequence += [10 ** (place + 2) * row for place, row in enumerate(hasty)]  # held for a while
    one = [place for place, _, _ in play(sequence)]
    many = [place for place, _, _ in play([row for row in sequence for _ in range(k)], phases=k)]
    changes = 1 + np.flatnonzero(np.diff(one))
    assert list(changes[2:]) == [60, 62]
    assert np.array_equal((1 + np.flatnonzero(np.diff(many))) // k, changes)


def test_the_labels_may_stand_in_another_order():
    order = [CSV_ORDER.index(label) for label in ALPHABETICAL]
    rng = np.random.default_rng(0)
    sequence = [row for _ in range(60) for row in [rng.normal(0, 2, 27).astype(np.float32)] * 4]
    other = [row[np.argsort(order)] for row in sequence]
    shown = [CSV_ORDER[place] for place, _, _ in play(other, card(CSV_ORDER))]
    assert shown == [ALPHABETICAL[place] for place in demo(sequence)]


def test_other_labels_are_refused_with_the_difference():
    with pytest.raises(LabelError, match=r"27 Jester labels; model 'test' has 26 labels.*Zooming"):
        OfficialHead(card(ALPHABETICAL[:-1]))
    with pytest.raises(LabelError, match=r"has 3 labels"):
        OfficialHead(ModelCard("test", "mobilenet_v2", ("a", "b", "c")))


def test_reset_goes_back_to_no_gesture():
    head = OfficialHead(card())
    for frame, logits in enumerate(logits_of(*["Thumb Up"] * 12)):
        head.update(turn(frame), logits, frame)
    head.reset()
    for frame, logits in enumerate(logits_of("No gesture", "Thumb Up")):
        place, _, _ = head.update(turn(frame), logits, frame)
    assert ALPHABETICAL[place] == "No gesture"  # a tie of two, were "Thumb Up" not forgotten
