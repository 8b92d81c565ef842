"""A gesture played backwards is another one: a push is a pull, a swipe up one down.

So every clip of such a pair teaches both, each in the ways of the other (Price and Damen,
arXiv 1909.09422, whose pairs of Jester these are).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from models import jester
from training.data import Clip, Image
from training.events_file import DataError, LabelledEvent


def becomes(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What each label of the pairs is backwards."""
    return {a: b for pair in pairs for a, b in (pair, pair[::-1])}


def only_backwards(clips: Iterable[Clip]) -> list[Clip]:
    """Those of `clips` that show another gesture of Jester's backwards, played like that. Raises
    DataError where there are none."""
    names = becomes(jester.BACKWARD_PAIRS)
    turned = [new for clip in clips if clip.events and (new := backwards(clip, names))]
    if not turned:
        raise DataError("--backwards: none of these clips shows another gesture backwards")
    return turned


def backwards(clip: Clip, names: Mapping[str, str]) -> Clip | None:
    """`clip` from its last frame to its first one, on a clock that begins with it; `names` says
    what each label becomes. None for a clip with another label, or whose strokes are not known.

    A hold before the stroke comes after it then, but where it began nobody wrote down.
    """
    if any(event.label not in names or event.stroke is None for event in clip.events):
        return None
    span, last = float(clip.times[0] + clip.times[-1]), len(clip.times) - 1
    read, masks = clip.read, clip.read_masks

    def turned(numbers: Sequence[int]) -> list[int]:
        return [last - number for number in numbers]

    def read_masks(numbers: Sequence[int]) -> list[Image]:
        assert masks is not None
        return masks(turned(numbers))

    return replace(
        clip, times=span - clip.times[::-1], play=None,
        events=tuple(_turned(event, span, names) for event in reversed(clip.events)),
        read=lambda numbers: read(turned(numbers)), read_masks=masks and read_masks)


def _turned(event: LabelledEvent, span: float, names: Mapping[str, str]) -> LabelledEvent:
    """It has happened as long after the stroke's beginning as before."""
    assert event.stroke is not None
    begins = span - event.stroke[1]
    return replace(
        event, label=names[event.label], start=span - event.end, end=span - event.start,
        stroke=(begins, span - event.stroke[0]), held=None,
        happened=None if event.happened is None else begins + event.happened - event.stroke[0])
