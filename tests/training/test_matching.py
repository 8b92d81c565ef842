"""Events matched one to one, Levenshtein accuracy, and intervals that hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from online_tsm.events import Event
from training.events_file import LabelledEvent
from training.intervals import bootstrap, mean, ratio
from training.matching import levenshtein_accuracy, match_events
from training.scoring import Answer, StreamCase, class_counts, clip_figures, stream_figures


def truth(label: str, start: float, end: float) -> LabelledEvent:
    return LabelledEvent(label, start, end, stroke=(start, end))


def found(label: str, time: float) -> Event:
    return Event(label, time, 0.9, 0)


def test_each_event_is_used_once_and_within_its_time() -> None:
    happened = [truth("a", 1, 2), truth("a", 5, 6), truth("b", 8, 9)]
    said = [found("a", 1.8), found("a", 2.5), found("a", 7.5), found("b", 7.9), found("b", 9.9)]
    matching = match_events(happened, said)
    assert [(t.start, e.time) for t, e in matching.pairs] == [(1, 1.8), (8, 9.9)]
    assert [t.start for t in matching.missed] == [5]
    assert [e.time for e in matching.invented] == [2.5, 7.5, 7.9]


def test_as_many_pairs_as_possible_even_if_the_nearest_are_parted() -> None:
    """The event at 2.2 is nearest to the first gesture, but only the second one can use it."""
    matching = match_events([truth("a", 1, 2), truth("a", 2.1, 3)],
                            [found("a", 1.2), found("a", 2.2)])
    assert [(t.start, e.time) for t, e in matching.pairs] == [(1, 1.2), (2.1, 2.2)]
    # greedy by time would give the first gesture the first event and leave one over
    matching = match_events([truth("a", 1, 2), truth("a", 1.5, 4)],
                            [found("a", 1.2), found("a", 2.6)])
    assert len(matching.pairs) == 2


def test_another_label_is_never_a_match() -> None:
    matching = match_events([truth("a", 1, 2)], [found("b", 1.5)])
    assert not matching.pairs
    assert (len(matching.missed), len(matching.invented)) == (1, 1)


@pytest.mark.parametrize(("happened", "said", "expected"), [
    ("abc", "abc", 1), ("abc", "ac", 2 / 3), ("abc", "abbc", 2 / 3), ("abc", "xyz", 0),
    ("ab", "xyxyxy", 0), ("", "", 1), ("", "a", 0), ("abcd", "acbd", 0.5)])
def test_levenshtein_accuracy(happened: str, said: str, expected: float) -> None:
    assert levenshtein_accuracy(happened, said) == pytest.approx(expected)


def test_stream_figures_of_a_worked_example() -> None:
    one = StreamCase((truth("a", 10, 11), truth("b", 20, 21)),
                     (found("a", 11.5), found("a", 30), found("b", 12)), (0, 60))
    two = StreamCase((), (found("a", 5),), (0, 30))
    figures = stream_figures([one, two])
    values = {name: figure.value for name, figure in figures.items()}
    assert values["precision"] == pytest.approx(1 / 4)
    assert values["recall"] == pytest.approx(1 / 2)
    assert values["F1"] == pytest.approx(1 / 3)
    assert values["reaction time, median"] == pytest.approx(0.5)  # after the gesture's end
    assert values["Levenshtein accuracy"] == pytest.approx(0.25)  # of 0.5 and 0
    assert values["false events a minute"] == pytest.approx(3 / 1.5)
    # 60 - 2 x 2 s and 30 s are background; "b" at 12 lies just within "a" and a second after it
    assert values["false events a minute of background"] == pytest.approx(2 / (86 / 60))
    assert class_counts([one, two]) == {"a": (1, 2, 0), "b": (0, 1, 1)}


def test_reaction_times_count_from_when_the_gesture_has_happened() -> None:
    event = LabelledEvent("a", 1, 3, stroke=(1.5, 2.5), happened=2.0)
    for happened, seconds in ((event, 0.3), (dataclasses.replace(event, happened=None), -0.2)):
        case = StreamCase((happened,), (found("a", 2.3),), (0, 9))
        assert stream_figures([case])["reaction time, p90"].value == pytest.approx(seconds)


def test_a_single_stream_is_resampled_by_its_events() -> None:
    case = StreamCase((truth("a", 1, 2), truth("a", 5, 6)), (found("a", 1.5),), (0, 10))
    recall = stream_figures([case])["recall"]
    assert (recall.value, recall.n) == (0.5, 2)
    assert recall.low == 0
    assert recall.high == 1


def test_missed_gestures_do_not_vouch_for_those_found_nor_streams_without_any() -> None:
    """Three of eight found, nothing invented: the precision is known from three events."""
    eight = tuple(truth("a", 5 * i, 5 * i + 1) for i in range(8))
    three = tuple(found("a", event.end) for event in eight[:3])
    figures = stream_figures([StreamCase(eight, three, (0, 60))])
    assert (figures["precision"].n, figures["recall"].n, figures["F1"].n) == (3, 8, 8)
    assert figures["precision"].low == pytest.approx(0.025 ** (1 / 3))
    quiet = [StreamCase((), (), (0, 9))] * 97
    loud = [StreamCase(eight[:1], three[:1], (0, 9))] * 3
    for name in ("precision", "recall", "F1"):
        figure = stream_figures([*quiet, *loud])[name]
        assert (figure.n, figure.low) == (3, pytest.approx(0.025 ** (1 / 3)))


def test_an_empty_stream_has_no_precision_but_a_rate_of_false_events() -> None:
    figures = stream_figures([StreamCase((), (), (0, 120))] * 2)
    assert figures["precision"].value is None
    assert figures["false events a minute of background"].value == 0


def test_intervals_cover_the_truth_and_narrow_with_more_clips() -> None:
    rng = np.random.default_rng(0)
    hits = sum(f.low <= 0.7 <= f.high for f in (
        bootstrap((rng.random(100) < 0.7).astype(float), mean) for _ in range(60)))
    assert hits >= 52  # about 95 % of 60
    few, many = (bootstrap(np.arange(n) % 10 < 7, mean) for n in (20, 500))
    assert many.high - many.low < (few.high - few.low) / 3
    assert bootstrap(np.zeros((3, 2)), ratio).value is None
    assert bootstrap(np.ones(1), mean).low is None  # one part says nothing of its spread


def test_intervals_are_over_people_where_they_are_known() -> None:
    """Two people are always right, two never: 200 clips of four people are no 200 people."""
    right, people = np.repeat([1.0, 0, 1, 0], 50), [name for name in "abcd" for _ in range(50)]
    clips, whole = bootstrap(right, mean), bootstrap(right, mean, people)
    assert (whole.value, whole.n) == (clips.value, 200)
    assert clips.high - clips.low < 0.2
    assert whole.high - whole.low > 0.6
    for unknown in ([""] * 200, ["a"] * 200, ["a"] * 100 + [""] * 100):
        assert bootstrap(right, mean, unknown) == clips
    answers = [Answer("1", "a", ("a",) if ok else ("b", "c", "d"), person)
               for ok, person in zip(right, people, strict=True)]
    assert clip_figures(answers)["top-1"] == whole
    cases = [StreamCase((truth("a", 1, 2),), (found("a", 1.5),) if ok else (), (0, 9), person)
             for ok, person in zip(right, people, strict=True)]
    assert stream_figures(cases)["recall"] == whole
    assert stream_figures(cases)["Levenshtein accuracy"] == whole


def test_a_few_right_ones_do_not_prove_perfection_nor_silence_its_opposite() -> None:
    """Exact ends: 0.025 = p^n for n right of n, 0.025 = exp(-rate x time) for no event."""
    names = ["a", "b", "c", "d"]
    for people, low in (([""] * 20, 0.025 ** (1 / 20)), (names * 5, 0.025 ** (1 / 4))):
        right = clip_figures([Answer("1", "x", ("x",), person) for person in people])["top-1"]
        wrong = clip_figures([Answer("1", "x", ("y",), person) for person in people])["top-1"]
        assert (right.low, right.high) == (pytest.approx(low), 1)
        assert (wrong.low, wrong.high) == (0, pytest.approx(1 - low))
    silence = stream_figures([StreamCase((), (), (0, 120))] * 3)["false events a minute"]
    assert (silence.value, silence.low) == (0, 0)
    assert silence.high == pytest.approx(-np.log(0.025) / 6)


def test_clip_figures_count_the_first_three() -> None:
    answers = [Answer("1", "a", ("a", "b", "c", "d")), Answer("2", "a", ("b", "c", "a", "d")),
               Answer("3", "a", ("b", "c", "d", "a"))]
    figures = clip_figures(answers)
    assert figures["top-1"].value == pytest.approx(1 / 3)
    assert figures["top-3"].value == pytest.approx(2 / 3)
