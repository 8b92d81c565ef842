"""The small elements of the overlay: current gesture, top classes, last events, notices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from app import lettering
from app.drawing import (
    ACCENT,
    DARK,
    INK,
    MUTED,
    RECORDING,
    Box,
    Canvas,
    Colour,
)

if TYPE_CHECKING:
    from models.card import ModelCard
    from online_tsm.events import Event
    from online_tsm.stream import Prediction

FLASH_S = 1.0  # an event stands out for this long
FADE_FROM_S, FADE_TO_S = 4.0, 10.0  # and then fades away


def threshold_of(card: ModelCard, label: str) -> float | None:
    """The probability above which `label` may become an event; None if it never does."""
    if label in card.background or label in card.smoothing.disabled:
        return None
    return float(card.smoothing.thresholds.get(label, card.smoothing.rise))


def draw_gesture(canvas: Canvas, box: Box, prediction: Prediction, card: ModelCard) -> None:
    """The current gesture in large letters, its confidence, and how far it is from firing."""
    canvas.glass(box, canvas.px(10))
    inner = box.inset(canvas.px(12))
    height = canvas.px(6)
    track = Box(inner.x, inner.bottom - height, inner.width, height)
    baseline = canvas.baseline(inner.y, canvas.px(24), 26)
    if prediction.cold:
        canvas.text("Warming up", inner.x, baseline, room=inner.width, size=26, smallest=14,
                    colour=MUTED, weight=lettering.SEMIBOLD)
        canvas.bar(track, 0.0, MUTED)
        return
    threshold = threshold_of(card, prediction.label)
    fires = threshold is not None and prediction.confidence >= threshold
    colour: Colour = ACCENT if fires else MUTED if threshold is None else INK
    used = canvas.text(f"{prediction.confidence:.0%}", inner.right, baseline,
                       room=inner.width // 3, size=26, smallest=14, colour=colour, align="right")
    canvas.text(prediction.label, inner.x, baseline, room=inner.width - used - canvas.px(12),
                size=26, smallest=14, colour=colour, weight=lettering.SEMIBOLD)
    canvas.bar(track, prediction.confidence, ACCENT if fires else MUTED, threshold)


BAR_ROW = 30  # design pixels


def draw_bars(canvas: Canvas, box: Box, prediction: Prediction, card: ModelCard) -> None:
    """The likeliest classes, as many as fit, each with a tick at its threshold."""
    canvas.glass(box, canvas.px(10))
    inner = box.inset(canvas.px(12))
    row, figure = canvas.px(BAR_ROW), canvas.px(34)
    count = min(len(card.labels), (inner.height + canvas.px(10)) // row)  # 8, and what is rounded
    best = np.argsort(-prediction.probabilities, kind="stable")[:count]
    for place, index in enumerate(best):
        label, probability = card.labels[index], float(prediction.probabilities[index])
        threshold = threshold_of(card, label)
        fires = threshold is not None and probability >= threshold and not prediction.cold
        y = inner.y + place * row
        canvas.text(label, inner.x, canvas.baseline(y, canvas.px(11), 12), room=inner.width,
                    size=12, colour=INK if threshold is not None else MUTED)
        track = Box(inner.x, y + canvas.px(17), inner.width - figure, canvas.px(4))
        canvas.bar(track, probability, ACCENT if fires else MUTED, threshold)
        canvas.text(f"{probability:.0%}", inner.right,
                    canvas.baseline(track.y, track.height, 11), room=figure, size=11,
                    colour=MUTED, align="right")


EVENT_ROW, EVENT_GAP = 26, 6  # design pixels


def draw_events(canvas: Canvas, box: Box, events: Sequence[tuple[Event, float]]) -> None:
    """The last events, newest first; each stands out at first and fades away later."""
    height, step = canvas.px(EVENT_ROW), canvas.px(EVENT_ROW + EVENT_GAP)
    y = box.y
    for event, age in events:
        if y + height > box.bottom or age >= FADE_TO_S:
            break
        opacity = min(1.0, (FADE_TO_S - age) / (FADE_TO_S - FADE_FROM_S))
        row = Box(box.x, y, box.width, height)
        with canvas.faded(row, opacity):
            _draw_event(canvas, row, event.label, age)
        y += step


def _draw_event(canvas: Canvas, row: Box, label: str, age: float) -> None:
    pad = canvas.px(10)
    colour, quiet = (DARK, DARK) if age < FLASH_S else (INK, MUTED)
    seconds = "now" if age < FLASH_S else f"{age:.0f} s"
    baseline = canvas.baseline(row.y, row.height, 13)
    room = row.width - 3 * pad - canvas.px(28)
    fitted, size = lettering.fit(label, room, canvas.px(13), weight=lettering.MEDIUM)
    width = lettering.width_of(fitted, size, lettering.MEDIUM) + 3 * pad + canvas.px(28)
    chip = Box(row.x, row.y, min(row.width, width), row.height)
    if age < FLASH_S:
        canvas.slab(chip, row.height // 2, ACCENT)
    else:
        canvas.glass(chip, row.height // 2)
    canvas.text(label, chip.x + pad, baseline, room=room, colour=colour,
                weight=lettering.MEDIUM)
    canvas.text(seconds, chip.right - pad, baseline, room=canvas.px(32), size=12, colour=quiet,
                align="right")


def draw_rates(canvas: Canvas, right: int, y: int, texts: Sequence[str]) -> None:
    """One small chip with its upper right corner at (right, y), such as "30 fps · 41 ms"."""
    line = "  ·  ".join(texts)
    pad, height = canvas.px(10), canvas.px(EVENT_ROW)
    room = right - 3 * pad
    fitted, size = lettering.fit(line, room, canvas.px(12))
    width = lettering.width_of(fitted, size) + 2 * pad
    if not fitted or y + height > canvas.height:
        return
    chip = Box(right - width, y, width, height)
    canvas.glass(chip, height // 2)
    canvas.text(line, chip.right - pad, canvas.baseline(y, height, 12), room=room, size=12,
                align="right")


TASK_WIDTH = 360  # design pixels
RECORDING_WIDTH = 116  # design pixels, with the gap beside it


def draw_recording(canvas: Canvas, right: int, bottom: int, seconds: float) -> None:
    """A red dot and the length of the recording, with its lower right corner there."""
    minutes, rest = divmod(int(seconds), 60)
    line = f"REC {minutes:02d}:{rest:02d}"
    pad, height = canvas.px(10), canvas.px(EVENT_ROW)
    dot = canvas.px(10)
    width = 3 * pad + dot + lettering.width_of(line, canvas.px(13), lettering.MEDIUM)
    chip = Box(right - width, bottom - height, width, height)
    if chip.x < 0 or chip.y < 0:
        return
    canvas.glass(chip, height // 2)
    canvas.dot(Box(chip.x + pad, chip.y + (height - dot) // 2, dot, dot), RECORDING)
    canvas.text(line, chip.right - pad, canvas.baseline(chip.y, height, 13), room=width,
                weight=lettering.MEDIUM, align="right")


def draw_task(canvas: Canvas, words: str, progress: float, bottom: int) -> int:
    """What is under way, over a bar filled to `progress` (0..1), on a panel that ends at `bottom`.

    Returns the y above which the next one may end.
    """
    pad, height = canvas.px(12), canvas.px(44)
    width = min(canvas.px(TASK_WIDTH), canvas.width - 2 * pad)
    if bottom - height < 0 or width < canvas.px(100):
        return bottom
    box = Box((canvas.width - width) // 2, bottom - height, width, height)
    canvas.glass(box, canvas.px(10))
    figure = canvas.text(f"{progress:.0%}", box.right - pad,
                         canvas.baseline(box.y, canvas.px(30), 13), room=width // 3, size=13,
                         colour=MUTED, align="right")
    canvas.text(words, box.x + pad, canvas.baseline(box.y, canvas.px(30), 13),
                room=width - 3 * pad - figure, size=13, weight=lettering.MEDIUM)
    bar = canvas.px(5)
    canvas.bar(Box(box.x + pad, box.bottom - canvas.px(9) - bar, width - 2 * pad, bar), progress,
               ACCENT)
    return box.y - canvas.px(8)


def is_narrow(canvas: Canvas) -> bool:
    """Whether a message has no room beside the recording's chip."""
    return canvas.width <= canvas.px(480)


def draw_message(canvas: Canvas, message: str, bottom: int | None = None, *,
                 hint: str = "") -> int:
    """A sentence on a panel that ends at `bottom`, or lies in the middle of the picture (None).

    Returns the y above which the next one may end.
    """
    pad, size = canvas.px(16), 18
    side = 0 if is_narrow(canvas) else canvas.px(RECORDING_WIDTH)
    room = canvas.width - 2 * (pad + canvas.px(8) + side)
    lines = lettering.wrap(message, room, canvas.px(size), lettering.MEDIUM)
    row = canvas.px(size + 8)
    height = row * len(lines) + canvas.px(12) + (canvas.px(18) if hint else 0)
    y = (canvas.height - height) // 2 if bottom is None else bottom - height
    if not lines or y < 0:
        return canvas.height if bottom is None else bottom
    widths = [lettering.width_of(line, canvas.px(size), lettering.MEDIUM) for line in lines]
    widths.append(min(room, lettering.width_of(hint, canvas.px(12))))
    width = max(widths) + 2 * pad
    canvas.glass(Box((canvas.width - width) // 2, y, width, height), canvas.px(10))
    top, middle = y, canvas.width // 2
    y += canvas.px(6)
    for line in lines:
        canvas.text(line, middle, canvas.baseline(y, row, size), room=room, size=size,
                    weight=lettering.MEDIUM, align="centre")
        y += row
    canvas.text(hint, middle, canvas.baseline(y, canvas.px(12), 12), room=room, size=12,
                colour=MUTED, align="centre")
    return top - canvas.px(8)
