"""Real frames for measurements, read from a video."""

from __future__ import annotations

from typing import Any

import cv2

from online_tsm.file_names import can_be_named

FRAME_SIZE = (640, 480)  # width, height, as most webcams give them
FRAMES = 64


class FramesError(ValueError):
    """A video that gives no frames, in one sentence for the user."""


def read_frames(source: str, size: tuple[int, int] = FRAME_SIZE, limit: int = FRAMES
                ) -> list[Any]:
    """Frames of a video, spread over all of it, scaled to `size` (width, height) where they are of
    another: BGR uint8. Raises FramesError."""
    if not can_be_named(source):
        raise FramesError(f"{source!r}: its name is not UTF-8; rename it")
    video = cv2.VideoCapture(source)
    total = max(int(video.get(cv2.CAP_PROP_FRAME_COUNT)), limit)
    every = total // limit
    frames: list[Any] = []
    for number in range(total):
        if len(frames) == limit or not video.grab():
            break
        if number % every == 0:
            read, image = video.retrieve()
            if read:
                frames.append(image if image.shape[1::-1] == size else cv2.resize(image, size))
    video.release()
    if not frames:
        raise FramesError(f"no frame could be read from {source}; give a video file")
    return frames
