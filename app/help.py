"""The help: the keys and the gestures with their thresholds, then how each is performed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import lettering
from app.drawing import ACCENT, INK, MUTED, TRACK, Box, Canvas
from app.elements import threshold_of
from app.guide import ASPECT
from app.guide_page import draw_guide, draw_guide_page, guide_pages, guided, turn
from app.keys import COMMANDS

if TYPE_CHECKING:
    from models.card import ModelCard

_PAGE_WIDTH, _PAGE_HEIGHT = 760, 480  # design pixels; a larger picture leaves a border
_KEYS_WIDTH, _COLUMN_WIDTH, _FIGURE_WIDTH = 170, 172, 30
_KEY_ROW, _TITLE, _LEGEND_ROW = 26, 40, 26
_SMALLEST_ROW, _LARGEST_ROW = 18, 26
_GESTURES_TITLE = 100  # room for the word
_LEGEND = "Number: the confidence at which it counts. Off: left out. Rest: no gesture."


def draw_help(canvas: Canvas, card: ModelCard, page: int = 1, *, seconds: float = 0.0,
              mirrored: bool = False) -> None:
    """Covers the picture with a page of the help, 1 or more, `seconds` after it was opened.

    What does not fit a small picture is left out, the keys last. `mirrored`: the gestures are
    shown as in a mirror.
    """
    canvas.page()
    box = _page_box(canvas)
    if min(box.width, box.height) < canvas.px(_TITLE):
        return
    page = min(page, help_pages(canvas, card))  # the picture may have grown meanwhile
    if page > 1:
        draw_guide_page(canvas, box, card, page - 2, seconds=seconds, mirrored=mirrored)
        return
    gap = canvas.px(20)
    keys = Box(box.x, box.y, min(box.width, canvas.px(_KEYS_WIDTH)), box.height)
    below = _draw_keys(canvas, keys)
    playing = _draw_playing(canvas, below, card, seconds, mirrored)
    gestures = Box(keys.right + gap, box.y, box.right - keys.right - gap, box.height)
    if gestures.width >= canvas.px(_COLUMN_WIDTH) // 2:
        if help_pages(canvas, card) > 1:
            canvas.text("H: how to do them", gestures.right,
                        canvas.baseline(gestures.y, canvas.px(18), 18), size=12, colour=MUTED,
                        room=max(1, gestures.width - canvas.px(_GESTURES_TITLE)), align="right")
        _draw_gestures(canvas, gestures, card, playing)


def help_pages(canvas: Canvas, card: ModelCard) -> int:
    """How many pages there are on a picture of this size."""
    return 1 + guide_pages(canvas, _page_box(canvas), card)


def _page_box(canvas: Canvas) -> Box:
    width = min(canvas.width - canvas.px(40), canvas.px(_PAGE_WIDTH))
    height = min(canvas.height - canvas.px(40), canvas.px(_PAGE_HEIGHT))
    return Box((canvas.width - width) // 2, (canvas.height - height) // 2, width, height)


def _draw_playing(canvas: Canvas, box: Box, card: ModelCard, seconds: float, mirrored: bool) -> str:
    """One gesture in motion at the bottom of `box`, and its label; "" where there is no room."""
    labels = [label for label in guided(card) if threshold_of(card, label) is not None]
    width = min(box.width, canvas.px(_KEYS_WIDTH - 10))
    height = round(width / ASPECT)
    if not labels or height > box.height:
        return ""
    label, since = turn(labels, seconds)
    picture = Box(box.x, box.bottom - height, width, height)
    draw_guide(canvas, picture, label, since, mirrored=mirrored)
    return label


def _draw_title(canvas: Canvas, box: Box, title: str) -> None:
    canvas.text(title, box.x, canvas.baseline(box.y, canvas.px(18), 18), room=box.width, size=18,
                weight=lettering.SEMIBOLD)


def _draw_keys(canvas: Canvas, box: Box) -> Box:
    """Returns what is left of the box below."""
    _draw_title(canvas, box, "Keys")
    y, row = box.y + canvas.px(_TITLE), canvas.px(_KEY_ROW)
    for command in COMMANDS:
        if y + row > box.bottom:
            break
        x = box.x
        for key in command.keys:
            x += _draw_key(canvas, x, y, key) + canvas.px(4)
        x = box.x + canvas.px(64)
        canvas.text(command.help, x, canvas.baseline(y, canvas.px(20), 12), room=box.right - x,
                    size=12)
        y += row
    return Box(box.x, y, box.width, box.bottom - y)


def _draw_key(canvas: Canvas, x: int, y: int, key: str) -> int:
    name = key.upper() if len(key) == 1 else key.capitalize()
    height = canvas.px(20)
    width = max(canvas.px(22), lettering.width_of(name, canvas.px(11)) + canvas.px(12))
    canvas.slab(Box(x, y, width, height), canvas.px(5), TRACK)
    canvas.text(name, x + width // 2, canvas.baseline(y, height, 11), room=width, size=11,
                align="centre", weight=lettering.MEDIUM)
    return width


def _draw_gestures(canvas: Canvas, box: Box, card: ModelCard, playing: str) -> None:
    """In columns, background labels last; says how many did not fit. The one that is `playing`
    stands out."""
    _draw_title(canvas, box, "Gestures")
    names = [name for name in card.labels if name not in card.background] + list(card.background)
    top, gap = box.y + canvas.px(_TITLE), canvas.px(20)
    room = box.bottom - canvas.px(_LEGEND_ROW) - top
    most_rows = max(1, room // canvas.px(_SMALLEST_ROW))
    most_columns = max(1, (box.width + gap) // (canvas.px(_COLUMN_WIDTH) + gap))
    columns = min(most_columns, -(-len(names) // most_rows))
    rows = min(most_rows, -(-len(names) // columns))
    more = len(names) - rows * columns
    if more > 0:
        names = [*names[:rows * columns - 1], f"and {more + 1} more"]
    row = min(canvas.px(_LARGEST_ROW), room // rows)
    width = (box.width + gap) // columns - gap
    size = _common_size(canvas, names, width - canvas.px(_FIGURE_WIDTH))
    for place, name in enumerate(names):
        x, y = box.x + place // rows * (width + gap), top + place % rows * row
        _draw_gesture(canvas, Box(x, y, width, row), name, size, card, playing=name == playing)
    legend = canvas.baseline(top + rows * row, canvas.px(_LEGEND_ROW), 11)
    held = [hold for name, hold in card.smoothing.holds.items()
            if threshold_of(card, name) is not None]
    words = f"{_LEGEND} *: if it lasts {max(held):g} s." if held else _LEGEND
    canvas.text(words, box.x, legend, room=box.width, size=11, colour=MUTED)


def _common_size(canvas: Canvas, names: list[str], room: int) -> float:
    """The one size, in design pixels, at which all names fit, if that is still readable."""
    sizes = [lettering.fit(name, room, canvas.px(13), canvas.px(11))[1] for name in names]
    return min(sizes) / canvas.scale


def _draw_gesture(canvas: Canvas, box: Box, name: str, size: float, card: ModelCard,
                  *, playing: bool) -> None:
    baseline = canvas.baseline(box.y, canvas.px(_SMALLEST_ROW), size)
    threshold = threshold_of(card, name) if name in card.labels else None
    if name not in card.labels:
        mark = ""
    elif name in card.background:
        mark = "rest"
    elif threshold is None:
        mark = "off"
    else:
        mark = f"{threshold:.2f}" + ("*" if name in card.smoothing.holds else "")
    canvas.text(mark, box.right, baseline, room=canvas.px(_FIGURE_WIDTH), size=size, colour=MUTED,
                align="right")
    colour = ACCENT if playing else INK if threshold is not None else MUTED
    canvas.text(name, box.x, baseline, room=box.width - canvas.px(_FIGURE_WIDTH), size=size,
                smallest=size, colour=colour)
