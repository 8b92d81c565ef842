"""Somebody who teaches: frames of the sample video fed to a session, keys, finished recordings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from app.teach import Session
from app.teach_requests import Clip, Keep
from online_tsm.recordings import Recording

SAMPLE = Path(__file__).parents[2] / "app" / "sample.mp4"
RATE = 25.0


@cache
def sample_frames() -> list[np.ndarray]:
    """The first seven seconds of the sample: rest, a gesture, rest, another one."""
    video = cv2.VideoCapture(str(SAMPLE))
    return [video.read()[1] for _ in range(int(7 * RATE))]


def first_gesture() -> dict[str, Any]:
    """What the sample says of its first gesture: `start` and `end` in s."""
    said = yaml.safe_load(SAMPLE.with_suffix(".yaml").read_text(encoding="utf-8"))
    return dict(said["events"][0])


class User:
    """Sits in front of a session's camera. `seconds` is where in the sample he is."""

    def __init__(self, session: Session, seconds: float = 0.0) -> None:
        self.session = session
        self.seconds = seconds
        self.clock = 100.0

    def press(self, *keys: str) -> None:
        for key in keys:
            assert self.session.key(key), f"{key} means nothing in the step {self.session.step}"

    def type(self, text: str) -> None:
        self.press(*("space" if letter == " " else letter for letter in text))

    def sit(self, seconds: float, rate: float = RATE) -> None:
        """Goes on for so long; the sample plays, over and over."""
        frames = sample_frames()
        for _ in range(round(seconds * rate)):
            self.session.frame(frames[int(self.seconds * RATE) % len(frames)], self.clock)
            self.clock += 1 / rate
            self.seconds += 1 / rate

    def until(self, step: str, patience_s: float = 20.0) -> None:
        for _ in range(int(patience_s * RATE)):
            if self.session.step == step:
                return
            self.sit(1 / RATE)
        raise AssertionError(f"the step is {self.session.step} still, not {step}")

    def record(self) -> Keep:
        """From the countdown until there is something to keep."""
        self.until("record")
        self.until("examine")
        (request,) = self.session.take_requests()
        assert isinstance(request, Keep)
        return request


def recorded(label: str, count: int = 1, *, background: bool = False) -> list[Recording]:
    """Recordings as a list of them has it; their files are not there."""
    return [Recording(Path(label) / f"{number}.avi", label, background, np.arange(75) / RATE,
                      None if background else (1.0, 2.0), RATE, False,
                      f"2026-11-22T20:1{number}:00+00:00") for number in range(count)]


def labels_of(session: Session) -> Iterable[str]:
    return [choice.label for choice in session.choices]


def watch(images: Sequence[np.ndarray], _: object) -> np.ndarray:
    """Stands in for a network, where what it sees does not matter."""
    return np.array([[image.mean()] for image in images], np.float32)


def clip(label: str = "Knock", moves: bool = True) -> Clip:
    """Three seconds at 10 frames a second; a bright hand passes by, or nothing moves."""
    images = []
    for number in range(31):
        image = np.full((48, 64, 3), 90, np.uint8)
        if moves and 10 <= number < 20:
            image[8:40, 4 * (number - 8):4 * (number - 8) + 16] = 250
        images.append(image)
    return Clip(label, label == "background", tuple(images), np.arange(31) / 10)
