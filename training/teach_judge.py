"""How well teaching went: every recording is judged by a head that never saw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.card import ModelCard
from online_tsm.events import Event
from training.matching import match_events
from training.scoring import StreamCase, f1
from training.streams import Recording, replay
from training.teach_data import Lesson
from training.teach_learn import Head
from training.teach_views import Played
from training.thresholds import with_thresholds

GRID = tuple(step / 20 for step in range(6, 20))  # thresholds tried: 0.3 to 0.95
RELIABLE = 0.5  # a label that is found less often, or right less often, is named
OFTEN = 0.25  # so large a share of a label's recordings taken for another one is named
WORTH_SAYING = 0.05  # of a known gesture's single frames, in the report


@dataclass(frozen=True)
class Judged:
    """One lesson and what a head that never saw it made of it: the stream, and the one answer
    to a gesture as a whole ("" for background)."""

    lesson: Lesson
    stream: Recording
    answer: str


@dataclass(frozen=True)
class Mark:
    """One label's result: recordings, those answered rightly as a whole, those found as events,
    events of it that were wrong (anywhere), and its threshold."""

    recordings: int
    right: int
    found: int
    wrong: int
    threshold: float


def judge(lesson: Lesson, played: Played, head: Head, card: ModelCard) -> Judged:
    """What `head` says to a lesson."""
    with torch.inference_mode():
        logits: NDArray[np.float32] = head(played.features).numpy()
    stream = Recording(
        name=lesson.source, person="", truth=lesson.clip.events, events=(),
        span=(float(played.times[0]), float(played.times[-1])), times=played.times,
        cold=played.cold, logits=logits)
    return Judged(lesson, stream, _answer(lesson, played, logits, card))


def _answer(lesson: Lesson, played: Played, logits: NDArray[np.float32], card: ModelCard) -> str:
    """The label with the highest mean logit while the stroke is shown."""
    if not lesson.clip.events:
        return ""
    start, end = lesson.clip.events[0].stroke or (0.0, 0.0)
    shown = (played.times >= start) & (played.times <= end) & ~played.cold
    mean = logits[shown].mean(0) if shown.any() else logits[-1]
    return card.labels[int(mean.argmax())]


def fitted(judged: Sequence[Judged], card: ModelCard, labels: Sequence[str]) -> ModelCard:
    """The card with thresholds for `labels`: the best F1 on these streams, background included.

    Of thresholds that do equally well the middle one is taken. What the card kept silent, or held
    back for longer than others, is as free as they are: that came of how other people perform.
    """
    was = card.smoothing
    card = card.replace(smoothing={
        "disabled": tuple(name for name in was.disabled if name not in labels),
        "holds": {name: hold for name, hold in was.holds.items() if name not in labels}})
    counts: dict[str, dict[float, tuple[int, int, int]]] = {label: {} for label in labels}
    for rise in GRID:
        tried = with_thresholds(card, dict.fromkeys(labels, rise))
        cases = cases_of(judged, tried)
        for label in labels:
            counts[label][rise] = _counts(cases, label)
    best = {}
    for label, tries in counts.items():
        marks = {rise: f1(*tries[rise]) for rise in GRID}
        top = [rise for rise in GRID if marks[rise] >= max(marks.values()) - 1e-9]
        best[label] = top[len(top) // 2]
    return with_thresholds(card, best)


def cases_of(judged: Sequence[Judged], card: ModelCard) -> list[StreamCase]:
    """What the card's smoothing and thresholds make of the streams."""
    return [StreamCase(one.stream.truth, replay(one.stream, card), one.stream.span)
            for one in judged]


def marks(judged: Sequence[Judged], card: ModelCard, labels: Sequence[str]) -> dict[str, Mark]:
    """Each label's result with the card's thresholds."""
    cases = cases_of(judged, card)
    out = {}
    for label in labels:
        own = [one for one in judged if one.lesson.label == label and not one.lesson.background]
        found, wrong, _ = _counts(cases, label)
        out[label] = Mark(len(own), sum(one.answer == label for one in own), found, wrong,
                          card.smoothing.thresholds.get(label, card.smoothing.rise))
    return out


def background_events(judged: Sequence[Judged], card: ModelCard) -> tuple[list[Event], float]:
    """Events fired on background recordings, and how many minutes these last."""
    cases = cases_of([one for one in judged if one.lesson.background], card)
    return [event for case in cases for event in case.found], sum(
        case.duration_s for case in cases) / 60


def confusion(judged: Sequence[Judged], card: ModelCard) -> NDArray[np.int64]:
    """Counts [K, K]: true label by row, answer by column; gestures only."""
    counts = np.zeros((len(card.labels),) * 2, np.int64)
    for one in judged:
        if one.answer:
            counts[card.labels.index(one.lesson.label), card.labels.index(one.answer)] += 1
    return counts


@dataclass(frozen=True)
class Kept:
    """What became of the gestures that the model knew and nobody taught: single `frames` that it
    was trained on, each judged by a head that learnt without it. Shares of them that are answered
    rightly, `before` and `after`; and which ones are `taken` for a taught gesture, how often."""

    frames: int
    before: float
    after: float
    taken: dict[tuple[str, str], float]


def kept(remembered: NDArray[np.int64], card: ModelCard, taught: Sequence[str]) -> Kept:
    """`remembered` as `teach_run.Taught` has it; `taught` are labels."""
    new = {card.labels.index(label) for label in taught}
    quiet = {card.labels.index(label) for label in card.background}
    rows = remembered[~np.isin(remembered[:, 0], sorted(new | quiet))]
    right = (rows[:, 1:] == rows[:, :1]).mean(0) if len(rows) else (0.0, 0.0)
    taken = {(card.labels[place], card.labels[other]): float(
        (rows[rows[:, 0] == place, 2] == other).mean())
        for place in np.unique(rows[:, 0]) for other in sorted(new)}
    return Kept(len(rows), float(right[0]), float(right[1]),
                {pair: share for pair, share in taken.items() if share >= WORTH_SAYING})


def advice(judged: Sequence[Judged], results: dict[str, Mark], card: ModelCard,
           mistaken: Mapping[tuple[str, str], float]) -> list[str]:
    """A sentence for each gesture that cannot be told, and what would help. `mistaken`: what
    `Kept.taken` says."""
    sentences = []
    for label, mark in results.items():
        answers = [one.answer for one in judged
                   if one.lesson.label == label and not one.lesson.background]
        for other in sorted(set(answers) - {label}):
            times = answers.count(other)
            if times < max(OFTEN * len(answers), 1):
                continue
            taken = f"{label!r} was taken for {other!r} in {times} of {len(answers)} recordings"
            if other in card.background:
                sentences.append(f"{taken}: perform it larger, nearer to the camera and longer, "
                                 "and record it a few times more.")
            else:
                sentences.append(f"{taken}: make the two differ more (another hand shape, another "
                                 f"direction, another speed), and record both a few times more.")
        if mark.wrong > mark.found:
            sentences.append(f"{label!r} fired {mark.wrong} times where it was not performed: "
                             "record more background that looks like it, or choose a movement "
                             "that you never make by chance.")
        elif mark.found < RELIABLE * mark.recordings:
            sentences.append(f"{label!r} fired in only {mark.found} of {mark.recordings} "
                             "recordings: record it a few times more, in other places and at "
                             "other speeds.")
    sentences += [f"{known!r} may be taken for {label!r} ({share:.0%} of its single frames are): "
                  "make the two differ more." for (known, label), share in mistaken.items()
                  if share >= OFTEN]
    return sentences


def _counts(cases: Sequence[StreamCase], label: str) -> tuple[int, int, int]:
    """Of one label: found, invented (in any stream), missed."""
    found = invented = missed = 0
    for case in cases:
        matching = match_events([event for event in case.truth if event.label == label],
                                [event for event in case.found if event.label == label])
        found += len(matching.pairs)
        invented += len(matching.invented)
        missed += len(matching.missed)
    return found, invented, missed
