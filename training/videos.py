"""Pictures of a video by their numbers, whatever its header says of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from online_tsm.file_names import can_be_named
from online_tsm.video_files import RecordingError, plain_times, read_video, stamped_times
from training.events_file import DataError

Image = NDArray[np.uint8]

PROMISED = 5  # frames that a header may promise, and that are not there
SAME_S = 1e-6  # times that differ by less are the same
JUMPS_S = (0.5, 2.0, 8.0)  # how much sooner a jump into a video of an uneven rate is aimed


def video_times(path: Path) -> NDArray[np.float64]:
    """Times [T] in s of a video's frames: by its header, or their stamps where these part from it,
    or where the header has no number of frames, as in a browser's recording, by playing it.
    Raises DataError."""
    video = _opened(path)
    count, rate = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), video.get(cv2.CAP_PROP_FPS)
    fine = count > 0 and 0 < rate < 1000
    times = stamped_times(video, np.arange(count) / rate) if fine else np.zeros(0)
    video.release()
    if fine:
        return times
    try:
        return plain_times(path)
    except RecordingError as error:
        raise DataError(f"{path} does not say how many frames it has, or at what rate") from error


def frames_at(path: Path, times: NDArray[np.float64], numbers: Sequence[int]) -> list[Image]:
    """Frames uint8 [H, W, 3] in BGR by number; `times` [T] s are those of `video_times`. A header
    may promise a few more than there are: the last one that can be read stands in for them. Raises
    DataError."""
    first, wanted = min(numbers), set(numbers)
    images = (_played(path, times, first, wanted)
              or _played(path, times, max(0, first - PROMISED), wanted))
    for number in numbers:
        if number not in images:
            raise DataError(f"{path}: frame {number} cannot be read; is the file cut off?")
    return [images[number] for number in numbers]


def each_frame(path: Path, count: int) -> Iterator[Image]:
    """The first `count` frames; the last few may be stood in for, as in `frames_at`. Raises
    DataError."""
    image, shown = None, 0
    for image in islice(read_video(path), count):
        shown += 1
        yield image
    if image is None or shown < count - PROMISED:
        raise DataError(f"{path}: frame {shown} cannot be read")
    yield from [image] * (count - shown)


def _played(path: Path, times: NDArray[np.float64], start: int, wanted: set[int]
            ) -> dict[int, Image]:
    """The wanted frames, played from number `start` on; none where that one is not there, and none
    that is more than PROMISED behind the last one that is."""
    video, images, image, missing = _opened(path), dict[int, Image](), None, 0
    if video.get(cv2.CAP_PROP_FRAME_COUNT) <= 0:
        start = 0  # it cannot jump to a number
    if start:
        start = _jumped(video, times, start)
    for number in range(start, max(wanted) + 1):
        ok, now = video.read()
        image, missing = (now, 0) if ok else (image, missing + 1)
        if image is None or missing > PROMISED:
            break
        if number in wanted:
            images[number] = np.asarray(image, np.uint8)
    video.release()
    return images


def _jumped(video: Any, times: NDArray[np.float64], start: int) -> int:
    """Jumps to the frame of number `start`, or before it where `times` are uneven, for players
    take all rates for even; the number of the next frame."""
    if len(times) < 2 or np.ptp(np.diff(times)) < SAME_S:
        video.set(cv2.CAP_PROP_POS_FRAMES, start)
        return start
    moment = times[min(start, len(times) - 1)]
    for sooner in JUMPS_S:
        video.set(cv2.CAP_PROP_POS_MSEC, 1000 * max(0.0, moment - sooner))
        if video.grab():
            stamp = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
            number = int(np.searchsorted(times, stamp + SAME_S, side="right"))
            if number <= start:
                return number
    video.set(cv2.CAP_PROP_POS_FRAMES, 0)
    return 0


def _opened(path: Path) -> Any:
    if not can_be_named(path):
        raise DataError(f"{str(path)!r}: its name is not UTF-8; rename it")
    video = cv2.VideoCapture(str(path)) if path.is_file() else None
    if video is None or not video.isOpened():
        raise DataError(f"{path} is no video that can be opened")
    return video
