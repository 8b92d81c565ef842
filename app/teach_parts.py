"""Small parts of the session's pictures: keys with what they do, and lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app import lettering
from app.drawing import INK, TRACK, Box, Canvas, Colour

_NAMES = {"enter": "Enter", "esc": "Esc", "left": "←", "right": "→", "up": "↑", "down": "↓"}
_SIZES = (13, 12, 11, 10)  # design pixels, the first at which all hints fit


@dataclass(frozen=True)
class Hint:
    """Keys by their names, and what they do now."""

    keys: tuple[str, ...]
    words: str


def draw_hints(canvas: Canvas, box: Box, hints: Sequence[Hint]) -> None:
    """One row of keys; all in one size, the last left out where even the smallest is too wide."""
    size = next((size for size in _SIZES if _width(canvas, hints, size) <= box.width), _SIZES[-1])
    x = box.x
    for hint in hints:
        if x + _width(canvas, [hint], size) > box.right:
            return
        for key in hint.keys:
            x += _draw_key(canvas, Box(x, box.y, _key_width(canvas, key, size), box.height), key,
                           size) + canvas.px(3)
        x += canvas.px(3)
        x += canvas.text(hint.words, x, canvas.baseline(box.y, box.height, size),
                         room=box.right - x, size=size, smallest=size)
        x += canvas.px(_gap(size))


def draw_lines(canvas: Canvas, lines: Sequence[str], x: int, y: int, room: int, *, size: float,
               colour: Colour = INK) -> int:
    """Wrapped text from `y` down; returns the y below it."""
    row = canvas.px(size * 1.4)
    for line in lines:
        canvas.text(line, x, canvas.baseline(y, row, size), room=room, size=size, colour=colour)
        y += row
    return y


def _gap(size: float) -> float:
    return size


def _key_width(canvas: Canvas, key: str, size: float) -> int:
    name = _NAMES.get(key, key.upper())
    return max(canvas.px(22), lettering.width_of(name, canvas.px(size)) + canvas.px(12))


def _width(canvas: Canvas, hints: Sequence[Hint], size: float) -> int:
    """Pixels of the row, without the gap after the last hint."""
    width = -canvas.px(_gap(size))
    for hint in hints:
        width += sum(_key_width(canvas, key, size) + canvas.px(3) for key in hint.keys)
        width += canvas.px(3) + lettering.width_of(hint.words, canvas.px(size))
        width += canvas.px(_gap(size))
    return width


def _draw_key(canvas: Canvas, box: Box, key: str, size: float) -> int:
    canvas.slab(box, canvas.px(5), TRACK)
    canvas.text(_NAMES.get(key, key.upper()), box.x + box.width // 2,
                canvas.baseline(box.y, box.height, size), room=box.width, size=size,
                align="centre", weight=lettering.MEDIUM)
    return box.width


