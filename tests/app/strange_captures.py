"""Captures as other systems' cameras behave, for machines that have neither."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

MJPG = cv2.VideoWriter.fourcc(*"MJPG")


class Capture:
    """Gives one picture over and over, of `backend`, `interval_s` apart; waits in `grab()`."""

    def __init__(self, picture: NDArray[np.uint8], backend: int = cv2.CAP_V4L2,
                 interval_s: float = 0.01, frames: int = 10**9) -> None:
        self.picture, self.backend, self.interval_s = picture, backend, interval_s
        self.left = frames
        self.given: list[float] = []  # when each picture had come

    def isOpened(self) -> bool:
        return True

    def get(self, setting: int) -> float:
        return self.backend if setting == cv2.CAP_PROP_BACKEND else 0.0

    def grab(self) -> bool:
        self.wait()
        self.left -= 1
        return self.left >= 0

    def wait(self) -> None:
        time.sleep(self.interval_s)
        self.given.append(time.perf_counter())

    def retrieve(self) -> tuple[bool, Any]:
        return True, self.picture

    def release(self) -> None:
        pass


class DirectShowCapture(Capture):
    """`grab()` says yes at once, `retrieve()` waits for the picture, once for `freeze_s`."""

    def __init__(self, picture: NDArray[np.uint8], freeze_at: int, freeze_s: float) -> None:
        super().__init__(picture, cv2.CAP_DSHOW)
        self.freeze_at, self.freeze_s = freeze_at, freeze_s

    def grab(self) -> bool:
        return True

    def retrieve(self) -> tuple[bool, Any]:
        if len(self.given) == self.freeze_at:
            time.sleep(self.freeze_s)
        self.wait()
        return True, self.picture


class DirectShowDevice:
    """What OpenCV's DirectShow makes of `set`: a size or a rate builds the device anew, in the
    first format that fits, which is an uncompressed one; a format does so at the size of now."""

    def __init__(self) -> None:
        self.width, self.height, self.rate, self.format = 640, 480, 0.0, 0
        self._asked: dict[int, int] = {}

    def get(self, setting: int) -> float:
        return {cv2.CAP_PROP_BACKEND: cv2.CAP_DSHOW, cv2.CAP_PROP_FRAME_WIDTH: self.width,
                cv2.CAP_PROP_FRAME_HEIGHT: self.height, cv2.CAP_PROP_FPS: self.rate}[setting]

    def set(self, setting: int, wish: float) -> bool:
        if setting == cv2.CAP_PROP_FPS:
            self.rate, self.format = wish, 0
        elif setting == cv2.CAP_PROP_FOURCC:
            self.format = int(wish)
        elif setting in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT):
            self._asked[setting] = int(wish)
            if len(self._asked) == 2:
                self.width = self._asked[cv2.CAP_PROP_FRAME_WIDTH]
                self.height = self._asked[cv2.CAP_PROP_FRAME_HEIGHT]
                self._asked, self.format = {}, 0
        return True


class V4l2Device:
    """Notes what is asked of it, in order, and grants it."""

    def __init__(self) -> None:
        self.asked: dict[int, float] = {}

    def get(self, setting: int) -> float:
        return cv2.CAP_V4L2 if setting == cv2.CAP_PROP_BACKEND else self.asked[setting]

    def set(self, setting: int, wish: float) -> bool:
        self.asked[setting] = wish
        return True
