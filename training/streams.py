"""Recordings run through the live stream: its events, and the logits of each frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.card import ModelCard
from online_tsm.engine import Engine
from online_tsm.events import Event, EventDetector
from online_tsm.smoothing import SmoothingHead
from online_tsm.stream import Stream
from training.data import Clip, Image
from training.events_file import LabelledEvent
from training.sequences import frame_numbers

LEAD_S, TAIL_S = 2.0, 1.5  # idle time put around a short clip, so that it is a stream
AT_ONCE = 32  # frames read together


@dataclass(frozen=True)
class Recording:
    """One stream after it has run: `times` [T] s, `cold` [T], `logits` [T, K], and what it fired.

    `truth` holds gestures only, on the same clock; `span` is from when to when it ran, s.
    """

    name: str
    person: str
    truth: tuple[LabelledEvent, ...]
    events: tuple[Event, ...]
    span: tuple[float, float]
    times: NDArray[np.float64]
    cold: NDArray[np.bool_]
    logits: NDArray[np.float32]


def record(clip: Clip, engine: Engine, *, padded: bool, allow: Sequence[str] = (),
           deny: Sequence[str] = ()) -> Recording:
    """Runs a clip through a fresh Stream, as the demo would.

    `padded` plays the idle time at its ends to and fro for some seconds more. Raises what Stream
    and the reading of the clip raise.
    """
    stream = Stream(engine, allow=allow, deny=deny)
    background = stream.card.background
    times = padded_times(clip) if padded else clip.times
    numbers = frame_numbers(clip, times, background)
    predictions = [stream.step(image, float(time))
                   for time, image in zip(times, _images(clip, numbers), strict=True)]
    return Recording(
        name=clip.name, person=clip.person,
        truth=tuple(event for event in clip.events if event.label not in background),
        events=tuple(event for prediction in predictions for event in prediction.events),
        span=(float(times[0]), float(times[-1])), times=times,
        cold=np.array([prediction.cold for prediction in predictions]),
        logits=np.stack([prediction.logits for prediction in predictions]))


def padded_times(clip: Clip) -> NDArray[np.float64]:
    """The clip's own times with some seconds more at its mean rate at either end."""
    step = float(np.diff(clip.times).mean()) if len(clip.times) > 1 else 0.1
    before = clip.times[0] - np.arange(round(LEAD_S / step), 0, -1) * step
    after = clip.times[-1] + np.arange(1, round(TAIL_S / step) + 1) * step
    return np.concatenate([before, clip.times, after])


def _images(clip: Clip, numbers: NDArray[np.int64]) -> Iterator[Image]:
    if clip.play is not None and np.array_equal(numbers, np.arange(len(numbers))):
        yield from clip.play(len(numbers))
        return
    for start in range(0, len(numbers), AT_ONCE):
        yield from clip.read(numbers[start:start + AT_ONCE].tolist())


def replay(recording: Recording, card: ModelCard) -> tuple[Event, ...]:
    """What a stream with another smoothing would have fired; the network need not run again."""
    return detected(recording, smoothed(recording, card), card)


def smoothed(recording: Recording, card: ModelCard) -> list[NDArray[np.float32]]:
    """The probabilities [K] of each frame; thresholds play no part in them."""
    head = SmoothingHead(card)
    return [head.update(time, logits, cold=cold) for time, cold, logits
            in zip(recording.times.tolist(), recording.cold.tolist(), recording.logits,
                   strict=True)]


def detected(recording: Recording, probabilities: Sequence[NDArray[np.float32]], card: ModelCard
             ) -> tuple[Event, ...]:
    """The events that the card's thresholds make of smoothed probabilities."""
    detector = EventDetector(card)
    fired: list[Event] = []
    for index, (time, cold) in enumerate(zip(recording.times.tolist(), recording.cold.tolist(),
                                             strict=True)):
        if not cold:
            fired += detector.update(time, probabilities[index], index)
    return tuple(fired)
