"""The guide in the help page: pictures of the gestures in motion, in a grid or one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

from app import lettering
from app.drawing import INK, MUTED, Box, Canvas
from app.elements import threshold_of
from app.guide import ASPECT, frame_at, guide_frames, has_guide

if TYPE_CHECKING:
    from models.card import ModelCard

_CELL_WIDTHS = (138, 110, 84)  # design pixels, the first that keeps the pages few
_CAPTION, _GAP, _TITLE = 22, 16, 34
_FEW_PAGES = 3
_TURN_S = 4.0  # how long one gesture has the picture to itself
_LEFT_OUT = 0.45  # opacity of a gesture that is off


def guided(card: ModelCard) -> list[str]:
    """The labels that the guide shows: those that count, then those left out, then background."""
    events = [label for label in card.labels if label not in card.background]
    counted = [label for label in events if threshold_of(card, label) is not None]
    order = counted + [label for label in events if label not in counted] + list(card.background)
    return [label for label in order if has_guide(label)]


def guide_pages(canvas: Canvas, box: Box, card: ModelCard) -> int:
    """How many pages the guide takes in a box of this size."""
    labels = guided(card)
    columns, rows = _grid(canvas, box, len(labels))
    return -(-len(labels) // (columns * rows)) if columns * rows else 0


def draw_guide_page(canvas: Canvas, box: Box, card: ModelCard, page: int, *, seconds: float,
                    mirrored: bool) -> None:
    """Page `page` (0 is the first): all gestures of it in motion, `seconds` after their start."""
    labels, pages = guided(card), guide_pages(canvas, box, card)
    columns, rows = _grid(canvas, box, len(labels))
    shown = labels[page * columns * rows:(page + 1) * columns * rows]
    off = [label for label in shown
           if label not in card.background and threshold_of(card, label) is None]
    baseline, gap = canvas.baseline(box.y, canvas.px(18), 18), canvas.px(_GAP)
    hint = ("Dark: off.  " if off else "") + ("H: next page" if page + 1 < pages else "H: close")
    used = canvas.text(hint, box.right, baseline, room=box.width // 2, size=12, colour=MUTED,
                       align="right")
    number = f", {page + 1} of {pages}" if pages > 1 else ""
    canvas.text(f"How to do them{number}", box.x, baseline, room=box.width - used - gap, size=18,
                weight=lettering.SEMIBOLD)
    width = (box.width + gap) // columns - gap
    for place, label in enumerate(shown):
        x = box.x + place % columns * (width + gap)
        y = box.y + canvas.px(_TITLE) + place // columns * _row(canvas, width)
        cell = Box(x, y, width, round(width / ASPECT))
        draw_guide(canvas, cell, label, seconds, mirrored=mirrored,
                   opacity=_LEFT_OUT if label in off else 1.0)
        canvas.text(label, x, canvas.baseline(cell.bottom, canvas.px(18), 12), room=width,
                    size=12, colour=MUTED if label in off else INK)


def draw_guide(canvas: Canvas, box: Box, label: str, seconds: float, *, mirrored: bool,
               opacity: float = 1.0) -> None:
    """The picture of a gesture that has one, `seconds` after its start.

    `mirrored`: as in a mirror, for someone who sees himself in one.
    """
    picture = frame_at(guide_frames(label), seconds)
    scaling = cv2.INTER_AREA if box.width < picture.shape[1] else cv2.INTER_CUBIC
    sized = cv2.resize(picture[:, ::-1] if mirrored else picture, (box.width, box.height),
                       interpolation=scaling)
    with canvas.faded(box, opacity):
        canvas.view(box)[:] = sized


def turn(labels: list[str], seconds: float) -> tuple[str, float]:
    """Which of `labels` has its turn, and for how long already; one after the other."""
    count, since = divmod(seconds, _TURN_S)
    return labels[int(count) % len(labels)], since


def _row(canvas: Canvas, width: int) -> int:
    """Height of a cell of this width, in pixels."""
    return round(width / ASPECT) + canvas.px(_CAPTION)


def _grid(canvas: Canvas, box: Box, count: int) -> tuple[int, int]:
    """Columns and rows for `count` pictures: large ones where a few pages hold them."""
    gap, columns, rows = canvas.px(_GAP), 0, 0
    for design in _CELL_WIDTHS:
        columns = (box.width + gap) // (canvas.px(design) + gap)
        if not columns:
            continue
        width = (box.width + gap) // columns - gap
        rows = max(0, box.height - canvas.px(_TITLE)) // _row(canvas, width)
        if columns * rows * _FEW_PAGES >= count:
            break
    return columns, rows
