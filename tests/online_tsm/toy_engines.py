"""Engines that really remember, what streams on them are shown, and what they predict then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.card import ModelCard, Smoothing
from online_tsm.stream import Prediction, Stream

LABELS = ("left", "right", "stop", "nothing")
RATE = 10.0  # the card's, steps a second
WARMUP = 3


def card(**changes) -> ModelCard:
    """Frames of 4 x 4 pixels reach the engine as they are: grey levels 0 to 255, in BGR."""
    plain: dict[str, Any] = {
        "background": ("nothing",), "mirrored_pairs": (("left", "right"),), "frame_rate": RATE,
        "warmup_steps": WARMUP, "input_size": (4, 4), "resize": "whole-frame", "colour": "bgr",
        "mean": (0, 0, 0), "std": (1 / 255,) * 3}
    return ModelCard("tiny", "mobilenet_v2", LABELS, **{**plain, **changes})


class Memory:
    """An engine whose state is an exponential memory of the frames and the last frame's number.

    Logits: the memory's means over the four quarters. `seen` keeps what each step looked back to.
    """

    name, device, provider, precision, threads, note = "test", "cpu", "test", "fp32", 1, ""
    shifted_blocks = 1

    def __init__(self, of: ModelCard | None = None) -> None:
        self.card = of or card()
        self.seen: list[tuple[int, int | None]] = []  # (frame, frame of the state)
        self.passes = 0
        self._logits = np.empty((0, 4), np.float32)

    def open_state(self) -> Any:
        return np.zeros((3, 4, 4), np.float32), None

    def step(self, inputs: np.ndarray, states: Sequence[Any]) -> tuple[np.ndarray, list[Any]]:
        self.passes += 1
        if len(self._logits) != len(inputs):
            self._logits = np.empty((len(inputs), 4), np.float32)  # reused, as real engines do
        after = []
        for row, (frame, (memory, last)) in enumerate(zip(inputs, states, strict=True)):
            number = number_in(frame)
            blend = 0.5 * memory + frame
            self._logits[row] = blend.reshape(3, 2, 2, 2, 2).mean(axis=(0, 2, 4)).ravel() / 50
            self.seen.append((number, last))
            after.append((blend, number))
        return self._logits, after


def image(number: int) -> np.ndarray:
    """A frame with its number in two pixels and noise of its own in the others."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
    pixels[0, 0, 0], pixels[0, 1, 0] = number % 256, number // 256
    return pixels


def number_in(frame: np.ndarray) -> int:
    return round(float(frame[0, 0, 0])) + 256 * round(float(frame[0, 0, 1]))


def run(stream: Stream, times: Sequence[float], first: int = 0) -> list[Prediction]:
    return [stream.step(image(first + i), time) for i, time in enumerate(times)]


def raw(predictions: Sequence[Prediction]) -> np.ndarray:
    return np.array([prediction.logits for prediction in predictions])


class Script:
    """An engine whose logits are the frame's first pixel as a class; its state counts steps."""

    name, device, provider, precision, threads, note = "test", "cpu", "test", "fp32", 1, ""
    shifted_blocks = 1

    def __init__(self, of: ModelCard | None = None) -> None:
        self.card = of or card(smoothing=Smoothing(window_s=0.2))

    def open_state(self) -> int:
        return 0

    def step(self, inputs: np.ndarray, states: Sequence[int]) -> tuple[np.ndarray, list[int]]:
        logits = np.full((len(inputs), 4), -4, np.float32)
        for row, frame in enumerate(inputs):
            logits[row, int(frame[0, 0, 0])] = 4
        return logits, [state + 1 for state in states]


def show(stream: Stream, *parts: tuple[str, float], rate: float = 20, start: float = 0.0
         ) -> list[Prediction]:
    """Predictions while each label of `parts` is shown for so many seconds."""
    found, frame = [], 0
    for label, seconds in parts:
        picture = np.full((4, 4, 3), LABELS.index(label), np.uint8)
        for _ in range(round(seconds * rate)):
            found.append(stream.step(picture, start + frame / rate))
            frame += 1
    return found


def fired(predictions: Sequence[Prediction]) -> list[str]:
    return [event.label for prediction in predictions for event in prediction.events]
