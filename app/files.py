"""Video files and folders of images as sources: paced like a camera, or as fast as possible."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from app.frames import IMAGE_RATE, POLL_S, Frame, SourceError
from app.opencv import cv2
from online_tsm.file_names import can_be_named

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
VIDEO_RATE = 25.0  # frames a second of a video that does not say: what FFmpeg assumes as well
NO_RATE = 1000.0  # frames a second: a grid of milliseconds, as of WebM, or a damaged header
MOST_FRAMES = 10**8  # more is a damaged header
LONGEST_GAP_S = 3600.0  # between two frames; more is a damaged time stamp
LATEST_S = 1.0  # later than this the file waits: the reader was paused, or cannot keep up
FUTILE = 3  # frames dropped in a row that have caught nothing up: decoding alone takes too long


class Reader(Protocol):
    """Steps through pictures. `advance` gives the next one's time in seconds, None at the end."""

    name: str
    rate: float
    frame_count: int | None

    def advance(self) -> float | None: ...
    def image(self) -> NDArray[np.uint8] | None: ...
    def close(self) -> None: ...


class FileSource:
    """Plays a reader: in real time, dropping what is late as a camera would, or `fast`. A file that
    is decoded more slowly than that plays as fast as it can."""

    live = False
    status = ""

    def __init__(self, reader: Reader, fast: bool = False) -> None:
        self.name = reader.name
        self.rate: float | None = reader.rate
        self.frame_count = reader.frame_count
        self.dropped = 0
        self.epoch = 0
        self._reader = reader
        self._fast = fast
        self._closed = False

    def __iter__(self) -> Iterator[Frame | None]:
        index, shape, start = -1, None, None
        missed: list[float] = []  # how late the frames were, in s, that were dropped in a row
        while not self._closed and (due := self._reader.advance()) is not None:
            index += 1
            if not self._fast:
                start = time.perf_counter() - due if start is None else start
                yield from self._wait_until(start + due)
                late = time.perf_counter() - (start + due)
                if late > LATEST_S or (len(missed) >= FUTILE and late >= missed[0]):
                    start += late
                elif late > 1.0 / self._reader.rate:  # the next one is due already
                    self.dropped += 1
                    missed.append(late)
                    continue
                missed.clear()
            grabbed = time.perf_counter()
            image = None if self._closed else self._reader.image()
            if image is None:
                continue
            if shape is not None and image.shape != shape:
                self.epoch += 1
            shape = image.shape
            yield Frame(image, due, index, grabbed)
        if shape is None and not self._closed:
            raise SourceError(f"{self.name}: not one picture in it can be read")

    def _wait_until(self, moment: float) -> Iterator[None]:
        while not self._closed and (rest := moment - time.perf_counter()) > 0:
            time.sleep(min(rest, POLL_S))
            if rest > POLL_S:
                yield None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._closed = True
        self._reader.close()


class VideoReader:
    """A video file. Raises SourceError where it holds no picture that can be decoded."""

    def __init__(self, path: Path, rate: float | None = None) -> None:
        self.name = str(path)
        if not can_be_named(path):
            raise SourceError(f"{path} cannot be opened: its name is not UTF-8; rename it")
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        self._first = bool(self._capture.grab())
        if not self._first:
            self.close()
            raise SourceError(
                f"{path} cannot be played: it is not a video, or it is damaged or cut off"
            )
        self.rate = sane_rate(self._capture.get(cv2.CAP_PROP_FPS)) or rate or VIDEO_RATE
        self.frame_count = sane_count(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self._time = -1.0 / self.rate
        self._frames = 0

    def advance(self) -> float | None:
        if not (self._first or self._capture.grab()):
            self._report_end()
            return None
        self._first = False
        self._frames += 1
        stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
        self._time = next_time(stamp, self._time, self.rate)
        return self._time

    def image(self) -> NDArray[np.uint8] | None:
        ok, image = self._capture.retrieve()
        return image if ok else None

    def close(self) -> None:
        self._capture.release()

    def _report_end(self) -> None:
        # Headers are often a frame or two out, so only a clear difference is worth a word.
        if self.frame_count and self._frames < 0.95 * self.frame_count - 1:
            logger.warning(
                "%s ended after %d of %d frames: it is damaged or cut off",
                self.name, self._frames, self.frame_count)


class ImageReader:
    """Images in the given order, `rate` a second. One that cannot be read is left out, and said."""

    def __init__(self, name: str, paths: Sequence[Path], rate: float | None = None) -> None:
        self.name = name
        self.rate = rate or IMAGE_RATE
        self.frame_count: int | None = len(paths)
        self._paths = paths
        self._position = -1

    def advance(self) -> float | None:
        self._position += 1
        return self._position / self.rate if self._position < len(self._paths) else None

    def image(self) -> NDArray[np.uint8] | None:
        path = self._paths[self._position]
        image = read_image(path)
        if image is None:
            logger.warning("%s left out: it is no image, or damaged", path)
        return image

    def close(self) -> None:
        """Nothing is held open between two images."""


def open_folder(path: Path, rate: float | None = None) -> ImageReader:
    """The images of a folder in natural order (2.png before 10.png)."""
    try:
        found = [entry for entry in path.iterdir() if _is_image(entry)]
    except OSError as error:
        raise SourceError(f"the folder {path} cannot be read: {error.strerror}") from error
    if not found:
        raise SourceError(f"the folder {path} holds no images ({' '.join(IMAGE_SUFFIXES)})")
    return ImageReader(str(path), sorted(found, key=_natural), rate)


def open_file(path: Path, rate: float | None = None) -> Reader:
    """A video file, or a single image. SourceError where it is empty, text, damaged, no video."""
    head = read_head(path)
    if not head:
        raise SourceError(f"{path} is empty (0 bytes)")
    if _is_image(path):
        if read_image(path) is None:
            raise SourceError(f"{path} is not an image, or it is damaged")
        return ImageReader(str(path), [path], rate)
    if is_text(head):  # FFmpeg plays text files as a film of a terminal
        raise SourceError(f"{path} is text, not a video")
    return VideoReader(path, rate)


def read_image(path: Path) -> NDArray[np.uint8] | None:
    """A picture as uint8 [H, W, 3], blue first (grey and alpha converted); None if unreadable."""
    try:
        # Not cv2.imread: on Windows it cannot open names outside the system's code page.
        data: Any = np.fromfile(path, dtype=np.uint8)
        image: NDArray[np.uint8] | None = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        logger.debug("%s: %s", path, error)
        return None
    return image


def read_head(path: Path) -> bytes:
    """The file's first 1024 bytes. SourceError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(1024)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error


def is_text(head: bytes) -> bool:
    """Whether a file that begins like this is UTF-8 text."""
    # The last letter may be cut in two, so up to three bytes at the end do not count.
    for end in range(len(head), max(len(head) - 4, 0), -1):
        try:
            return all(letter.isprintable() or letter.isspace() for letter in head[:end].decode())
        except UnicodeDecodeError:
            continue
    return False


def sane_rate(value: float) -> float | None:
    """Frames a second as a container states them, or None where that is nonsense.

    A WebM of uneven times that states no rate is given 1000 by FFmpeg.
    """
    return value if math.isfinite(value) and 0.0 < value < NO_RATE else None


def sane_count(value: float) -> int | None:
    """The number of frames as a container states it, or None where that is nonsense."""
    return int(value) if math.isfinite(value) and 0 < value <= MOST_FRAMES else None


def next_time(stamp: float, last: float, rate: float) -> float:
    """The container's time stamp in seconds if it is after `last`, else one period after it."""
    if math.isfinite(stamp) and last < stamp <= last + LONGEST_GAP_S:
        return stamp
    return last + 1.0 / rate


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.findall(r"\d+|\D+", path.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
