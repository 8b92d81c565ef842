"""Where in a recording the gesture is: the stroke, without the hand's rise and its way back.

Three measures a frame: how much moves, how far the picture is from the one of rest, and, where they
are given, how far a network's features are. The hand rises, strokes, and returns; so while these
are far from rest, the stroke goes on. Features remember, so they say when it begins, but not when
it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Curve = NDArray[np.float32]
Seconds = Sequence[float] | NDArray[np.float64]

SIZE = (48, 36)  # pixels of the small grey pictures that are compared (width, height)
REST_S = 0.35  # this much at either end shows rest
FAR = 0.7  # of the usual distance from rest in mid-gesture: beyond it the stroke goes on
SHORTEST_S = 0.2  # of a stroke
LIVELY = 0.25  # share of the clip that counts as its liveliest, at most
QUIET_CHANGE = 0.35  # grey levels; what a good camera changes by itself
SMOOTH_S = 0.15  # width of the mean that curves are smoothed by


@dataclass(frozen=True)
class Stroke:
    """`start` and `end` in s on the clip's clock; `energy` [T] is the motion, 1 at its peak."""

    start: float
    end: float
    energy: Curve


@dataclass(frozen=True)
class Motion:
    """`energy` [T]: mean change a second of the small picture, in grey levels. `liveliness`: the
    liveliest moments against the clip's own unrest; about 1 where only the camera's noise moves."""

    energy: Curve
    liveliness: float


def find_stroke(images: Sequence[Image], times: Seconds, features: Curve | None = None) -> Stroke:
    """The stroke of a clip that shows rest, one gesture, rest: uint8 [H, W, 3] or [H, W] frames.

    `features` [T, D] are what a network sees (`watching.Watcher`). A clip that never rests, or is
    shorter than half a second, is all stroke but for its ends.
    """
    clock = np.asarray(times, np.float64)
    small = small_pictures(images)
    energy = _energy(small, clock)
    start, end = _span(from_rest(small.reshape(len(small), -1), clock), energy, clock)
    if features is not None:
        seen = _span(from_rest(features, clock), energy, clock)[0]
        start = max(float(clock[0]), min(seen, end - SHORTEST_S))
    return Stroke(start, end, np.asarray(energy / max(float(energy.max()), 1e-6), np.float32))


def motion_of(images: Sequence[Image], times: Seconds) -> Motion:
    """How much moves in a clip, frame by frame and altogether."""
    small, clock = small_pictures(images), np.asarray(times, np.float64)
    energy = _energy(small, clock)
    far = _smooth(from_rest(small.reshape(len(small), -1), clock, scaled=False), clock)
    return Motion(energy, float(np.quantile(far, 1 - LIVELY) / QUIET_CHANGE))


def small_pictures(images: Sequence[Image]) -> NDArray[np.float32]:
    """Grey [T, h, w], without what changes all over the picture: a camera's exposure."""
    rows = []
    for image in images:
        small = cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY) if small.ndim == 3 else small
        blurred = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 0.8)
        rows.append(blurred - np.median(blurred))
    return np.asarray(rows, np.float32)


def from_rest(rows: NDArray[np.float32], times: NDArray[np.float64], *, scaled: bool = True
              ) -> Curve:
    """How far each row [T, D] is from those at rest, the nearer end of the clip counting: [T].

    In the rows' own units, or `scaled` to 0 at rest and 1 for what is usual in mid-gesture.
    """
    first, last = times <= times[0] + REST_S, times >= times[-1] - REST_S
    rests = [np.median(rows[ends], axis=0) for ends in (first, last)]
    distance = np.min([np.abs(rows - rest).mean(1) for rest in rests], axis=0)
    if not scaled:
        return np.asarray(distance, np.float32)
    unrest = float(np.median(distance[first | last]))
    usual = float(np.quantile(distance, 0.85)) - unrest
    return np.asarray(np.clip((distance - unrest) / max(usual, 1e-6), 0, 1.5), np.float32)


def _energy(small: NDArray[np.float32], times: NDArray[np.float64]) -> Curve:
    """Mean change a second, less the camera's own; the first frame has its neighbour's."""
    change = np.abs(np.diff(small, axis=0)).mean((1, 2)) / np.maximum(np.diff(times), 1e-3)
    change = np.concatenate([change[:1], change])
    return np.asarray(np.maximum(change - np.quantile(change, 0.1), 0), np.float32)


def _smooth(curve: Curve, times: NDArray[np.float64]) -> Curve:
    width = max(1, round(SMOOTH_S / max(float(np.median(np.diff(times))), 1e-3))) | 1
    padded = np.pad(curve, width // 2, mode="edge")
    return np.asarray(np.convolve(padded, np.ones(width) / width, "valid"), np.float32)


def _span(away: Curve, energy: Curve, times: NDArray[np.float64]) -> tuple[float, float]:
    """From the first to the last moment far from rest, or of motion where there is no rest."""
    far = _smooth(away, times) > FAR
    if not far.any():
        far = _smooth(energy, times) > 0.2 * float(energy.max())
    places = np.flatnonzero(far)
    first, last = (int(places[0]), int(places[-1])) if len(places) else (0, len(times) - 1)
    start, end = float(times[first]), float(times[last])
    if end - start < SHORTEST_S:
        middle = (start + end) / 2
        start = max(float(times[0]), middle - SHORTEST_S / 2)
        end = min(float(times[-1]), start + SHORTEST_S)
        start = max(float(times[0]), end - SHORTEST_S)
    return start, end
