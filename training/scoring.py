"""The figures of an evaluation: of single clips, and of streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.card import ModelCard
from online_tsm.events import Event
from training.events_file import LabelledEvent
from training.intervals import Figure, bootstrap, mean, rate, ratio, share
from training.matching import TOLERANCE_S, levenshtein_accuracy, match_events


@dataclass(frozen=True)
class Answer:
    """What was said to one clip: all of the card's labels, the likeliest first."""

    name: str
    label: str
    ranking: tuple[str, ...]
    person: str = ""


@dataclass(frozen=True)
class StreamCase:
    """One stream: what happened (gestures only), what was found, and when it ran (from, to; s)."""

    truth: tuple[LabelledEvent, ...]
    found: tuple[Event, ...]
    span: tuple[float, float]
    person: str = ""

    @property
    def duration_s(self) -> float:
        return self.span[1] - self.span[0]


def clip_figures(answers: Sequence[Answer]) -> dict[str, Figure]:
    """Top-1 and top-3 accuracy, with intervals over people, or over clips of nobody known."""
    people = [answer.person for answer in answers]
    right = {top: np.array([answer.label in answer.ranking[:top] for answer in answers], float)
             for top in (1, 3)}
    return {"top-1": share(right[1], mean, people), "top-3": share(right[3], mean, people)}


def by_class(answers: Sequence[Answer]) -> dict[str, tuple[int, int, int]]:
    """For each label that occurs: clips, right at once, right among three."""
    found: dict[str, tuple[int, int, int]] = {}
    for label in sorted({answer.label for answer in answers}):
        own = [answer for answer in answers if answer.label == label]
        found[label] = (len(own), sum(label == answer.ranking[0] for answer in own),
                        sum(label in answer.ranking[:3] for answer in own))
    return found


def confusion(answers: Sequence[Answer], card: ModelCard) -> NDArray[np.int64]:
    """Counts [K, K]: true label by row, first answer by column."""
    counts = np.zeros((len(card.labels),) * 2, np.int64)
    for answer in answers:
        counts[card.labels.index(answer.label), card.labels.index(answer.ranking[0])] += 1
    return counts


def stream_figures(cases: Sequence[StreamCase]) -> dict[str, Figure]:
    """Precision, recall, F1, Levenshtein accuracy, reaction times (s), false events a minute.

    Intervals are over people, or over streams of nobody known; a single stream is resampled by its
    events instead, but for the figures that make no sense of single events. "False on background"
    counts those outside of every gesture (and TOLERANCE_S after it), by minutes outside.
    """
    matchings = [match_events(case.truth, case.found) for case in cases]
    counts = np.array([(len(m.pairs), len(m.invented), len(m.missed)) for m in matchings], float)
    people = [case.person for case in cases]
    by_part = people
    if len(cases) == 1:
        counts = np.repeat(np.eye(3), counts[0].astype(int), axis=0)
        by_part = [""] * len(counts)
    right, invented, missed = counts.T if len(counts) else np.zeros((3, 0))
    reactions = np.array([event.time - truth.done for m in matchings for truth, event in m.pairs])
    reacting = [case.person for case, m in zip(cases, matchings, strict=True) for _ in m.pairs]
    idle = [idle_time(case) for case in cases]
    false = [sum(not _during(case, event.time) for event in m.invented)
             for case, m in zip(cases, matchings, strict=True)]
    busy = [case for case in cases if case.truth or case.found]
    order = [levenshtein_accuracy(
        [event.label for event in sorted(case.truth, key=lambda e: e.done)],
        [event.label for event in sorted(case.found, key=lambda e: e.time)]) for case in busy]
    minutes = np.array(idle) / 60
    return {
        "precision": _share_of(right, right + invented, by_part),
        "recall": _share_of(right, right + missed, by_part),
        "F1": _share_of(2 * right, 2 * right + invented + missed, by_part),
        "Levenshtein accuracy": share(np.array(order), mean, [case.person for case in busy]),
        "reaction time, median": bootstrap(reactions, _median, reacting),
        "reaction time, p90": bootstrap(reactions, _p90, reacting),
        "false events a minute": rate(
            np.stack([[len(m.invented) for m in matchings],
                      [case.duration_s / 60 for case in cases]], 1), people),
        "false events a minute of background": rate(np.stack([false, minutes], 1), people),
    }


def _share_of(above: NDArray[np.float64], below: NDArray[np.float64], people: Sequence[str]
              ) -> Figure:
    """A ratio of sums, from the parts that say something of it: where nothing was found, nothing
    speaks for a precision, nor against it."""
    told = np.flatnonzero(below)
    return share(np.stack([above, below], 1)[told], ratio, [people[i] for i in told.tolist()])


def class_counts(cases: Sequence[StreamCase]) -> dict[str, tuple[int, int, int]]:
    """For each gesture that happened or was found: found rightly, invented, missed."""
    counts: dict[str, list[int]] = {}
    for case in cases:
        matching = match_events(case.truth, case.found)
        parts = ([event.label for event, _ in matching.pairs],
                 [event.label for event in matching.invented],
                 [event.label for event in matching.missed])
        for place, labels in enumerate(parts):
            for label in labels:
                counts.setdefault(label, [0, 0, 0])[place] += 1
    return {label: (c[0], c[1], c[2]) for label, c in sorted(counts.items())}


def f1(right: float, invented: float, missed: float) -> float:
    """0 where there is nothing to find and nothing was found."""
    return 2 * right / max(2 * right + invented + missed, 1)


def idle_time(case: StreamCase) -> float:
    """Seconds of the stream outside of every gesture and TOLERANCE_S after it."""
    idle, until = 0.0, case.span[0]
    for event in sorted(case.truth, key=lambda e: e.start):
        idle += max(0.0, min(event.start, case.span[1]) - until)
        until = max(until, event.end + TOLERANCE_S)
    return idle + max(0.0, case.span[1] - until)


def as_json(figures: Mapping[str, Figure]) -> dict[str, dict[str, float | int | None]]:
    return {name: {"value": f.value, "low": f.low, "high": f.high, "n": f.n}
            for name, f in figures.items()}


def _during(case: StreamCase, time: float) -> bool:
    return any(event.start <= time <= event.end + TOLERANCE_S for event in case.truth)


def _median(parts: NDArray[np.float64]) -> float:
    return float(np.median(parts))


def _p90(parts: NDArray[np.float64]) -> float:
    return float(np.quantile(parts, 0.9))
