"""The panel says with the engine that a model of reduced precision runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from overlay_scenes import Spy, busy_scene, full_panel, grey, make_card

from app.loop import Demo
from app.overlay import Overlay
from app.settings import Settings
from app.sinks import Sinks
from app.sources import SourceOptions, open_source
from models.card import ModelCard
from models.network import OnlineNetwork
from online_tsm.engine import open_engine
from online_tsm.export import export_network
from online_tsm.quantize import quantised


class Watcher:
    """In the place of a window: somebody who presses nothing."""

    closed = False

    def fitted(self, image: np.ndarray) -> np.ndarray:
        return image

    def show(self, image: np.ndarray, _: float) -> str:
        return ""


def test_an_int8_model_is_named_in_the_demo(make_video: Callable[..., Path], tmp_path: Path,
                                            tiny_card: ModelCard, tiny_network: OnlineNetwork,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = np.random.default_rng(0).standard_normal((8, 3, 32, 32), np.float32)
    graph = export_network(tiny_network, tiny_card, "0" * 64)
    (tmp_path / "int8.onnx").write_bytes(quantised(graph, inputs))
    engine = open_engine(tmp_path / "int8.onnx")
    settings, spy = Settings(overlay="full"), Spy(monkeypatch)
    video = make_video([200] * 3, size=(720, 1280))
    with (Sinks(settings, engine.card, headless=False) as sinks,
          open_source(str(video), SourceOptions(fast=True)) as source):
        demo = Demo(settings, engine, sinks, Watcher(),  # type: ignore[arg-type]
                    started=time.perf_counter(), stopping=threading.Event())
        demo.play(source)
    assert "onnxruntime int8  ·  cpu" in spy.texts


@pytest.mark.parametrize(("changes", "shown"), [
    ({}, "onnxruntime  ·  cuda"),
    ({"precision": "bf16", "engine": "openvino", "device": "cpu"}, "openvino bf16  ·  cpu"),
    ({"precision": "fp16", "engine": "tensorrt"}, "tensorrt fp16  ·  cuda")])
def test_it_is_shown_whole_where_it_is_not_float32(changes: dict[str, str], shown: str,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch)
    Overlay(make_card()).annotate(busy_scene(grey(720, 1280), panel=full_panel(**changes)))
    assert shown in spy.texts
