"""What the guided session wants done: recorded clips kept, moved, deleted, learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.opencv import cv2
from online_tsm.recordings import Recording

Image = NDArray[np.uint8]
Span = tuple[float, float]  # s

SHORTER_SIDE = 360  # pixels, at least; a clip holds larger pictures halved


@dataclass(frozen=True)
class Clip:
    """What was recorded: `images` as `held` gives them, `times` [T] in s from 0."""

    label: str
    background: bool
    images: tuple[Image, ...]
    times: NDArray[np.float64]


@dataclass(frozen=True)
class Keep:
    """Examine the clip and save it if it is usable; answered by `refused` or `examined`."""

    clip: Clip


@dataclass(frozen=True)
class Move:
    """Give the recording saved last another stroke."""

    stroke: Span


@dataclass(frozen=True)
class Undo:
    """Delete the recording saved last."""


@dataclass(frozen=True)
class Delete:
    """Delete this recording."""

    recording: Recording


@dataclass(frozen=True)
class Learn:
    """Start the trainer."""


Request = Keep | Move | Undo | Delete | Learn


def held(image: Image) -> Image:
    """A frame as a clip holds it: BGR uint8 [H, W, 3], large ones halved, or twice so.

    Networks see 256 pixels at most, and six seconds of full HD would be a gigabyte. Any other
    factor would take OpenCV longer than a frame lasts.
    """
    while min(image.shape[:2]) >= 2 * SHORTER_SIDE:
        height, width = image.shape[0] // 2, image.shape[1] // 2
        image = np.asarray(cv2.resize(image[:height * 2, :width * 2], (width, height),
                                      interpolation=cv2.INTER_AREA), np.uint8)
    return image
