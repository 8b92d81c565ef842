"""The event detector: one event a gesture, none for what is none."""

from __future__ import annotations

import numpy as np
import pytest

from models.card import ModelCard, Smoothing
from models.jester import ALPHABETICAL, BACKGROUND, MIRRORED_PAIRS
from online_tsm.events import Event, EventDetector
from online_tsm.smoothing import SmoothingHead

REST = "No gesture"
SMOOTHING = Smoothing(window_s=0.4, rise=0.6, fall=0.3, hold_s=0.1, margin=0.15,
                      cooldown_s=0.4, return_s=0.9)


def jester(**smoothing) -> ModelCard:
    card = ModelCard("test", "mobilenet_v2", ALPHABETICAL, background=BACKGROUND,
                     mirrored_pairs=MIRRORED_PAIRS, smoothing=SMOOTHING)
    return card.replace(smoothing=smoothing)


def shares(**named: float) -> np.ndarray:
    """Probabilities [27]: `named` ones (underscores for spaces), the rest goes to REST."""
    found = np.zeros(27, np.float32)
    for name, share in named.items():
        found[ALPHABETICAL.index(name.replace("_", " "))] = share
    found[ALPHABETICAL.index(REST)] += 1 - found.sum()
    return found


def play(detector: EventDetector, *parts: tuple[str, float, float], rate: float = 30,
         start: float = 0.0) -> list[Event]:
    """Events of a sequence of (label, probability, seconds); the rest goes to REST."""
    events, frame = [], 0
    for label, share, seconds in parts:
        for _ in range(round(seconds * rate)):
            probabilities = shares(**{label.replace(" ", "_"): share})
            events += detector.update(start + frame / rate, probabilities, frame)
            frame += 1
    return events


def names(events: list[Event]) -> list[str]:
    return [event.label for event in events]


@pytest.mark.parametrize("rate", [10, 15, 30, 60, 120])
def test_a_gesture_fires_once_however_long_it_is_held(rate):
    events = play(EventDetector(jester()), (REST, 1, 0.5), ("Stop Sign", 0.9, 5), (REST, 1, 1),
                  rate=rate, start=100.0)
    assert names(events) == ["Stop Sign"]
    assert 100.6 <= events[0].time + 1e-6 <= 100.7 + 1 / rate  # the frame after hold_s
    assert events[0].confidence == pytest.approx(0.9)
    assert events[0].index == round((events[0].time - 100) * rate)


def test_a_flicker_shorter_than_the_hold_is_nothing():
    parts = [("Stop Sign", 0.9, 0.067), (REST, 1, 0.3)] * 4
    assert play(EventDetector(jester()), *parts) == []


def test_the_upper_threshold_is_the_cards_and_each_class_may_have_its_own():
    detector = EventDetector(jester(thresholds={"Thumb Up": 0.8, "Stop Sign": 0.5}))
    weak = play(detector, ("Thumb Up", 0.75, 1), (REST, 1, 1), ("Swiping Up", 0.55, 1))
    assert weak == []
    strong = play(detector, ("Thumb Up", 0.85, 1), (REST, 1, 1), ("Stop Sign", 0.58, 1), start=9)
    assert names(strong) == ["Thumb Up", "Stop Sign"]


def test_each_class_may_have_a_hold_of_its_own():
    detector = EventDetector(jester(holds={"Stop Sign": 0.5}))
    short = play(detector, ("Stop Sign", 0.9, 0.4), (REST, 1, 1), ("Thumb Up", 0.9, 0.4))
    assert names(short) == ["Thumb Up"]
    (event,) = play(detector, (REST, 1, 1), ("Stop Sign", 0.9, 1), start=9)
    assert event.time == pytest.approx(10.5, abs=0.04)


def test_a_class_that_hardly_leads_does_not_fire():
    detector = EventDetector(jester(rise=0.4))
    for frame in range(60):
        near = shares(Swiping_Left=0.5, Sliding_Two_Fingers_Left=0.4)
        assert detector.update(frame / 30, near) == ()
    for frame in range(60, 90):
        clear = shares(Swiping_Left=0.5, Sliding_Two_Fingers_Left=0.3)
        if detector.update(frame / 30, clear):
            return
    pytest.fail("a clear lead fired nothing")


def test_it_fires_again_only_after_it_sank_under_the_lower_threshold():
    detector = EventDetector(jester())
    assert names(play(detector, ("Thumb Up", 0.9, 1), ("Thumb Up", 0.4, 1), ("Thumb Up", 0.9, 1)
                      )) == ["Thumb Up"]
    assert names(play(detector, ("Thumb Up", 0.2, 0.1), ("Thumb Up", 0.9, 1), start=3)
                 ) == ["Thumb Up"]


def test_a_class_with_a_threshold_under_the_common_lower_one_still_fires_once():
    detector = EventDetector(jester(thresholds={"Thumb Up": 0.25}, margin=0.0))
    probabilities = shares(Thumb_Up=0.28)
    probabilities[ALPHABETICAL.index(REST)] = 0
    probabilities[[0, 1, 3, 4]] = 0.18
    fired = [detector.update(frame / 30, probabilities) for frame in range(90)]
    assert len([events for events in fired if events]) == 1


def test_the_cooldown_parts_two_events_of_one_class():
    parts = [("Stop Sign", 0.9, 0.2), (REST, 1, 0.1)] * 6
    times = [event.time for event in play(EventDetector(jester(cooldown_s=0.5)), *parts)]
    assert len(times) >= 3
    assert np.diff(times).min() >= 0.5 - 1e-6


@pytest.mark.parametrize("label", BACKGROUND)
def test_background_never_fires(label):
    assert play(EventDetector(jester()), (label, 1, 3)) == []


def test_a_disabled_class_never_fires():
    parts = (("Shaking Hand", 0.9, 1), (REST, 1, 1), ("Stop Sign", 0.9, 1))
    disabled = EventDetector(jester(disabled=("Shaking Hand",)))
    assert names(play(disabled, *parts)) == ["Stop Sign"]
    assert names(play(EventDetector(jester()), *parts)) == ["Shaking Hand", "Stop Sign"]


@pytest.mark.parametrize(("there", "back"), [
    ("Swiping Left", "Swiping Right"), ("Swiping Down", "Swiping Up"),
    ("Zooming In With Full Hand", "Zooming Out With Full Hand"),
    ("Pulling Two Fingers In", "Pushing Two Fingers Away"),
    ("Swiping Left", "Sliding Two Fingers Right")])
def test_the_returning_hand_fires_nothing(there, back):
    for first, second in ((there, back), (back, there)):
        events = play(EventDetector(jester()), (first, 0.9, 0.5), (REST, 1, 0.2),
                      (second, 0.9, 1.5), (REST, 1, 1))
        assert names(events) == [first]


def test_the_opposite_fires_if_it_rises_after_the_hand_is_back():
    events = play(EventDetector(jester()), ("Swiping Left", 0.9, 0.5), (REST, 1, 0.8),
                  ("Swiping Right", 0.9, 0.5))
    assert names(events) == ["Swiping Left", "Swiping Right"]


def test_a_gesture_repeated_with_returns_between_fires_each_time():
    parts = [("Swiping Left", 0.9, 0.5), ("Swiping Right", 0.8, 0.4)] * 3
    assert names(play(EventDetector(jester()), *parts)) == ["Swiping Left"] * 3


def test_a_way_back_that_was_silent_silences_nothing_itself():
    events = play(EventDetector(jester()), ("Swiping Left", 0.9, 0.3), ("Swiping Right", 0.9, 0.3),
                  ("Swiping Left", 0.9, 0.3))
    assert names(events) == ["Swiping Left"] * 2


@pytest.mark.parametrize("pause", [0.0, 0.2, 0.3])
def test_two_different_gestures_shortly_after_one_another_are_both_kept(pause):
    events = play(EventDetector(jester()), ("Swiping Left", 0.9, 0.4), (REST, 1, pause),
                  ("Swiping Up", 0.9, 0.4), (REST, 1, pause), ("Stop Sign", 0.9, 0.4))
    assert names(events) == ["Swiping Left", "Swiping Up", "Stop Sign"]


@pytest.mark.parametrize("pause", [0.0, 0.1, 0.4])
def test_thumb_up_down_up_in_a_row_are_all_kept(pause):
    events = play(EventDetector(jester()), ("Thumb Up", 0.9, 0.5), (REST, 1, pause),
                  ("Thumb Down", 0.9, 0.5), (REST, 1, pause), ("Thumb Up", 0.9, 0.5))
    assert names(events) == ["Thumb Up", "Thumb Down", "Thumb Up"]


@pytest.mark.parametrize("rate", [15, 30, 60])
def test_logits_of_the_same_hand_fire_the_same_events_at_any_frame_rate(rate):
    """Smoothing and detector together: a swipe, 0.3 s, another gesture, then thumbs."""
    plan = [(1.0, 1.7, "Swiping Left"), (2.0, 2.7, "Stop Sign"), (3.5, 4.3, "Thumb Up"),
            (4.3, 5.1, "Thumb Down"), (5.1, 5.9, "Thumb Up")]
    card = jester()
    head, detector = SmoothingHead(card), EventDetector(card)
    events = []
    for frame in range(7 * rate):
        time = frame / rate
        logits = np.zeros(27, np.float32)
        logits[ALPHABETICAL.index(REST)] = 5
        for start, end, label in plan:
            if start <= time < end:
                logits[ALPHABETICAL.index(label)] = 11
        events += detector.update(time, head.update(time, logits), frame)
    assert names(events) == [label for _, _, label in plan]
    for event, (start, end, _) in zip(events, plan, strict=True):
        assert start < event.time < end
    delays = [event.time - start for event, (start, _, _) in zip(events, plan, strict=True)]
    assert delays == pytest.approx([0.33] * 5, abs=0.1)


def test_reset_forgets_what_fired_and_what_was_rising():
    detector = EventDetector(jester())
    assert len(play(detector, ("Thumb Up", 0.9, 0.5))) == 1
    detector.reset()
    assert len(play(detector, ("Thumb Up", 0.9, 0.5))) == 1  # times from 0 again
    detector.reset()
    assert detector.update(50.0, shares(Thumb_Up=0.9)) == ()  # the hold begins anew


def fires(detector: EventDetector, **named: float) -> list[str]:
    return names([event for frame in range(10)
                  for event in detector.update(frame / 10, shares(**named), frame)])


def test_an_added_class_takes_nothing_from_the_others_thresholds():
    """Thumb Up at 0.9 of what the shipped classes share is enough for its 0.85, though taught
    classes took a third of everything."""
    card = jester(thresholds={"Thumb Up": 0.85})
    share = {"Thumb_Up": 0.6, "Shaking_Hand": 0.2, "Drumming_Fingers": 0.13}
    assert fires(EventDetector(card), **share) == []
    added = card.replace(smoothing={"added": ["Shaking Hand", "Drumming Fingers"]})
    assert fires(EventDetector(added), **share) == ["Thumb Up"]
    assert fires(EventDetector(added), Thumb_Up=0.5, Shaking_Hand=0.4) == []  # the margin holds
    assert fires(EventDetector(added), Thumb_Up=0.6) == []  # REST took the rest


def test_a_gesture_held_beside_an_added_class_fires_once():
    """0.28 is enough for half of the upper threshold, and not under half of the lower one."""
    detector = EventDetector(jester(rise=0.5, margin=0.0, added=["Drumming Fingers",
                                                                 "Shaking Hand"]))
    held = {"Thumb_Up": 0.28, "Shaking_Hand": 0.25, "Drumming_Fingers": 0.25}
    fired = [event for frame in range(90)
             for event in detector.update(frame / 30, shares(**held), frame)]
    assert names(fired) == ["Thumb Up"]
    for frame in range(90, 120):  # it sinks under half of the lower threshold
        detector.update(frame / 30, shares(Thumb_Up=0.1, Shaking_Hand=0.25, Drumming_Fingers=0.25))
    fired = [event for frame in range(120, 150)
             for event in detector.update(frame / 30, shares(**held), frame)]
    assert names(fired) == ["Thumb Up"]


def test_an_added_class_has_its_own_threshold_in_full():
    card = jester(added=["Shaking Hand", "Thumb Up"], thresholds={"Shaking Hand": 0.7})
    assert fires(EventDetector(card), Shaking_Hand=0.65, Thumb_Up=0.3) == []
    assert fires(EventDetector(card), Shaking_Hand=0.75, Thumb_Up=0.2) == ["Shaking Hand"]
