"""The strip of the last ten seconds: confidence of the top class, and where events fired."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from app import lettering
from app.drawing import ACCENT, ACCENT_DIM, INK, MUTED, TRACK, Box, Canvas, Colour
from app.elements import threshold_of

if TYPE_CHECKING:
    from models.card import ModelCard
    from online_tsm.events import Event

SPAN_S = 10.0
HEIGHT = 64  # design pixels
_FRACTION = 4  # bits of a pixel, so that the curve moves smoothly
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
    now = max([time for time, _, _ in points] + [event.time for event, _ in events], default=0.0)
    recent = [point for point in points if now - point[0] <= SPAN_S]
    _draw_area(canvas, plot, recent, now, card)
    _draw_marks(canvas, plot, inner.y, events, now)


def _draw_area(canvas: Canvas, plot: Box, points: Sequence[Point], now: float,
               card: ModelCard) -> None:
    if len(points) < 2:
        return
    thresholds = {label: threshold_of(card, label) for label in {label for _, label, _ in points}}
    colours = [_colour(thresholds[label], confidence) for _, label, confidence in points]
    ages = now - np.array([time for time, _, _ in points])
    heights = np.clip([confidence for _, _, confidence in points], 0, 1)
    floor = plot.bottom - 1.0
    curve = np.stack([plot.right - 1 - ages / SPAN_S * (plot.width - 1),
                      floor - heights * (plot.height - 1)], axis=1)
    start = 0
    for colour, run in groupby(colours):
        end = start + len(list(run))
        top = curve[start:end + 1]  # up to the next run
        outline = np.concatenate([[(top[0, 0], floor)], top, [(top[-1, 0], floor)]])
        cv2.fillPoly(canvas.image, [np.round(outline * (1 << _FRACTION)).astype(np.int32)],
                     colour, cv2.LINE_AA, _FRACTION)
        start = end


def _colour(threshold: float | None, confidence: float) -> Colour:
    if threshold is None:
        return TRACK
    return ACCENT if confidence >= threshold else ACCENT_DIM


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
