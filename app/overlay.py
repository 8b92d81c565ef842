"""The overlay: where each element goes on a picture of any size. Needs no window."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Literal

from app.drawing import Box, Canvas
from app.elements import (
    BAR_ROW,
    EVENT_GAP,
    EVENT_ROW,
    draw_bars,
    draw_events,
    draw_gesture,
    draw_message,
    draw_rates,
    draw_recording,
    draw_task,
    is_narrow,
)
from app.help import draw_help, help_pages
from app.panel import WIDTH as PANEL_WIDTH
from app.panel import draw_panel, panel_height, rows_of
from app.scene import Image, Panel, Scene
from app.timeline import HEIGHT as TIMELINE_HEIGHT
from app.timeline import draw_timeline

if TYPE_CHECKING:
    from models.card import ModelCard

__all__ = ["MODES", "Mode", "Overlay", "Panel", "Scene"]

Mode = Literal["off", "compact", "full"]
MODES: tuple[Mode, ...] = ("off", "compact", "full")

# design pixels (drawing.scale_for)
_MARGIN, _GAP = 12, 8
_GESTURE_WIDTH, _GESTURE_HEIGHT = 420, 64
_BARS_WIDTH, _EVENTS_WIDTH = 208, 270
_RATES_WIDTH = 130
_NARROWEST = 80  # of anything with a label in it
_BARS, _BARS_PAD = 5, 16
_SMALLEST = 64  # pixels; a smaller picture has no room for readable text


class Overlay:
    """Draws a scene in one of three modes, or page `help` of the help while that is not 0.

    `card` is the one that is in force: its thresholds and disabled labels are shown.
    """

    def __init__(self, card: ModelCard, mode: Mode = "full") -> None:
        self.card = card
        self.mode = mode
        self.help = 0
        self._help_since = 0.0  # monotonic() when that page was turned to

    def next_mode(self) -> None:
        """Off, compact, full, and off again."""
        self.mode = MODES[(MODES.index(self.mode) + 1) % len(MODES)]

    def turn_help(self, image: Image) -> None:
        """The first page of the help, the next one, and after the last one none.

        `image`: of the size that pages are shown at, which says how many there are.
        """
        self.help = (self.help + 1) % (help_pages(Canvas(image), self.card) + 1)
        self._help_since = monotonic()

    def annotate(self, scene: Scene) -> Image:
        """A new picture with what the network says: that which belongs into a recording."""
        image = scene.image.copy()
        empty = scene.prediction is None and not scene.timeline  # nothing was seen yet
        if self.mode == "off" or empty or min(image.shape[:2]) < _SMALLEST:
            return image
        canvas = Canvas(image)
        if self.mode == "compact":
            self._compact(canvas, scene)
        else:
            self._full(canvas, scene)
        return image

    def notices(self, image: Image, scene: Scene) -> Image:
        """`image` with what only the person at the window needs, in every mode.

        These are the message, "Paused", the recording's red dot, a task and the help page. Returns
        `image` itself where there is none, else a new picture.
        """
        wanted = scene.message or scene.paused or scene.recording or self.help or scene.task
        if not wanted or min(image.shape[:2]) < _SMALLEST:
            return image
        if self.help:
            canvas = Canvas(scene.image.copy())
            draw_help(canvas, self.card, self.help, mirrored=scene.mirrored,
                      seconds=monotonic() - self._help_since)
            return canvas.image
        canvas = Canvas(image.copy())
        margin = canvas.px(_MARGIN)
        bottom = canvas.height - margin
        if self._has_timeline(canvas):
            bottom -= canvas.px(TIMELINE_HEIGHT + _GAP)
        if scene.recording:
            draw_recording(canvas, canvas.width - margin, bottom, scene.recording_s)
            if is_narrow(canvas):
                bottom -= canvas.px(EVENT_ROW + _GAP)
        if scene.task:
            bottom = draw_task(canvas, *scene.task, bottom)
        if scene.paused:
            bottom = draw_message(canvas, "Paused", bottom, hint="Space goes on")
        if scene.message:
            # before the first prediction there is nothing to cover: "opening camera ..."
            draw_message(canvas, scene.message, bottom if scene.prediction else None)
        return canvas.image

    def _has_timeline(self, canvas: Canvas) -> bool:
        return (self.mode == "full" and canvas.height > canvas.px(5 * TIMELINE_HEIGHT)
                and canvas.width > canvas.px(200))

    def _compact(self, canvas: Canvas, scene: Scene) -> None:
        room = _room(canvas)
        gesture = self._gesture_box(canvas, room, 0)
        figures = scene.panel
        texts = [] if figures.model_fps is None else [f"{figures.model_fps:.0f} fps"]
        texts += [] if figures.age_s is None else [f"{figures.age_s * 1e3:.0f} ms"]
        if texts and gesture.right + canvas.px(_RATES_WIDTH) <= room.right:
            draw_rates(canvas, room.right, room.y, texts)
        y = self._draw_gesture(canvas, gesture, room, scene)
        rows = 2 * canvas.px(EVENT_ROW + EVENT_GAP)
        if room.width >= canvas.px(_NARROWEST):
            draw_events(canvas, _within(Box(room.x, y, canvas.px(_EVENTS_WIDTH), rows), room),
                        scene.events)

    def _full(self, canvas: Canvas, scene: Scene) -> None:
        room, gap = _room(canvas), canvas.px(_GAP)
        if self._has_timeline(canvas):
            strip = canvas.px(TIMELINE_HEIGHT)
            draw_timeline(canvas, Box(room.x, room.bottom - strip, room.width, strip),
                          scene.timeline, scene.events, self.card)
            room = Box(room.x, room.y, room.width, room.height - strip - gap)
        rows = rows_of(scene.panel)
        width = canvas.px(PANEL_WIDTH)
        panel = Box(room.right - width, room.y, width, panel_height(canvas, rows))
        taken = 0
        if panel.bottom <= room.bottom and room.width >= width + canvas.px(_EVENTS_WIDTH):
            draw_panel(canvas, panel, rows)
            taken = width + gap
        y = self._draw_gesture(canvas, self._gesture_box(canvas, room, taken), room, scene)
        bars = Box(room.x, y, min(canvas.px(_BARS_WIDTH), room.width),
                   canvas.px(_BARS_PAD) + _BARS * canvas.px(BAR_ROW))
        wide = room.width >= canvas.px(_NARROWEST)
        if scene.prediction is not None and wide and bars.bottom <= room.bottom:
            draw_bars(canvas, bars, scene.prediction, self.card)
            y = bars.bottom + gap
        events = Box(room.x, y, min(canvas.px(_EVENTS_WIDTH), room.width - taken), canvas.height)
        if wide:
            draw_events(canvas, _within(events, room), scene.events)

    def _gesture_box(self, canvas: Canvas, room: Box, taken: int) -> Box:
        width = min(canvas.px(_GESTURE_WIDTH), room.width - taken)
        return Box(room.x, room.y, width, canvas.px(_GESTURE_HEIGHT))

    def _draw_gesture(self, canvas: Canvas, box: Box, room: Box, scene: Scene) -> int:
        """Returns the y from which there is room below."""
        fits = box.bottom <= room.bottom and box.width >= canvas.px(_NARROWEST)
        if scene.prediction is None or not fits:
            return room.y
        draw_gesture(canvas, box, scene.prediction, self.card)
        return box.bottom + canvas.px(_GAP)


def _room(canvas: Canvas) -> Box:
    """The picture within its margins."""
    return Box(0, 0, canvas.width, canvas.height).inset(canvas.px(_MARGIN))


def _within(box: Box, room: Box) -> Box:
    """`box` cut to `room`."""
    return Box(box.x, box.y, min(box.width, room.right - box.x),
               max(0, min(box.height, room.bottom - box.y)))
