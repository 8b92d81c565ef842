"""Fixtures of the app's tests: a loopback camera, small videos, an X display."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mjpeg_server import MjpegServer


@pytest.fixture(autouse=True, scope="session")
def nothing_taught(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the person at this machine taught it stays out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture
def mjpeg() -> Iterator[Callable[..., MjpegServer]]:
    """Starts MJPEG servers (arguments of MjpegServer) and ends them after the test."""
    servers: list[MjpegServer] = []

    def start(**options: Any) -> MjpegServer:
        servers.append(MjpegServer(**options))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Writes a video, one flat grey frame a level, and returns its path."""

    def write(levels: Sequence[int], rate: float = 15.0, size: tuple[int, int] = (48, 64),
              name: str = "clip.avi") -> Path:
        path = tmp_path / name
        code = cv2.VideoWriter.fourcc(*("mp4v" if name.endswith(".mp4") else "MJPG"))
        writer = cv2.VideoWriter(str(path), code, rate, size[::-1])
        for level in levels:
            writer.write(np.full((*size, 3), level, np.uint8))
        writer.release()
        return path

    return write


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little video: 30 frames of a bright square that moves, 320 x 240, 15 frames a second."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 15, (320, 240))
    for i in range(30):
        image = np.full((240, 320, 3), 60, np.uint8)
        cv2.rectangle(image, (8 * i, 80), (8 * i + 60, 160), (80, 160, 240), -1)
        writer.write(image)
    writer.release()
    return path


@pytest.fixture(scope="session")
def screen() -> Iterator[str]:
    """The name of a fresh X display, 1920x1080; skips where the tools for it are missing."""
    missing = [name for name in ("Xvfb", "xdotool", "import") if not shutil.which(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1920x1080x24", "-nolisten", "tcp"],
        pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as answer:
        number = answer.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait()
