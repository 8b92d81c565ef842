"""The time of a teaching session is no frame's wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from app.loop import Demo
from app.settings import Settings
from app.sinks import Sinks
from app.sources import SourceOptions, open_source
from models.card import ModelCard
from models.checkpoints import save_model
from models.network import OnlineNetwork
from online_tsm.engine import open_engine

RATE = 10.0
SESSION = 12  # frames


class Session:
    """In the place of `Teaching`: a session over the first frames, in which nothing is learned."""

    learning = None

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.active = True
        self._seen = 0

    def see(self, *_: Any) -> None:
        self._seen += 1

    def key(self, _: str) -> bool:
        return True

    def picture(self, image: np.ndarray, *_: Any) -> np.ndarray:
        return image

    def poll(self) -> None:
        self.active = self._seen < SESSION


def test_a_session_is_no_wait(make_video: Callable[..., Path], tmp_path: Path,
                              tiny_card: ModelCard, tiny_network: OnlineNetwork) -> None:
    # No warm-up: the frame right after the session counts, as all of them do on the panel.
    save_model(tiny_network, tiny_card.replace(warmup_steps=0), tmp_path / "tiny.safetensors")
    engine = open_engine(tmp_path / "tiny.safetensors", "torch", "cpu")
    window = SimpleNamespace(closed=False, fitted=lambda image: image, show=lambda *_: "")
    video = make_video([200] * (SESSION + 5), RATE)
    with (Sinks(Settings(), engine.card, headless=False) as sinks,
          open_source(str(video), SourceOptions()) as source):
        demo = Demo(Settings(), engine, sinks, window, Session(),  # type: ignore[arg-type]
                    started=time.perf_counter(), stopping=threading.Event())
        demo.play(source)
    report = demo.report()
    assert 1 <= report.frames <= 5
    assert report.stages["wait"]["max"] < 0.9 * SESSION / RATE
    assert demo._latency.rolling()["wait"][1] < 0.9 * SESSION / RATE
