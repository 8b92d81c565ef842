"""What a live stream sees: background, a gesture, background, perhaps another one.

A training sequence is a short window of such a stream. A clip is played as if it went on for
ever: the idle time before its first event and after its last one is played to and fro, so a
window may have seconds of lead-in that the clip itself does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.card import ModelCard
from training.data import Clip
from training.events_file import LabelledEvent

Times = NDArray[np.float64]
SHORTEST_IDLE_S = 0.15  # less idle time than this stands still instead of going to and fro
SETTLE_S = 0.35  # after a gesture's end nothing is asked for this long


@dataclass(frozen=True)
class SequenceOptions:
    """How windows are drawn. Shares are of all windows on clips with a gesture."""

    frames: int = 12
    speed: tuple[float, float] = (0.6, 1.6)  # times the clip's own
    jitter: float = 0.25  # of the step between frames, either way
    before_share: float = 0.1  # windows that end before the stroke
    stroke_share: float = 0.15  # windows that end within the stroke
    after_share: float = 0.15  # windows that end well after the gesture, some of them begin there
    join_share: float = 0.1  # windows that cut to another clip
    backward_share: float = 0.0  # of windows on clips that are another gesture backwards
    background_weight: float = 0.5  # of frames before and long after a gesture
    linger_s: float = 0.25  # the class is asked for so long after the gesture was held


@dataclass(frozen=True)
class Targets:
    """What is asked of each frame: `places` [T] of the label, `weights` [T] from 0 to 1."""

    places: NDArray[np.int64]
    weights: NDArray[np.float32]


def window_times(
    clip: Clip, card: ModelCard, options: SequenceOptions, rng: np.random.Generator
) -> Times:
    """Times [frames] on the clip's clock for one window, at the card's rate and another speed.

    They may lie outside of the clip; `frame_numbers` says which frames are seen then.
    """
    speed = np.exp(rng.uniform(*np.log(options.speed)))
    steps = np.arange(options.frames) + rng.uniform(-1, 1, options.frames) * options.jitter
    offsets = np.sort(steps - (options.frames - 1)) * speed / card.frame_rate
    span = -float(offsets[0])
    gestures = [event for event in clip.events if event.label not in card.background]
    if not gestures:
        return np.asarray(rng.uniform(clip.times[0], clip.times[-1] + span) + offsets)
    event = gestures[int(rng.integers(len(gestures)))]
    begins, held = stroke_of(event)[0], held_until(event)
    kind = rng.random()
    if kind < options.before_share:
        last = begins - rng.uniform(0, 1.5)
    elif kind < options.before_share + options.stroke_share:
        last = rng.uniform(begins, max(event.done, begins))
    elif kind < options.before_share + options.stroke_share + options.after_share:
        last = event.end + rng.uniform(0, 1) + rng.uniform(0.3, 1) * span
    else:
        last = rng.uniform(min(event.done, held), held + 0.5 * span)
    return np.asarray(last + offsets)


def frame_numbers(clip: Clip, times: Times, background: Sequence[str]) -> NDArray[np.int64]:
    """Which frames of the clip [T] a stream would show at `times` [T]: the newest one by then."""
    found = np.searchsorted(clip.times, _played(clip, times, background) + 1e-6, side="right") - 1
    return np.clip(found, 0, len(clip.times) - 1)


def _played(clip: Clip, times: Times, background: Sequence[str]) -> Times:
    """Where in the clip `times` [T] come to lie: idle time at either end is played to and fro."""
    first, last = float(clip.times[0]), float(clip.times[-1])
    gestures = [event for event in clip.events if event.label not in background]
    starts = min((event.start for event in gestures), default=last)
    ends = max((event.end for event in gestures), default=first)
    times = np.where(times < first, _to_and_fro(first - times, starts - first, first, 1), times)
    return np.where(times > last, _to_and_fro(times - last, last - ends, last, -1), times)


def _to_and_fro(beyond: Times, length: float, edge: float, sign: int) -> Times:
    """Where a mirror at `edge` and another one `length` inside of it send what lies `beyond`."""
    if length < SHORTEST_IDLE_S:
        return np.full_like(beyond, edge)
    phase = np.mod(beyond, 2 * length)
    return edge + sign * np.minimum(phase, 2 * length - phase)


def targets(clip: Clip, times: Times, card: ModelCard, options: SequenceOptions) -> Targets:
    """What is asked at `times` [T]: background until the stroke, then the class while it is shown.

    The weight rises from the stroke's start to the moment the gesture has happened, for a class
    can hardly be known at once. While the hand returns nothing is asked. The first of the card's
    background labels is that of idle time. The events' labels must be the card's.
    """
    place = {label: number for number, label in enumerate(card.labels)}
    places = np.full(len(times), place[card.background[0]], np.int64)
    weights = np.full(len(times), options.background_weight, np.float32)
    played = _played(clip, times, card.background)  # shows background again, but no gesture
    for event in clip.events:
        if event.label in card.background:
            during = (played >= event.start) & (played <= event.end)
            places[during], weights[during] = place[event.label], 1
            continue
        begins, until = stroke_of(event)[0], held_until(event) + options.linger_s
        returning = (times > until) & (times < event.end + SETTLE_S)
        weights[returning] = 0
        shown = (times >= begins) & (times <= until)
        rise = np.clip((times - begins) / max(event.done - begins, 1e-6), 0.2, 1)
        places[shown], weights[shown] = place[event.label], rise[shown]
    return Targets(places, weights)


def stroke_of(event: LabelledEvent) -> tuple[float, float]:
    """The part of an event that makes it a gesture; all of it, where that is not known."""
    return event.stroke or (event.start, event.end)


def held_until(event: LabelledEvent) -> float:
    """Until when the gesture is shown, s."""
    return stroke_of(event)[1] if event.held is None else event.held


@dataclass(frozen=True)
class Shot:
    """Consecutive frames of one clip within a sequence."""

    clip: Clip
    times: Times


def draw_sequence(
    clip: Clip,
    others: Sequence[Clip],
    card: ModelCard,
    options: SequenceOptions,
    rng: np.random.Generator,
) -> list[Shot]:
    """One window on `clip` at the card's rate; sometimes it cuts over to one of `others`."""
    times = window_times(clip, card, options, rng)
    if not others or rng.random() >= options.join_share:
        return [Shot(clip, times)]
    other = others[int(rng.integers(len(others)))]
    cut = int(rng.integers(options.frames // 4, options.frames - options.frames // 4))
    after = window_times(other, card, options, rng)
    return [Shot(clip, times[-cut:]), Shot(other, after[cut:])]
