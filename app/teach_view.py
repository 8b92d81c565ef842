"""What the guided session looks like: one picture a step, drawn on the camera's or the replay's.

Only the chooser covers much of the picture. While a person moves, everything stays in a strip at
the bottom, so that no hand is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from app import lettering
from app.drawing import ACCENT, MUTED, RECORDING, TRACK, WARNING, Box, Canvas
from app.elements import draw_message
from app.scene import Image
from app.teach import COUNTDOWN_S, Session
from app.teach_chooser import draw_chooser
from app.teach_parts import Hint, draw_hints, draw_lines
from app.teach_timeline import draw_stroke

_MARGIN, _PAD = 12, 14  # design pixels
_STRIP, _REVIEW = 92, 152  # heights of strips
_SMALLEST = (320, 280)  # width, height; a smaller picture has no room for a session
_RETURN = (Hint(("esc",), "back"),)


def draw_session(image: Image, session: Session, learning: str = "", *, mirrored: bool = False
                 ) -> Image:
    """A new picture: `image`, BGR and `mirrored` already if that is wished, with the step on it.

    `image` is the replayed frame where `session.replayed` gives one, else the camera's.
    `learning` is a line on the trainer that is at work, if one is.
    """
    canvas = Canvas(image.copy())
    if canvas.width < canvas.px(_SMALLEST[0]) or canvas.height < canvas.px(_SMALLEST[1]):
        draw_message(canvas, "Make the window larger to teach a gesture")
        return canvas.image
    if session.step == "choose":
        draw_chooser(canvas, session, learning, mirrored=mirrored)
    elif session.step == "name":
        _draw_name(canvas, session)
    elif session.step == "countdown":
        _draw_countdown(canvas, session)
    elif session.step == "record":
        _draw_recording(canvas, session)
    elif session.step == "examine":
        _draw_text(canvas, session, "Looking at it …")
    elif session.step == "review":
        _draw_review(canvas, session)
    elif session.step == "refused":
        _draw_question(canvas, "Not usable: record it again", session.notice,
                       (Hint(("enter",), "again"), *_RETURN))
    else:
        _draw_delete(canvas, session)
    return canvas.image


def _strip(canvas: Canvas, height: int = _STRIP) -> Box:
    """A glass panel along the bottom; returns the room on it."""
    margin = canvas.px(_MARGIN)
    box = Box(margin, canvas.height - margin - canvas.px(height), canvas.width - 2 * margin,
              canvas.px(height))
    canvas.glass(box, canvas.px(10))
    return box.inset(canvas.px(_PAD))


def _lift(canvas: Canvas, bottom: int) -> None:
    """The picture smaller, above `bottom`, on itself dimmed: nothing of it is hidden."""
    gap = canvas.px(_MARGIN)
    height = bottom - 2 * gap
    width = round(canvas.width * height / canvas.height)
    small = cv2.resize(canvas.image, (width, height))  # INTER_AREA would take 60 ms
    canvas.page()
    canvas.view(Box((canvas.width - width) // 2, gap, width, height))[:] = np.asarray(small)


def _title(session: Session) -> str:
    name = "Background" if session.background else session.label
    return f"{name}  ·  recording {session.number}"


def _draw_text(canvas: Canvas, session: Session, words: str, left: int = 0) -> Box:
    """The strip of a recording: what is recorded, and `words` below it."""
    room = _strip(canvas)
    x = room.x + left
    canvas.text(_title(session), x, canvas.baseline(room.y, canvas.px(18), 14),
                room=room.right - x, size=14, colour=MUTED)
    canvas.text(words, x, canvas.baseline(room.y + canvas.px(22), canvas.px(24), 20),
                room=room.right - x, size=20, smallest=13,
                weight=lettering.SEMIBOLD)
    return room


def _draw_countdown(canvas: Canvas, session: Session) -> None:
    left = canvas.px(64)
    room = _draw_text(canvas, session, session.task, left)
    seconds = max(1, int(np.ceil(COUNTDOWN_S - session.elapsed)))
    canvas.text(str(seconds), room.x + (left - canvas.px(16)) // 2,
                canvas.baseline(room.y, room.height, 56), room=left, size=56, colour=ACCENT,
                weight=lettering.SEMIBOLD, align="centre")
    track = Box(room.x + left, room.bottom - canvas.px(6), room.width - left, canvas.px(6))
    canvas.bar(track, 1 - session.elapsed / COUNTDOWN_S, MUTED)


def _draw_recording(canvas: Canvas, session: Session) -> None:
    """As low as it can be: the hand is what counts now."""
    frame, thick = canvas.image, canvas.px(4)
    for edge in (np.s_[:thick], np.s_[-thick:], np.s_[:, :thick], np.s_[:, -thick:]):
        frame[edge] = RECORDING
    room = _strip(canvas, 58)
    dot, left = canvas.px(26), canvas.px(42)
    canvas.dot(Box(room.x, room.y + (room.height - dot) // 2, dot, dot), RECORDING)
    canvas.text(session.task, room.x + left, canvas.baseline(room.y, canvas.px(18), 18),
                room=room.width - left, size=18, smallest=13, weight=lettering.SEMIBOLD)
    track = Box(room.x + left, room.bottom - canvas.px(6), room.width - left, canvas.px(6))
    canvas.bar(track, session.elapsed / session.length_s, RECORDING)


def _draw_review(canvas: Canvas, session: Session) -> None:
    if session.stroke is None:
        _draw_question(canvas, _title(session), "Was that no gesture, all the time?",
                       (Hint(("enter",), "keep"), Hint(("r",), "again"), Hint(("esc",), "drop")))
        return
    _lift(canvas, canvas.height - canvas.px(_MARGIN + _REVIEW))
    room = _strip(canvas, _REVIEW)
    words = f"{session.stroke[0]:.2f} to {session.stroke[1]:.2f} s"
    baseline = canvas.baseline(room.y, canvas.px(18), 15)
    used = canvas.text(words, room.right, baseline, room=room.width // 3, size=13, colour=MUTED,
                       align="right")
    canvas.text(f"{session.label}: is the gesture marked?", room.x, baseline,
                room=room.width - used - canvas.px(8), size=15, weight=lettering.SEMIBOLD)
    plot = Box(room.x, room.y + canvas.px(28), room.width, canvas.px(62))
    draw_stroke(canvas, plot, session)
    edge = ("start", "end")[session.edge]
    draw_hints(canvas, Box(room.x, room.bottom - canvas.px(22), room.width, canvas.px(22)), (
        Hint(("left", "right"), f"move the {edge}"), Hint(("up", "down"), "start or end"),
        Hint(("enter",), "keep"), Hint(("r",), "again"), Hint(("esc",), "drop")))


def _draw_question(canvas: Canvas, title: str, words: str, hints: Sequence[Hint]) -> None:
    lines = lettering.wrap(words, canvas.width - 2 * canvas.px(_MARGIN + _PAD), canvas.px(15))
    room = _strip(canvas, 2 * _PAD + 24 + 21 * len(lines) + 30)
    canvas.text(title, room.x, canvas.baseline(room.y, canvas.px(18), 15), room=room.width,
                size=15, colour=MUTED)
    draw_lines(canvas, lines, room.x, room.y + canvas.px(24), room.width, size=15)
    draw_hints(canvas, Box(room.x, room.bottom - canvas.px(22), room.width, canvas.px(22)), hints)


def _draw_delete(canvas: Canvas, session: Session) -> None:
    newest, chosen = session.newest, session.chosen
    when = newest.date.replace("T", ", ")[:17] if newest is not None and newest.date else ""
    words = f"Its newest recording{f' ({when})' if when else ''} would be gone for good."
    _draw_question(canvas, f"{chosen.title}: delete one of {chosen.count}?", words,
                   (Hint(("enter",), "delete"), *_RETURN))


def _draw_name(canvas: Canvas, session: Session) -> None:
    lines = lettering.wrap(session.notice, canvas.width - 2 * canvas.px(_MARGIN + _PAD),
                           canvas.px(13))
    room = _strip(canvas, 2 * _PAD + 68 + 18 * len(lines) + 30)
    canvas.text("What is the new gesture called?", room.x,
                canvas.baseline(room.y, canvas.px(18), 14), room=room.width, size=14, colour=MUTED)
    field = Box(room.x, room.y + canvas.px(26), room.width, canvas.px(34))
    canvas.slab(field, canvas.px(6), TRACK)
    pad = canvas.px(10)
    baseline = canvas.baseline(field.y, field.height, 20)
    used = canvas.text(session.typed.rstrip(), field.x + pad, baseline,
                       room=field.width - 3 * pad, size=20, smallest=12)
    caret = Box(field.x + pad + used + canvas.px(3), field.y + canvas.px(7), canvas.px(2),
                field.height - canvas.px(14))
    canvas.view(caret)[:] = ACCENT
    draw_lines(canvas, lines, room.x, field.bottom + canvas.px(6), room.width, size=13,
               colour=WARNING)
    draw_hints(canvas, Box(room.x, room.bottom - canvas.px(22), room.width, canvas.px(22)),
               (Hint(("enter",), "go on"), *_RETURN))
