"""The strip of the last ten seconds: confidence of the top class, and where events fired."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from app import lettering
from app.drawing import ACCENT, ACCENT_DIM, INK, MUTED, TRACK, Box, Canvas
from app.elements import threshold_of

if TYPE_CHECKING:
    from models.card import ModelCard
    from online_tsm.events import Event

SPAN_S = 10.0
HEIGHT = 64  # design pixels
_FRACTION = 4  # bits of a pixel, so that the curve moves smoothly
_COLOURS = (TRACK, ACCENT_DIM, ACCENT)  # background, gesture, gesture above its threshold
Point = tuple[float, str, float]  # time s, label, confidence 0..1


def draw_timeline(canvas: Canvas, box: Box, points: Sequence[Point],
                  events: Sequence[tuple[Event, float]], card: ModelCard) -> None:
    """Grey where the background leads, dim accent for a gesture, bright above its threshold."""
    canvas.glass(box, canvas.px(10))
    inner = box.inset(canvas.px(10))
    captions = canvas.px(16)
    plot = Box(inner.x, inner.y + captions, inner.width, inner.height - captions)
    for second in range(1, int(SPAN_S)):
        x = plot.x + round(second / SPAN_S * (plot.width - 1))
        canvas.grid_line(x, plot.y, plot.bottom)
    canvas.rule(plot.x, plot.right, plot.bottom - 1)
    now = max(points[-1][0] if points else 0.0, events[0][0].time if events else 0.0)
    _draw_area(canvas, plot, [point for point in points if now - point[0] <= SPAN_S], now, card)
    _draw_marks(canvas, plot, inner.y, events, now)


def _draw_area(canvas: Canvas, plot: Box, points: Sequence[Point], now: float,
               card: ModelCard) -> None:
    if len(points) < 2:
        return
    times, labels, confidences = zip(*points, strict=True)
    height = np.clip(confidences, 0, 1)
    known = {label: threshold_of(card, label) for label in set(labels)}
    threshold = np.array([known[label] for label in labels], float)  # None becomes NaN
    kind = np.where(np.isnan(threshold), 0, np.where(height < threshold, 1, 2))
    floor = plot.bottom - 1
    curve = np.stack([plot.right - 1 - (now - np.array(times)) / SPAN_S * (plot.width - 1),
                      floor - height * (plot.height - 1)], axis=1)
    fixed = np.round(curve * (1 << _FRACTION)).astype(np.int32)
    starts = [0, *(np.flatnonzero(np.diff(kind)) + 1), len(kind)]
    for start, end in pairwise(starts):
        top = fixed[start:end + 1]  # up to the next run
        feet = [(top[-1, 0], floor << _FRACTION), (top[0, 0], floor << _FRACTION)]
        cv2.fillPoly(canvas.image, [np.concatenate([top, np.array(feet, np.int32)])],
                     _COLOURS[kind[start]], cv2.LINE_AA, _FRACTION)


def _draw_marks(canvas: Canvas, plot: Box, top: int, events: Sequence[tuple[Event, float]],
                now: float) -> None:
    """A line and a dot for each event, with its name where there is room, newest first."""
    gap, dot, size = canvas.px(8), canvas.px(6), canvas.px(11)
    baseline = canvas.baseline(top, canvas.px(11), 11)
    shown = [event for event, _ in events if now - event.time <= SPAN_S]
    xs = [plot.right - 1 - round((now - event.time) / SPAN_S * (plot.width - 1))
          for event in shown]
    free = plot.right  # names end left of here
    for event, (x, older) in zip(shown, pairwise([*xs, plot.x - gap]), strict=True):
        cv2.line(canvas.image, (x, top + dot), (x, plot.bottom - 1), INK, canvas.px(1))
        canvas.dot(Box(min(max(plot.x, x - dot // 2), plot.right - dot), top + canvas.px(2),
                       dot, dot), INK)
        right, left = free - (x + gap), (x - gap) - (older + gap)
        name = lettering.drawable(event.label)
        on_left = lettering.width_of(name, size) > right and left > right
        name, _ = lettering.fit(name, left if on_left else right, size, size)
        width = lettering.width_of(name, size)
        if width >= canvas.px(24):
            at = x - gap - width if on_left else x + gap
            lettering.put(canvas.image, name, (at, baseline), colour=INK, size=size)
            free = min(at, x) - gap
        else:
            free = x - gap
    if free - plot.x > canvas.px(40):
        canvas.text("10 s", plot.x, baseline, room=canvas.px(40), size=11, colour=MUTED)
