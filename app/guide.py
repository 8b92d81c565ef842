"""How each gesture is performed: short pictures in motion, drawn by `training.synthesize guide`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.opencv import cv2

Image = NDArray[np.uint8]

GUIDE_FOLDER = Path(__file__).parent / "guide"
RATE_FPS, ASPECT = 12.5, 4 / 3


def guide_path(label: str) -> Path:
    """Where the picture of a gesture is, if there is one."""
    return GUIDE_FOLDER / f"{label.lower().replace(' ', '_')}.webp"


@cache
def has_guide(label: str) -> bool:
    """Whether there is a picture of a gesture, without reading it."""
    return guide_path(label).is_file()


@cache
def guide_frames(label: str) -> list[Image]:
    """The pictures of a gesture, BGR uint8 [120, 160, 3], RATE_FPS a second, to be repeated.

    Empty where there is none: a model may know labels of its own. Read when first asked for.
    """
    if not has_guide(label):
        return []
    read, moving = cv2.imreadanimation(str(guide_path(label)))
    return [np.ascontiguousarray(frame[..., :3]) for frame in moving.frames] if read else []


def frame_at(frames: list[Image], seconds: float) -> Image:
    """The picture that is shown so many seconds after the start, over and over."""
    return frames[int(seconds * RATE_FPS) % len(frames)]
