"""The videos of recordings: written whole or not at all, and read frame by frame."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from online_tsm.file_names import can_be_named

Image = NDArray[np.uint8]
Times = NDArray[np.float64]

QUALITY = 95  # of the MJPG: decisions on it are those on the frames (docs/teach.md)
SHORTER_SIDE = 480  # pixels; larger frames are kept smaller, for no network here sees as much
COUNTED = (".avi", ".mp4", ".mov")  # whose headers know the number of frames


class RecordingError(ValueError):
    """A recording that cannot be used; the message names the file and says what to do."""


def write_video(path: Path, images: Sequence[Image], rate: float) -> None:
    """`images`, uint8 [H, W, 3] in BGR and of one size, as an MJPG video. Raises RecordingError
    and OSError."""
    _check_name(path)
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"),
                             rate, (width, height))
    if not writer.isOpened():
        raise RecordingError(f"{path.parent} takes no video of {width} x {height} pixels; is the "
                             "disk full, or the folder read-only?")
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, QUALITY)
    try:
        for image in images:
            if image.shape[:2] != (height, width):
                raise RecordingError("the camera's picture changed its size in mid-recording; try "
                                     "again")
            writer.write(image)
    finally:
        writer.release()  # Windows deletes no file that is open
    if sum(1 for _ in read_video(path)) < len(images):  # the writer tells nobody of a full disk
        raise RecordingError(f"{path.parent} took no whole video; is the disk full?")
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def read_video(path: Path) -> Iterator[Image]:
    """The frames, uint8 [H, W, 3] in BGR, as far as they can be played. Raises RecordingError."""
    _check_name(path)
    video = cv2.VideoCapture(str(path))
    try:
        while video.isOpened():
            ok, image = video.read()
            if not ok:
                return
            yield np.asarray(image, np.uint8)
    finally:
        video.release()


def plain_times(path: Path) -> Times:
    """The frames' times [T] in s of a video that nothing is known of. Raises RecordingError.

    By the header where that can be relied on, and the stamps of the frames where these part from
    it; WebM, MKV and GIF are played to the end, for a browser's recording has no number of frames
    in it, and an uneven rate.
    """
    _check_name(path)
    video = cv2.VideoCapture(str(path))
    try:
        count, rate = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), video.get(cv2.CAP_PROP_FPS)
        fine = 0 < rate < 1000
        if path.suffix.lower() in COUNTED:
            times = stamped_times(video, np.arange(count if fine else 0) / (rate if fine else 1.0))
        else:
            times = np.array(_stamps(video))
            if (np.diff(times) <= 0).any():
                times = np.arange(len(times) if fine else 0) / (rate if fine else 1.0)
    finally:
        video.release()
    if len(times) < 2:
        raise RecordingError(f"{path} is no video that can be played; delete it, or record it "
                             "again")
    return np.asarray(times - times[0], np.float64)


def stamped_times(video: cv2.VideoCapture, even: Times) -> Times:
    """`even` [T], as the header has it, or the stamps of a just opened video where these are half
    a frame away from it: a phone takes fewer frames in the dark. They are read, not decoded; the
    video cannot be played afterwards."""
    if len(even) < 2 or not video.set(cv2.CAP_PROP_FORMAT, -1):
        return even
    stamps = np.unique(_stamps(video))  # in order: some are stored after those that they precede
    shared = min(len(stamps), len(even))
    off = np.abs(stamps[:shared] - stamps[:1] - even[:shared])
    return stamps if shared > 1 and off.max() > even[1] / 2 else even


def kept_size(image: Image) -> Image:
    """The frame at the size at which it is kept: its shorter side at most SHORTER_SIDE pixels."""
    factor = SHORTER_SIDE / min(image.shape[:2])
    if factor >= 1:
        return image
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _stamps(video: cv2.VideoCapture) -> list[float]:
    stamps = []
    while video.grab():
        stamps.append(video.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    return stamps


def _check_name(path: Path) -> None:
    if not can_be_named(path):
        raise RecordingError(f"{str(path)!r}: its name is not UTF-8; rename it")
