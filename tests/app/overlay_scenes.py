"""Scenes for the tests of the overlay, and a spy on the text that is drawn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from app import lettering
from app.overlay import Overlay, Panel, Scene
from models.card import ModelCard, Smoothing

LONG = ("Turning Hand Counterclockwise", "Pushing Two Fingers Away", "Zooming Out With Two Fingers")
LABELS = ("Swiping Left", "Swiping Right", "No gesture", "Thumb Up", "Thumb Down", *LONG,
          "Pulling Two Fingers In", "Doing other things", "Sliding Two Fingers Down",
          "Sliding Two Fingers Left", "Sliding Two Fingers Right", "Sliding Two Fingers Up",
          "Stop Sign", "Drumming Fingers", "Shaking Hand", "Rolling Hand Forward",
          "Rolling Hand Backward", "Turning Hand Clockwise", "Zooming In With Full Hand",
          "Zooming In With Two Fingers", "Zooming Out With Full Hand", "Pulling Hand In",
          "Pushing Hand Away", "Swiping Up", "Swiping Down")
STAGES = dict.fromkeys(("wait", "preprocess", "network", "smoothing", "draw", "show"),
                       (0.0123, 0.0456))


def make_card(**smoothing: Any) -> ModelCard:
    chosen = {"rise": 0.6, "thresholds": {"Turning Hand Counterclockwise": 0.8},
              "disabled": ("Pulling Two Fingers In",), **smoothing}
    return ModelCard("tsm_mobilenet_v2_with_a_long_name", "mobilenet_v2", LABELS,
                     background=("No gesture", "Doing other things"),
                     smoothing=Smoothing(**chosen))


def event(label: str, time: float) -> Any:
    return SimpleNamespace(label=label, time=time, confidence=0.9, index=0)


def prediction(label: str = "Swiping Left", confidence: float = 0.9, cold: bool = False) -> Any:
    probabilities = np.full(len(LABELS), (1 - confidence) / (len(LABELS) - 1), np.float32)
    probabilities[LABELS.index(label)] = confidence
    return SimpleNamespace(index=7, time=100.0, logits=probabilities, cold=cold, events=(),
                           probabilities=probabilities, label=label, confidence=confidence,
                           phase=0, phases=2, lookback_s=0.067, stages={})


def full_panel(**changes: Any) -> Panel:
    values = {"camera_fps": 29.97, "model_fps": 29.8, "lookback_s": 0.067,
              "trained_step_s": 0.0667, "age_s": 0.041, "stages": STAGES, "dropped": 12,
              "engine": "onnxruntime", "device": "cuda", "model": make_card().name, "phases": 2}
    return Panel(**{**values, **changes})


def busy_scene(image: np.ndarray, label: str = LONG[0], **changes: Any) -> Scene:
    """Long names everywhere, several events close together, ten seconds of history."""
    times = np.arange(90.0, 100.0, 1 / 30)
    timeline = [(float(t), LABELS[int(t) % 5], 0.5 + 0.4 * float(np.sin(t))) for t in times]
    events = [(event(name, 100 - age), age)
              for name, age in zip((*LONG, "Thumb Up", LONG[0]), (0.5, 1.4, 3.0, 5.0, 8.0),
                                   strict=True)]
    values = {"prediction": prediction(label), "events": events, "timeline": timeline,
              "panel": full_panel()}
    return Scene(image=image, **{**values, **changes})


def grey(height: int, width: int, level: int = 128) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def draw(overlay: Overlay, scene: Scene) -> np.ndarray:
    """A new picture with all that the window shows of the scene."""
    return overlay.notices(overlay.annotate(scene), scene)


class Spy:
    """What text was drawn, and where its ink lies: (left, top, right, bottom), exclusive ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        self.inks: list[tuple[int, int, int, int]] = []
        self.colours: list[tuple[int, int, int]] = []
        real = lettering.put

        def put(image: Any, text: str, origin: Any, *, colour: Any, size: int,
                weight: int = lettering.REGULAR) -> None:
            real(image, text, origin, colour=colour, size=size, weight=weight)
            self.texts.append(text)
            self.colours.append(colour)
            self.inks.append(_ink(text, origin, size, weight))

        monkeypatch.setattr(lettering, "put", put)


def _ink(text: str, origin: tuple[int, int], size: int, weight: int) -> tuple[int, int, int, int]:
    pad = 2 * size
    room = np.zeros((3 * size, lettering.width_of(text, size, weight) + 2 * pad, 3), np.uint8)
    font = cv2.FontFace("sans")
    cv2.putText(room, text, (pad, 2 * size), (255, 255, 255), font, size, weight)
    ys, xs = np.nonzero(room[..., 0] > 40)
    if not len(xs):
        return (*origin, *origin)
    left, top = origin[0] - pad, origin[1] - 2 * size
    return (left + int(xs.min()), top + int(ys.min()), left + int(xs.max()) + 1,
            top + int(ys.max()) + 1)
