"""Recording to a video file, with an eye on what OpenCV does not tell: full disks, dead folders."""

from __future__ import annotations

import logging
import math
import shutil
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from app.frames import in_colour
from app.opencv import cv2
from app.outputs import OutputError
from online_tsm.file_names import can_be_named

logger = logging.getLogger(__name__)

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
FREE_BYTES = 50_000_000  # below this much free space, recording stops
HELD_BYTES = 300_000  # FFmpeg writes to the file in blocks of up to 256 KiB
# Bytes a pixel of the smallest frames these codecs make (black, measured), less a quarter.
LEAST_BYTES = {"mp4v": 0.001, "MJPG": 0.0045}
GAP_S = 1.0  # a longer gap between two frames is left out, not filled
SMALLEST = 16  # pixels; encoders refuse smaller pictures, and odd sizes lose a row or column
LOWEST_RATE, HIGHEST_RATE = 0.01, 240.0  # frames a second


class VideoRecorder:
    """Writes pictures to `path` (.mp4, or .avi) at a constant `rate` of frames a second.

    The size is that of the first picture; others are scaled to fit, with black borders. Where
    the mp4 encoder is missing or refuses the size, it records .avi, beside any that is there:
    `path` is the file really written. At the start, OutputError says what is wrong. In mid-run
    nothing is raised: `failed` says why it stopped.
    """

    def __init__(self, path: str | Path, rate: float) -> None:
        self.path = Path(path)
        self.failed = ""
        self._rate = encodable_rate(rate)
        self._writer: Any = None
        self._codec = ""
        self._size = (0, 0)  # width, height
        self._frames = 0
        self._start = 0.0  # the time at which frame 0 would have been shown
        self._last = 0.0
        self._bytes = 0
        self._grown = 0  # the frame at which the file was last seen to grow
        self._closed = False
        if self.path.suffix.lower() not in CODECS:
            raise OutputError(f"{path}: recordings are {' or '.join(CODECS)} files")
        if not can_be_named(path):
            raise OutputError(f"{path} cannot be recorded: its name is not UTF-8; take another one")
        self._check_start()

    def write(self, image: NDArray[np.uint8], time: float) -> None:
        """Takes a picture: uint8 [H, W, 3], blue first, and its time in seconds.

        Pictures are repeated or left out so that the recording plays in real time.
        """
        if self.failed or self._closed:
            return
        try:
            if self._writer is None:
                self._open(image)
            picture = fit(image, self._size)
            for _ in range(self._copies(time)):
                self._writer.write(picture)
                self._frames += 1
                if self._frames % round(self._rate + 0.5) == 0:
                    self._check_growth()
        except (OutputError, OSError, cv2.error) as error:
            self._fail(str(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finishes the file and reads it back; `failed` says if it cannot be played."""
        if self._closed:
            return
        self._closed = True
        if self._writer is None:
            self._remove_empty()
            return
        self._writer.release()
        if not plays(self.path):
            self._fail(f"the recording {self.path} is damaged: the disk may be full")

    def _check_start(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.open("ab").close()
            free = shutil.disk_usage(self.path.parent).free
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written: {error.strerror}") from error
        if free < FREE_BYTES:
            self._remove_empty()
            raise OutputError(f"{self.path}: only {free / 1e6:.0f} MB free; recording needs "
                              f"{FREE_BYTES / 1e6:.0f} MB")

    def _open(self, image: NDArray[np.uint8]) -> None:
        height, width = image.shape[:2]
        self._size = (max(width + width % 2, SMALLEST), max(height + height % 2, SMALLEST))
        self._codec = CODECS[self.path.suffix.lower()]
        self._writer = self._new_writer()
        if not self._writer.isOpened() and self._codec == "mp4v":
            self._remove_empty()
            self.path, self._codec = unused(self.path.with_suffix(".avi")), "MJPG"
            logger.warning("no mp4 of %d x %d pixels can be written here; recording %s instead",
                           width, height, self.path)
            self._writer = self._new_writer()
        if not self._writer.isOpened():
            raise OutputError(f"{self.path} cannot be recorded: no encoder takes "
                              f"{width} x {height} pixels")

    def _new_writer(self) -> Any:
        code = cv2.VideoWriter.fourcc(*self._codec)
        return cv2.VideoWriter(str(self.path), cv2.CAP_FFMPEG, code, self._rate, self._size)

    def _copies(self, time: float) -> int:
        """How often the picture of this time must be written to keep pace with the clock."""
        if self._frames == 0 or not 0.0 <= time - self._last <= GAP_S:
            self._start = time - self._frames / self._rate
        self._last = time
        return max(round((time - self._start) * self._rate) + 1 - self._frames, 0)

    def _check_growth(self) -> None:
        free, size = shutil.disk_usage(self.path.parent).free, self.path.stat().st_size
        if free < FREE_BYTES:
            raise OutputError(f"recording stopped: only {free / 1e6:.0f} MB free at {self.path}")
        if size != self._bytes:
            self._bytes, self._grown = size, self._frames
        least = LEAST_BYTES[self._codec] * self._size[0] * self._size[1]
        if (self._frames - self._grown) * least > HELD_BYTES:
            raise OutputError(f"recording stopped: {self.path} does not grow any more; the disk "
                              "is full, or a limit on file sizes is reached")

    def _fail(self, why: str) -> None:
        logger.warning("%s", why)
        self.failed = why
        self._closed = True
        if self._writer is not None:
            self._writer.release()

    def _remove_empty(self) -> None:
        try:
            if self.path.stat().st_size == 0:
                self.path.unlink()
        except OSError as error:
            logger.info("%s: %s", self.path, error)


def encodable_rate(rate: float) -> float:
    """The frames a second nearest to `rate` that both encoders take; 30 where it is nonsense.

    mpeg4 counts time in at most 65535 parts of a second, OpenCV a rate in thousandths of it.
    """
    if not (math.isfinite(rate) and rate > 0):
        return 30.0
    return round(min(max(rate, LOWEST_RATE), HIGHEST_RATE), 3 if rate < 65 else 2)


def fit(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture (grey, BGR or BGRA) as uint8 [height, width, 3] of `size` (width, height).

    Scaled to fit, in the middle, black around; one of just a pixel less is not scaled.
    """
    image = in_colour(image)
    (height, width), (full_width, full_height) = image.shape[:2], size
    if not (0 <= full_width - width <= 1 and 0 <= full_height - height <= 1):
        scale = min(full_width / width, full_height / height)
        width, height = max(round(width * scale), 1), max(round(height * scale), 1)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    top, left = (full_height - height) // 2, (full_width - width) // 2
    if (width, height) == size:
        return image
    framed: NDArray[np.uint8] = cv2.copyMakeBorder(
        image, top, full_height - height - top, left, full_width - width - left,
        cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return framed


def unused(path: Path) -> Path:
    """This path, or where it is taken the first of NAME-2, NAME-3, ... that is not."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found


def plays(path: Path) -> bool:
    """Whether a video file's first frame can be read."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    readable = bool(capture.grab())
    capture.release()
    return readable
