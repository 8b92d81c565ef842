"""How well the stroke of a recording is found, where it is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from models.card import ModelCard
from online_tsm.stroke import find_stroke
from training.data import Clip
from training.teach_data import Watch, kept_frames, small

Span = tuple[float, float]
LEAST = 0.5  # overlap below which a stroke counts as missed


def overlaps(clips: Iterable[Clip], card: ModelCard, watch: Watch
             ) -> list[tuple[float, float]]:
    """Intersection over union of the found and the true stroke of each clip with a gesture: by
    motion alone, and with the features of `watch`."""
    found = []
    for clip in clips:
        event = clip.events[0]
        if event.label in card.background or event.stroke is None:
            continue
        true = event.stroke[0], event.held or event.stroke[1]
        numbers = kept_frames(clip.times)
        images, times = [small(image, card) for image in clip.read(numbers)], clip.times[numbers]
        plain, seen = (find_stroke(images, times, features)
                       for features in (None, watch(images, times)))
        found.append((overlap((plain.start, plain.end), true),
                      overlap((seen.start, seen.end), true)))
    return found


def overlap(one: Span, other: Span) -> float:
    """Intersection over union of two spans, 0 to 1."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return max(shared, 0.0) / (max(one[1], other[1]) - min(one[0], other[0]))


def lines_of(found: Sequence[tuple[float, float]]) -> list[str]:
    """What `overlaps` gave, as lines."""
    rows = np.array(found).reshape(-1, 2)
    return [f"{name}: overlap {row.mean():.1%}, under {LEAST:.0%} in {(row < LEAST).mean():.1%}"
            for name, row in zip(("motion alone", "with features"), rows.T, strict=True)]
