"""Cameras that are not as others: DirectShow's, grey ones, dying ones, and one that was another."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from strange_captures import Capture, DirectShowCapture
from watching import watch

from app import camera, devices, sources
from app.camera import LiveSource
from app.devices import CameraInfo
from app.sources import SourceError, SourceOptions, open_source


def live(connect: Callable[[], Any]) -> LiveSource:
    return LiveSource("camera 0", connect, lambda: SourceError("none"))


def test_a_picture_of_directshow_is_stamped_as_it_comes() -> None:
    """Not as its grab returns, which waits for nothing: there a pause shows at the wrong frame."""
    capture = DirectShowCapture(np.full((4, 6, 3), 90, np.uint8), freeze_at=5, freeze_s=0.4)
    with live(lambda: capture) as source:
        frames = watch(source, lambda frame: frame is not None and frame.index >= 7)
    for frame in frames:
        assert abs(frame.time - capture.given[frame.index]) < 0.2
        assert frame.grabbed == frame.time


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 1), (48, 64, 3), (48, 64, 4)])
def test_grey_and_transparent_pictures_are_in_colour(shape: tuple[int, ...]) -> None:
    with live(lambda: Capture(np.full(shape, 90, np.uint8))) as source:
        (frame,) = watch(source, lambda frame: frame is not None)
    assert frame.image.shape == (48, 64, 3)
    assert (frame.image == 90).all()


def test_damaged_pictures_for_long_are_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "DAMAGED_S", 0.3)
    monkeypatch.setattr(camera, "PAUSES_S", (0.01,))

    class Dying(Capture):
        def retrieve(self) -> tuple[bool, Any]:
            if len(self.given) > 2:
                time.sleep(0.2)
                return False, None
            return True, self.picture

    with live(lambda: Dying(np.full((4, 6, 3), 90, np.uint8))) as source:
        watch(source, lambda _: source.epoch == 1)  # MOST_DAMAGED would take seconds
        assert source._grabs < 8


def test_a_camera_by_name_never_becomes_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unplugged, it leaves its index to the next one."""
    monkeypatch.setattr(camera, "PAUSES_S", (0.01,))
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    here = {0: "C920", 1: "Integrated"}
    opened = []

    def open_camera(index: int, _: SourceOptions) -> Capture:
        opened.append(here[index])
        return Capture(np.full((4, 6, 3), 90, np.uint8), frames=3)

    monkeypatch.setattr(devices, "open_camera", open_camera)
    for module in (devices, sources):
        monkeypatch.setattr(module, "list_cameras",
                            lambda: [CameraInfo(*item) for item in here.items()])
    monkeypatch.setattr(devices, "macos_cameras", devices.list_cameras)
    for spec in ("c920", "0"):
        here.update({0: "C920", 1: "Integrated"})
        with open_source(spec) as source:
            assert source.name == "C920"
            watch(source, lambda frame: frame is not None)
            here.update({0: "Integrated", 1: "other"})
            watch(source, lambda _: "lost" in source.status)
            time.sleep(0.1)  # ten tries
            here[1] = "C920"
            watch(source, lambda frame: frame is not None)
    assert set(opened) == {"C920"}
