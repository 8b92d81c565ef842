"""The demo in a real window under a virtual display, driven by keys; and with a failing camera."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from mjpeg_server import MjpegServer

from app.loop import Demo
from app.settings import Settings
from app.sinks import Sinks
from app.sources import SourceOptions, open_source
from models.card import ModelCard
from models.checkpoints import save_model
from models.network import OnlineNetwork
from online_tsm.engine import open_engine

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "app" / "sample.mp4"
PATIENCE_S = 60


class Running:
    """run_demo.py in its own process, on a display or headless (display "")."""

    def __init__(self, folder: Path, display: str, *flags: object,
                 program: Path = ROOT / "run_demo.py") -> None:
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if k != "WAYLAND_DISPLAY"}
        self.environment |= {"DISPLAY": display, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(program), "--predictions", "p.jsonl", *map(str, flags)],
            cwd=folder, env=self.environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)

    def predictions(self) -> list[dict[str, object]]:
        path = self.folder / "p.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def wait_for(self, holds: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)

    def wait_frames(self, more: int) -> None:
        """Until so many more frames are predicted."""
        wanted = len(self.predictions()) + more
        self.wait_for(lambda: len(self.predictions()) >= wanted)

    def press(self, key: str) -> None:
        # not checked: "q" may have closed the window before the key is released
        subprocess.run(["xdotool", "key", "--window", self.window, key], env=self.environment,
                       check=False, timeout=20)

    def xdotool(self, *words: str) -> str:
        return subprocess.run(["xdotool", *words], env=self.environment, check=True, timeout=20,
                              capture_output=True, text=True).stdout

    def screenshot(self, name: str) -> np.ndarray:
        path = self.folder / name
        subprocess.run(["import", "-window", "root", str(path)], env=self.environment, check=True,
                       timeout=20)
        return np.asarray(cv2.imread(str(path)))

    def find_window(self) -> None:
        self.window = self.xdotool("search", "--sync", "--name", "^Gestures$").split()[-1]
        if self.screenshot("first.png").max() == 0:
            # Without a window manager Qt now and then misses that its window is on the screen,
            # and paints nothing until it is put there once more.
            self.xdotool("windowunmap", self.window)
            self.xdotool("windowmap", self.window)
            self.wait_frames(5)

    def finish(self) -> tuple[str, str]:
        out, err = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, err
        return out, err


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts the demo in a folder of its own, and ends it after the test."""
    started: list[Running] = []

    def begin(display: str, *flags: object) -> Running:
        started.append(Running(tmp_path, display, *flags))
        return started[-1]

    yield begin
    for running in started:
        running.process.kill()
        running.process.communicate()


def test_the_window_shows_the_overlay_and_obeys_its_keys(start: Callable[..., Running],
                                                         screen: str, tmp_path: Path) -> None:
    demo = start(screen, "--source", SAMPLE, "--out", "runs")
    demo.wait_frames(5)
    demo.find_window()
    full = demo.screenshot("full.png")
    assert full.max() > 100  # there is a picture
    demo.press("h")
    demo.wait_frames(5)
    page = demo.screenshot("help.png")
    assert np.abs(page.astype(int) - full).mean() > 5
    demo.press("h")
    demo.wait_frames(3)  # OpenCV remembers one key only: each must be taken before the next
    demo.press("s")
    demo.wait_for(lambda: list(tmp_path.glob("runs/*/snapshot-1.png")))
    demo.press("r")
    demo.wait_frames(12)
    demo.press("r")
    demo.press("space")
    demo.wait_for(lambda: _stands_still(demo))
    demo.press("space")
    demo.wait_frames(3)
    demo.press("x")
    demo.wait_for(lambda: demo.predictions()[-1]["cold"])  # the reset began anew
    demo.press("f")
    demo.wait_frames(5)
    demo.press("q")
    _, err = demo.finish()
    assert "Latency of" in err
    video = cv2.VideoCapture(str(next(tmp_path.glob("runs/*/annotated.mp4"))))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) >= 10
    snapshot = cv2.imread(str(next(tmp_path.glob("runs/*/snapshot-1.png"))))
    assert snapshot.shape == (480, 640, 3)


class Keyboard:
    """In the place of a window: the person presses `keys`, one a picture, and sees `shown`."""

    closed = False

    def __init__(self, *keys: str) -> None:
        self.shown: list[np.ndarray] = []
        self._keys = iter(keys)

    def fitted(self, image: np.ndarray) -> np.ndarray:
        return image

    def show(self, image: np.ndarray, _: float) -> str:
        self.shown.append(image)
        return next(self._keys)


def test_esc_closes_the_help_before_it_quits(make_video: Callable[..., Path], tmp_path: Path,
                                             tiny_card: ModelCard, tiny_network: OnlineNetwork
                                             ) -> None:
    save_model(tiny_network, tiny_card, tmp_path / "tiny.safetensors")
    engine = open_engine(tmp_path / "tiny.safetensors", "torch", "cpu")
    settings, window = Settings(overlay="off"), Keyboard("h", "", "esc", "", "esc")
    video = make_video([200] * 20, size=(240, 320))
    with (Sinks(settings, engine.card, headless=False) as sinks,
          open_source(str(video), SourceOptions(fast=True)) as source):
        demo = Demo(settings, engine, sinks, window,  # type: ignore[arg-type]
                    started=time.perf_counter(), stopping=threading.Event())
        demo.play(source)
    covered = [bool(picture.mean() < 150) for picture in window.shown]
    assert covered == [False, True, True, False, False]


def _stands_still(demo: Running) -> bool:
    before = len(demo.predictions())
    time.sleep(0.4)
    return len(demo.predictions()) == before


def test_a_lost_camera_comes_back(start: Callable[..., Running],
                                  mjpeg: Callable[..., MjpegServer]) -> None:
    camera = mjpeg(password="secret/7")
    demo = start("", "--source", camera.url.replace("secret/7", "secret%2F7"), "--no-display",
                 "--verbose", "--latency", "latency.json")
    demo.wait_frames(20)
    camera.kill()
    demo.wait_for(lambda: _stands_still(demo))
    assert demo.process.poll() is None  # a lost camera is no reason to end
    seen = len(demo.predictions())
    mjpeg(password="secret/7", port=camera.port)
    demo.wait_frames(20)
    assert demo.predictions()[seen]["cold"]  # what was remembered of before is void
    demo.process.terminate()
    out, err = demo.finish()
    written = out + err + "".join(
        path.read_text() for path in demo.folder.rglob("*.[jt][sx][ot]*"))
    assert "127.0.0.1" in err
    assert "secret" not in written
    assert "Traceback" not in err


@pytest.mark.parametrize(("rate", "told"), [(2.0, True), (15.0, False)])
def test_a_camera_slower_than_the_model_is_told(start: Callable[..., Running], rate: float,
                                                told: bool,
                                                mjpeg: Callable[..., MjpegServer]) -> None:
    demo = start("", "--source", mjpeg(rate=rate).url, "--no-display", "--no-record")
    demo.wait_frames(8)
    demo.process.terminate()
    _, err = demo.finish()
    assert ("frames a second, the model wants" in err) == told
