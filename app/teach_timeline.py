"""The replayed clip as a strip: how much moves, where the stroke is, where the replay stands."""

from __future__ import annotations

import cv2
import numpy as np

from app.drawing import ACCENT, ACCENT_DIM, INK, TRACK, Box, Canvas
from app.teach import Session

_FRACTION = 4  # bits of a pixel, so that the curve is smooth


def draw_stroke(canvas: Canvas, plot: Box, session: Session) -> None:
    """The motion of `session.clip` in `plot`, bright inside the stroke, whose edges have handles;
    the edge that the arrows move is the one in the accent."""
    clip, stroke, energy = session.clip, session.stroke, session.energy
    if clip is None or stroke is None or energy is None:
        return
    end = float(clip.times[-1])

    def at(seconds: float) -> int:
        return plot.x + round(seconds / end * (plot.width - 1))

    canvas.rule(plot.x, plot.right, plot.bottom - 1)
    inside = (clip.times >= stroke[0]) & (clip.times <= stroke[1])
    view = canvas.view(Box(at(stroke[0]), plot.y, at(stroke[1]) - at(stroke[0]) + 1, plot.height))
    view[:] = cv2.addWeighted(view, 0.65, np.full_like(view, ACCENT_DIM), 0.35, 0)
    height = np.sqrt(np.clip(energy, 0, 1)) * (plot.height - canvas.px(10))  # small motion counts
    for part, colour in ((np.ones_like(inside), TRACK), (inside, ACCENT)):
        curve = np.stack([plot.x + clip.times[part] / end * (plot.width - 1),
                          plot.bottom - 1 - height[part]], 1)
        if len(curve) < 2:
            continue
        feet = [(curve[-1, 0], plot.bottom - 1), (curve[0, 0], plot.bottom - 1)]
        fixed = np.round(np.concatenate([curve, feet]) * (1 << _FRACTION)).astype(np.int32)
        cv2.fillPoly(canvas.image, [fixed], colour, cv2.LINE_AA, _FRACTION)
    for edge, seconds in enumerate(stroke):
        _draw_handle(canvas, plot, at(seconds), held=edge == session.edge)
    x = min(at(session.replayed_s), plot.right - canvas.px(2))
    canvas.view(Box(x, plot.y, canvas.px(2), plot.height))[:] = INK


def _draw_handle(canvas: Canvas, plot: Box, x: int, held: bool) -> None:
    colour = ACCENT if held else INK
    width, knob = canvas.px(3 if held else 2), canvas.px(14 if held else 8)
    left = min(max(x - width // 2, plot.x), plot.right - width)
    canvas.view(Box(left, plot.y, width, plot.height))[:] = colour
    centre = min(max(x - knob // 2, plot.x), plot.right - knob)
    canvas.dot(Box(centre, plot.y - knob // 2, knob, knob), colour)
