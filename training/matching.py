"""Whether the events that were found are those that happened, one to one in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from online_tsm.events import Event
from training.events_file import LabelledEvent

TOLERANCE_S = 1.0  # an event may still be found so long after the gesture's end
Pair = tuple[LabelledEvent, Event]


@dataclass(frozen=True)
class Matching:
    """Pairs of what happened and what was found, and what is left over on either side."""

    pairs: tuple[Pair, ...]
    missed: tuple[LabelledEvent, ...]
    invented: tuple[Event, ...]


def match_events(truth: Sequence[LabelledEvent], found: Sequence[Event]) -> Matching:
    """As many pairs as possible, and of those the nearest to when the gestures had happened.

    A found event fits one that happened if its label is the same and its time lies between the
    gesture's start and TOLERANCE_S after its end. Each is used once.
    """
    pairs: list[Pair] = []
    for label in {event.label for event in truth}:
        pairs += _best_pairs(sorted((e for e in truth if e.label == label), key=lambda e: e.start),
                             sorted((e for e in found if e.label == label), key=lambda e: e.time))
    matched, used = {id(event) for event, _ in pairs}, {id(event) for _, event in pairs}
    return Matching(
        tuple(sorted(pairs, key=lambda pair: pair[1].time)),
        tuple(event for event in truth if id(event) not in matched),
        tuple(event for event in found if id(event) not in used))


def _best_pairs(truth: Sequence[LabelledEvent], found: Sequence[Event]) -> list[Pair]:
    """Alignment of two rows in time: (pairs, minus seconds off) is to be as large as possible."""
    best: list[list[tuple[int, float]]] = [[(0, 0.0)] * (len(found) + 1)
                                           for _ in range(len(truth) + 1)]
    for i, event in enumerate(truth, 1):
        for j, answer in enumerate(found, 1):
            options = [best[i - 1][j], best[i][j - 1]]
            if event.start <= answer.time <= event.end + TOLERANCE_S:
                count, closeness = best[i - 1][j - 1]
                options.append((count + 1, closeness - abs(answer.time - event.done)))
            best[i][j] = max(options)
    pairs, i, j = [], len(truth), len(found)
    while i and j:
        if best[i][j] == best[i - 1][j]:
            i -= 1
        elif best[i][j] == best[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((truth[i], found[j]))
    return pairs


def levenshtein_accuracy(truth: Sequence[str], found: Sequence[str]) -> float:
    """1 - edits / gestures, at least 0: the measure of Real-time-GesRec (arXiv 1901.10323).

    Labels in the order of time; an edit puts in, takes out or replaces one. Without any gesture it
    is 1 if nothing was found, else 0.
    """
    if not truth:
        return float(not found)
    return max(0.0, 1 - _edits(truth, found) / len(truth))


def _edits(one: Sequence[str], other: Sequence[str]) -> int:
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        above, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (a != b))
    return row[-1]
