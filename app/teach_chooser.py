"""The session's list of gestures, with what is recorded, and how the one in hand is performed."""

from __future__ import annotations

from app import lettering
from app.drawing import ACCENT, DARK, INK, MUTED, TRACK, WARNING, Box, Canvas
from app.guide import ASPECT, guide_frames
from app.guide_page import draw_guide
from app.teach import Session
from app.teach_list import Choice, advice
from app.teach_parts import Hint, draw_hints, draw_lines

_MARGIN, _GAP, _PAD = 12, 8, 12  # design pixels
_LIST, _CARD = 312, 296  # widths
_TITLE, _ROW, _HINTS, _LINE = 34, 25, 28, 17
_HINT_ROWS = ((Hint(("enter",), "record"), Hint(("n",), "new"), Hint(("l",), "learn")),
              (Hint(("d",), "delete"), Hint(("up", "down"), "choose"), Hint(("esc",), "back")))


def draw_chooser(canvas: Canvas, session: Session, learning: str, *, mirrored: bool) -> None:
    """The list on the left; on the right, as far as there is room, the line in hand."""
    margin = canvas.px(_MARGIN)
    width = min(canvas.px(_LIST), canvas.width - 2 * margin)
    box = Box(margin, margin, width, canvas.height - 2 * margin)
    _draw_list(canvas, box, session, learning)
    left = box.right + canvas.px(_GAP)
    room = min(canvas.width - margin - left, canvas.px(_CARD))
    if room >= canvas.px(160):
        _draw_card(canvas, canvas.width - margin - room, room, session.chosen, session.elapsed,
                   mirrored=mirrored)


def _draw_list(canvas: Canvas, box: Box, session: Session, learning: str) -> None:
    canvas.glass(box, canvas.px(10))
    inner = box.inset(canvas.px(_PAD))
    canvas.text("Teach a gesture", inner.x, canvas.baseline(inner.y, canvas.px(20), 18),
                room=inner.width, size=18, weight=lettering.SEMIBOLD)
    y = inner.bottom
    for hints in reversed(_HINT_ROWS):
        y -= canvas.px(_HINTS)
        draw_hints(canvas, Box(inner.x, y + canvas.px(6), inner.width, canvas.px(20)), hints)
    for words, colour in ((learning, ACCENT), (session.notice, INK)):
        lines = lettering.wrap(words, inner.width, canvas.px(12))
        y -= canvas.px(_LINE) * len(lines)
        draw_lines(canvas, lines, inner.x, y, inner.width, size=12, colour=colour)
    top, row = inner.y + canvas.px(_TITLE), canvas.px(_ROW)
    rows = max(1, (y - canvas.px(4) - top) // row)
    first = _first(session.cursor, len(session.choices), rows)
    shown = session.choices[first:first + rows]
    bar = canvas.px(10) if len(shown) < len(session.choices) else 0
    for place, choice in enumerate(shown):
        _draw_choice(canvas, Box(inner.x, top + place * row, inner.width - bar, row), choice,
                     chosen=first + place == session.cursor)
    if bar:
        _draw_scroll(canvas, Box(inner.right - canvas.px(4), top, canvas.px(4), rows * row),
                     first / len(session.choices), rows / len(session.choices))


def _first(cursor: int, count: int, rows: int) -> int:
    """The first line shown, so that the one in hand is in the middle where that is possible."""
    return min(max(cursor - rows // 2, 0), max(count - rows, 0))


def _draw_choice(canvas: Canvas, row: Box, choice: Choice, chosen: bool) -> None:
    colour, quiet = INK, MUTED
    done = choice.count >= choice.wanted
    if chosen:
        canvas.slab(row, canvas.px(6), ACCENT)
        colour = quiet = DARK
    elif choice.kind == "background" and not done:
        quiet = WARNING
    pad, baseline = canvas.px(8), canvas.baseline(row.y, row.height, 14)
    used = canvas.text(_figure(choice), row.right - pad, baseline, room=row.width // 2, size=12,
                       colour=quiet, align="right")
    canvas.text(choice.title, row.x + pad, baseline, room=row.width - used - 3 * pad, size=14,
                colour=colour, weight=lettering.MEDIUM if chosen else lettering.REGULAR)


def _figure(choice: Choice) -> str:
    """How many recordings there are, and how many are missing of those that are needed."""
    if choice.kind == "background" and choice.count < choice.wanted:
        return f"{choice.wanted - choice.count} still missing"
    if choice.count == 0:
        return ""
    return f"{choice.count} of {choice.wanted}" if choice.count < choice.wanted else \
        f"{choice.count} recorded"


def _draw_scroll(canvas: Canvas, box: Box, start: float, share: float) -> None:
    canvas.slab(box, box.width / 2, TRACK)
    height = max(box.width, round(box.height * share))
    y = box.y + round((box.height - height) * start / max(1 - share, 1e-6))
    canvas.slab(Box(box.x, y, box.width, height), box.width / 2, MUTED)


def _draw_card(canvas: Canvas, x: int, width: int, choice: Choice, elapsed: float, *,
               mirrored: bool) -> None:
    """How the gesture is performed, in motion where there is a picture, and what to do next."""
    pad, size = canvas.px(_PAD), 13
    inner = width - 2 * pad
    lines = lettering.wrap(advice(choice), inner, canvas.px(size), lines=4)
    words = 2 * pad + canvas.px(26) + canvas.px(size * 1.4) * len(lines)
    room = canvas.height - 2 * canvas.px(_MARGIN) - words - canvas.px(_GAP)
    picture = round(inner / ASPECT)
    guided = bool(guide_frames(choice.label)) and picture <= room
    height = words + (picture + canvas.px(_GAP) if guided else 0)
    y = canvas.height - canvas.px(_MARGIN) - height
    canvas.glass(Box(x, y, width, height), canvas.px(10))
    y += pad
    if guided:
        draw_guide(canvas, Box(x + pad, y, inner, picture), choice.label, elapsed,
                   mirrored=mirrored)
        y += picture + canvas.px(_GAP)
    canvas.text(choice.title, x + pad, canvas.baseline(y, canvas.px(18), 15), room=inner, size=15,
                weight=lettering.SEMIBOLD)
    draw_lines(canvas, lines, x + pad, y + canvas.px(26), inner, size=size, colour=MUTED)
