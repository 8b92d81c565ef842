"""What every element of the overlay is drawn with: palette, grid, glass panels, bars and text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from app import lettering
from app.scene import Image

Colour = tuple[int, int, int]  # BGR
Align = Literal["left", "right", "centre"]

INK: Colour = (246, 243, 240)
MUTED: Colour = (206, 200, 194)
TRACK: Colour = (110, 102, 95)  # what a bar may fill; also the background's confidence
ACCENT: Colour = (197, 230, 82)  # the one accent: what the network recognised
ACCENT_DIM: Colour = (118, 132, 62)
DARK: Colour = (24, 20, 16)  # text on the accent
WARNING: Colour = (84, 190, 255)
RECORDING: Colour = (84, 84, 255)

_GLASS = np.array((26, 21, 17), np.float32)  # tint of the panels
_GLASS_SHARE = 0.78  # of the tint; the rest is the blurred picture behind
_PAGE_SHARE = 0.88  # the same for a page over the whole picture
_RIM = 26  # brightness added along a panel's edge, so that it stands out on a dark picture
_FRACTION, _ONE = 4, 16  # bits of a pixel that cv2.circle takes, and one pixel in them
_BLUR_CELLS = 60  # the picture's shorter side in cells of the blurred backdrop

_REFERENCE_ROWS = 480  # design pixels are pixels of a 640x480 picture
_SCALE_POWER = 0.8  # a picture with twice the rows gets less than twice the text: it is looked at
_SMALLEST_SCALE = 0.85  # on a larger window, and the overlay should leave it more room


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    def inset(self, by: int) -> Box:
        return Box(self.x + by, self.y + by, self.width - 2 * by, self.height - 2 * by)


def scale_for(height: int, width: int) -> float:
    """Pixels a design pixel for a picture of this size."""
    rows = min(height, width * 0.75)
    return max(_SMALLEST_SCALE, math.pow(rows / _REFERENCE_ROWS, _SCALE_POWER))


class Canvas:
    """Draws on a BGR picture [H, W, 3] uint8 in place. Boxes must lie inside the picture."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.height: int = image.shape[0]
        self.width: int = image.shape[1]
        self.scale = scale_for(self.height, self.width)
        self._blurred = _blurred(image)

    def px(self, design: float) -> int:
        """Pixels for a length in design pixels, at least 1."""
        return max(1, round(design * self.scale))

    def view(self, box: Box) -> Any:
        return self.image[box.y:box.bottom, box.x:box.right]

    def glass(self, box: Box, radius: int) -> None:
        """A rounded dark panel; the picture shows through blurred, so that text stays readable."""
        view = self.view(box)
        radius = min(radius, box.width // 2, box.height // 2)
        outside = _corners(view, radius)
        view[:] = self._backdrop(box, _GLASS_SHARE)
        fill, rim = _corner_masks(radius)
        _set_corners(view, radius, outside + (_corners(view, radius) - outside) * fill + rim * _RIM)
        across, down = slice(radius, box.width - radius), slice(radius, box.height - radius)
        for edge in ((0, across), (-1, across), (down, 0), (down, -1)):
            view[edge] += np.uint8(_RIM)  # glass is dark: this cannot pass 255

    def page(self) -> None:
        """Dims and blurs the whole picture, as the ground of a page of text."""
        self.image[:] = self._backdrop(Box(0, 0, self.width, self.height), _PAGE_SHARE)

    def slab(self, box: Box, radius: float, colour: Colour, visible: int | None = None) -> None:
        """A box with round corners in one colour, cut to its first `visible` columns."""
        radius = min(radius, box.width / 2, box.height / 2)
        view = self.view(box)[:, :visible]
        inner = math.ceil(radius)
        view[:, inner:box.width - inner] = colour
        view[inner:box.height - inner] = colour
        for x in {radius, box.width - radius}:
            for y in {radius, box.height - radius}:
                centre = round((x - 0.5) * _ONE), round((y - 0.5) * _ONE)  # cv2 counts from the
                cv2.circle(view, centre, round((radius - 0.5) * _ONE), colour, -1, cv2.LINE_AA,
                           _FRACTION)  # middles of pixels, and its circles reach half a pixel out

    def dot(self, box: Box, colour: Colour) -> None:
        """A disc in a square box."""
        self.slab(box, box.height / 2, colour)

    def bar(self, box: Box, share: float, colour: Colour, mark: float | None = None) -> None:
        """A track with round ends, filled up to `share` (0..1), with a tick at `mark` (0..1)."""
        radius = box.height / 2
        self.slab(box, radius, TRACK)
        filled = round(box.width * min(max(share, 0.0), 1.0))
        if filled:
            length = max(box.height, filled)
            self.slab(Box(box.x, box.y, length, box.height), radius, colour, filled)
        if mark is not None:
            width, reach = self.px(1.6), self.px(2)
            x = box.x + round((box.width - width) * min(max(mark, 0.0), 1.0))
            self.view(Box(x, box.y - reach, width, box.height + 2 * reach))[:] = INK

    def text(self, string: str, x: int, baseline: int, *, room: int, size: float = 13,
             smallest: float = 10, colour: Colour = INK, weight: int = lettering.REGULAR,
             align: Align = "left") -> int:
        """Draws `string` shrunk or cut to `room` pixels; x is its left, right or centre.

        `size` and `smallest` are design pixels. Returns the width used, in pixels.
        """
        fitted, pixels = lettering.fit(string, room, self.px(size),
                                  max(lettering.SMALLEST, self.px(smallest)), weight)
        if not fitted:
            return 0
        width = lettering.width_of(fitted, pixels, weight)
        left = {"left": x, "right": x - width, "centre": x - width // 2}[align]
        lettering.put(self.image, fitted, (left, baseline), colour=colour, size=pixels,
                      weight=weight)
        return width

    def baseline(self, y: int, height: int, size: float) -> int:
        """Baseline of text of `size` design pixels, its capitals centred in y .. y + height."""
        return y + round((height + lettering.CAP_HEIGHT * self.px(size)) / 2)

    def rule(self, x: int, right: int, y: int) -> None:
        """A thin separating line on a panel."""
        self.image[y, x:right] += np.uint8(_RIM)  # glass is dark: this cannot pass 255

    def grid_line(self, x: int, y: int, bottom: int) -> None:
        """A faint upright line on a panel."""
        self.image[y:bottom, x] += np.uint8(_RIM // 2)

    @contextmanager
    def faded(self, box: Box, opacity: float) -> Iterator[None]:
        """What is drawn inside `box` meanwhile is mixed in with this opacity (0..1)."""
        if opacity >= 1:
            yield
            return
        view = self.view(box)
        before = view.copy()
        yield
        view[:] = cv2.addWeighted(view, opacity, before, 1.0 - opacity, 0)

    def _backdrop(self, box: Box, share: float) -> Image:
        """The blurred picture under `box`, mixed with `share` (0..1) of the panel tint."""
        rows, columns = self._blurred.shape[:2]
        across, down = self.width / columns, self.height / rows
        x0, y0 = int(box.x / across), int(box.y / down)
        x1 = min(columns, int((box.right - 1) / across) + 1)
        y1 = min(rows, int((box.bottom - 1) / down) + 1)
        small = self._blurred[y0:y1, x0:x1] * np.float32(1 - share) + _GLASS * share
        return cv2.resize(small.astype(np.uint8), (box.width, box.height))  # type: ignore[no-any-return]


def _blurred(image: Image) -> Image:
    height, width = image.shape[:2]
    cell = max(1, round(min(height, width) / _BLUR_CELLS))
    small = cv2.resize(image, (max(1, width // cell), max(1, height // cell)))
    return cv2.blur(small, (5, 5))  # type: ignore[no-any-return]


def _corner_views(view: Any, radius: int) -> list[Any]:
    """The four corners, each turned so that it looks like the upper left one."""
    return [view[:radius, :radius], view[:radius, ::-1][:, :radius],
            view[::-1, :radius][:radius], view[::-1, ::-1][:radius, :radius]]


def _corners(view: Any, radius: int) -> NDArray[np.float32]:
    return np.stack(_corner_views(view, radius)).astype(np.float32)


def _set_corners(view: Any, radius: int, corners: NDArray[np.float32]) -> None:
    for part, pixels in zip(_corner_views(view, radius), corners, strict=True):
        part[:] = pixels


@lru_cache(maxsize=64)
def _corner_masks(radius: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Shares (0..1) of panel and of rim in the pixels of a corner, each [radius, radius, 1]."""
    fine = 8
    centres = (np.arange(radius * fine) + 0.5) / fine
    distance = np.hypot(radius - centres[:, None], radius - centres[None])
    inside = (distance <= radius).astype(np.float32)
    rim = inside * (distance > radius - 1)
    blocks = (radius, fine, radius, fine)
    return _means(inside.reshape(blocks)), _means(rim.reshape(blocks))


def _means(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    means: NDArray[np.float32] = blocks.mean((1, 3), dtype=np.float32)[..., None]
    return means
