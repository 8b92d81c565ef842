"""A camera's frame to the network's input, by the model card. Knows no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.card import CardError, ModelCard
from online_tsm.resize import Resize, area, triangle

Pixels = NDArray[np.uint8]
Inputs = NDArray[np.float32]


class FrameError(ValueError):
    """A frame that is no picture; the message names its type and shape."""


class Preprocessor:
    """Resize, colour order and normalisation of one frame, exactly as the card says.

    `pre(image)` takes a frame uint8 [H, W, 3] in BGR, [H, W, 4] in BGRA, [H, W, 1] or [H, W] in
    grey, of any size, and gives the network's input float32 [3, height, width] (the card's
    `input_size`). It writes into `out`, or else into one buffer of its own that the next call
    overwrites. Resized grey levels are not rounded: they agree with those of Pillow (filter
    "bilinear"), which rounds twice, within one level, and with those of OpenCV's INTER_AREA (filter
    "area") within half a one.

    The kept rectangle lies between pixels in general; it is never rounded to whole ones, which
    would move the picture by up to half a pixel (1.5 grey levels on average).
    """

    def __init__(self, card: ModelCard) -> None:
        self._card = card
        self._size = (int(card.input_size[0]), int(card.input_size[1]))
        if card.resize == "shorter-side" and card.resize_side < max(self._size):
            raise CardError(f"card: resize_side is {card.resize_side}, smaller than input_size "
                            f"{list(self._size)}; the centre crop would leave the picture")
        std = np.asarray(card.std, np.float32)
        self._scale = (1 / (255 * std))[:, None, None]
        self._offset = (-np.asarray(card.mean, np.float32) / std)[:, None, None]
        self._order = -1 if card.colour == "rgb" else 1  # of the planes of a BGR frame
        self._resize: Resize | None = None
        self._buffer = np.empty((3, *self._size), np.float32)

    def __call__(self, image: Pixels, out: Inputs | None = None) -> Inputs:
        """The network's input for one frame. Raises FrameError."""
        image = checked(image)
        out = self._buffer if out is None else _checked_out(out, self._buffer.shape)
        if self._resize is None or self._resize.source != image.shape:
            box = kept_box(self._card, *image.shape[:2])
            weights = triangle if self._card.filter == "bilinear" else area
            self._resize = Resize(image.shape, box, self._size, weights)
        small = self._resize(image)
        planes = small[None] if small.ndim == 2 else small.transpose(2, 0, 1)[::self._order]
        np.multiply(planes, self._scale, out=out)
        out += self._offset
        return out


def kept_box(card: ModelCard, height: int, width: int) -> tuple[float, float, float, float]:
    """The part of a frame that the network sees: (left, top, right, bottom) in pixels, exact.

    "shorter-side" counts as torchvision does: the resized longer side is cut to a whole number,
    then the crop's corner is rounded to the nearest whole pixel of the RESIZED picture.
    """
    if card.resize == "shorter-side":
        short, side = min(height, width), int(card.resize_side)
        resized = (side * height // short, side * width // short)
        top, left = (round((resized[i] - card.input_size[i]) / 2) for i in (0, 1))
        y, x = height / resized[0], width / resized[1]
        return left * x, top * y, (left + card.input_size[1]) * x, (top + card.input_size[0]) * y
    if card.resize == "centre-4:3":
        kept_w, kept_h = min(float(width), height * 4 / 3), min(float(height), width * 3 / 4)
        return ((width - kept_w) / 2, (height - kept_h) / 2,
                (width + kept_w) / 2, (height + kept_h) / 2)
    return 0.0, 0.0, float(width), float(height)


def checked(image: Pixels) -> Pixels:
    """The frame as [H, W, 3], or [H, W] where it is grey. Raises FrameError for what is none."""
    if not isinstance(image, np.ndarray):
        raise FrameError(f"a frame must be a NumPy array, got {type(image).__name__}")
    channels = image.shape[2] if image.ndim == 3 else 1
    if (image.dtype != np.uint8 or image.ndim not in (2, 3) or channels not in (1, 3, 4)
            or image.size == 0):
        raise FrameError("a frame must be uint8 [height, width] grey, or [height, width, 1, 3 or 4]"
                         f" grey, BGR or BGRA, and not empty; got {image.dtype} "
                         f"{list(image.shape)}")
    if image.ndim == 2 or channels == 3:
        return image
    return image[:, :, 0] if channels == 1 else image[:, :, :3]


def _checked_out(out: Inputs, shape: tuple[int, ...]) -> Inputs:
    if out.dtype != np.float32 or out.shape != shape:
        raise FrameError(f"the input buffer must be float32 {list(shape)}; got {out.dtype} "
                         f"{list(out.shape)}")
    return out
