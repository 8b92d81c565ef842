"""What every source gives and takes: frames, options, errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from app.opencv import cv2

POLL_S = 0.05  # a source that has nothing new says so this often
IMAGE_RATE = 12.0  # images a second of a folder: the rate at which Jester's clips are cut


class SourceError(RuntimeError):
    """A source that cannot be used; the message names it, what is wrong and what to do."""


class NoCameraError(SourceError):
    """The system has no such camera."""


@dataclass(frozen=True)
class Frame:
    """One picture: uint8 [H, W, 3], blue first.

    `time` is in seconds: of a file the presentation time, of a live source `grabbed`. `index`
    counts grabbed frames, so its gaps show the dropped ones. `grabbed` is `time.perf_counter()`
    when the camera had given it: as the grab returned, or where that waits for nothing
    (DirectShow), as the picture came.
    """

    image: NDArray[np.uint8]
    time: float
    index: int
    grabbed: float


@dataclass(frozen=True)
class SourceOptions:
    """How to open a source. `width`, `height` (pixels) and `backend` are wishes to a camera.

    `rate`, frames a second, is a wish to a camera, the rate of a folder of images (default 12),
    and of a video file the rate if the file itself gives none. `fast` plays files as fast as
    possible, without dropping a frame. `timeout_s` bounds opening and reading a URL.
    """

    width: int | None = None
    height: int | None = None
    rate: float | None = None
    backend: str = "auto"
    fast: bool = False
    timeout_s: float = 5.0


def in_colour(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture that is grey ([H, W] or [H, W, 1]), BGR or BGRA as BGR, uint8 [H, W, 3]."""
    if image.ndim == 2 or image.shape[2] == 1:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    if image.shape[2] == 4:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR), np.uint8)
    return image


class Source(Protocol):
    """A context manager that yields frames, or None where nothing new came within `POLL_S`.

    `name` is safe to show (no credentials). `rate` is frames a second: measured where `live`,
    else nominal. `dropped` counts frames grabbed and never taken. `status` is "" or a sentence
    for the user. `epoch` is raised with the first frame after every reconnection and change of
    size: what was remembered of earlier frames is void then.
    """

    @property
    def name(self) -> str: ...
    @property
    def live(self) -> bool: ...
    @property
    def rate(self) -> float | None: ...
    @property
    def frame_count(self) -> int | None: ...
    @property
    def dropped(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def epoch(self) -> int: ...

    def __iter__(self) -> Iterator[Frame | None]: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def close(self) -> None: ...
