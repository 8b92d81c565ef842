"""The capture thread, through OpenCV's own VideoCapture: a loopback MJPEG camera and its faults."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mjpeg_server import MjpegServer, grey
from watching import watch

from app import camera
from app.camera import Darkness, LiveSource, measured_rate
from app.frames import Frame
from app.sources import SourceError, SourceOptions, open_source

QUICK = SourceOptions(timeout_s=1.0)


def number(frame: Frame) -> int:
    """Which frame of its connection this is, by its grey level (JPEG is exact to about one)."""
    return min(range(200), key=lambda n: abs(grey(n) - float(frame.image.mean())))


def test_frames_with_their_clocks_and_rate(mjpeg: Callable[..., MjpegServer]) -> None:
    server = mjpeg()
    with open_source(server.url, QUICK) as source:
        assert (source.live, source.frame_count, source.name) == (True, None, server.url)
        before = time.perf_counter()
        frames = watch(source, lambda frame: frame is not None and frame.index >= 45)
        after = time.perf_counter()
        assert source.rate is not None
        assert 12 < source.rate < 36
        assert (source.epoch, source.status) == (0, "")
        taken = len(frames)
        assert frames[-1].index + 1 == taken + source.dropped
    times = [frame.time for frame in frames]
    assert (np.diff(times) > 0).all()
    assert before <= times[0] <= times[-1] <= after
    assert times == [frame.grabbed for frame in frames]  # one clock, the finest of each system
    assert frames[-1].image.shape == (120, 160, 3)


def test_rate_outlives_the_source(mjpeg: Callable[..., MjpegServer],
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "RATE_WINDOW_S", 0.6)
    with open_source(mjpeg().url, QUICK) as source:
        watch(source, lambda _: source.rate is not None)
    time.sleep(0.8)
    assert source.rate is not None  # the report at the end of a run asks for it


def test_the_slot_holds_the_newest_frame(mjpeg: Callable[..., MjpegServer]) -> None:
    with open_source(mjpeg().url, QUICK) as source:
        old = watch(source, lambda frame: frame is not None)[-1]
        time.sleep(1.5)
        new = watch(source, lambda frame: frame is not None)[-1]
        assert number(new) - number(old) >= 8  # 45 at the server's rate
        assert new.index - old.index >= 8
        assert source.dropped >= 7
        assert time.perf_counter() - new.grabbed < 0.75  # the oldest would be twice as old


def test_opening_does_not_block(mjpeg: Callable[..., MjpegServer]) -> None:
    """The server answers when asked to: were opening to wait for it, the try would be over."""
    server = mjpeg(delay_s=60.0)
    with open_source(server.url, SourceOptions(timeout_s=10.0)) as source:
        for _, frame in zip(range(5), source, strict=False):
            assert frame is None
            assert source.status == f"opening {server.url} ..."
        server.answer.set()
        watch(source, lambda frame: frame is not None)
        assert source.status == ""


@pytest.mark.parametrize("fault", ["stall", "truncate", "end"])
def test_lost_stream_comes_back(mjpeg: Callable[..., MjpegServer], fault: str) -> None:
    server = mjpeg(fault=fault, fault_after=8)
    statuses, epochs = set(), []
    with open_source(server.url, QUICK) as source:

        def back(frame: Frame | None) -> bool:
            statuses.add(source.status)
            if frame is not None:
                epochs.append((source.epoch, frame.index, number(frame)))
            return source.epoch == 1 and source.status == ""

        watch(source, back)
    assert f"{server.url} lost, retrying in 0.5 s" in statuses
    assert server.connections == 2
    assert {epoch for epoch, _, _ in epochs} == {0, 1}
    assert epochs[-1][2] < 8  # a frame from the start of the second connection
    assert epochs[-1][1] >= 7  # and yet counted on


def test_camera_that_comes_back_after_a_while(mjpeg: Callable[..., MjpegServer],
                                              caplog: pytest.LogCaptureFixture) -> None:
    server = mjpeg()
    statuses: list[str] = []
    with open_source(server.url, QUICK) as source:

        def note(_: Frame | None) -> bool:
            if source.status and source.status not in statuses:
                statuses.append(source.status)
            return source.status.endswith("in 2 s")

        watch(source, lambda frame: frame is not None)
        server.kill()
        watch(source, note)
        mjpeg(port=server.port)
        watch(source, lambda frame: frame is not None)
        assert (source.epoch, source.status) == (1, "")
    pauses = [status.rpartition(" in ")[2] for status in statuses if "retrying" in status]
    assert pauses == ["0.5 s", "1 s", "2 s"]
    assert caplog.text.count("lost") == 1


def test_stream_that_starts_late(mjpeg: Callable[..., MjpegServer]) -> None:
    first = mjpeg()
    first.kill()
    with open_source(first.url, SourceOptions(timeout_s=5.0)) as source:
        watch(source, lambda _: "does not answer" in source.status)
        mjpeg(port=first.port)
        watch(source, lambda frame: frame is not None)
        assert (source.epoch, source.status) == (0, "")


def test_silence_is_told(mjpeg: Callable[..., MjpegServer], monkeypatch: pytest.MonkeyPatch,
                         ) -> None:
    monkeypatch.setattr(camera, "STALL_S", 0.3)
    server = mjpeg(fault="stall", fault_after=5)
    with open_source(server.url, SourceOptions()) as source:
        watch(source, lambda _: source.status.startswith("no picture from"))


def test_black_pictures_are_told(mjpeg: Callable[..., MjpegServer],
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "BLACK_S", 0.3)
    server = mjpeg(level=0)
    with open_source(server.url, QUICK) as source:
        watch(source, lambda _: "are black" in source.status)
        server.level = 60
        watch(source, lambda _: source.status == "")


def test_darkness_needs_time_and_ends_with_light() -> None:
    black, light = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 30, np.uint8)
    darkness = Darkness("black")
    for image, moment, expected in [
        (black, 0.0, ""), (black, 2.0, ""), (light, 2.1, ""), (black, 3.0, ""), (black, 4.9, ""),
        (black, 5.1, "black"), (light, 5.2, ""),
    ]:
        darkness.look(image, moment)
        assert darkness.status == expected


def test_rate_counts_the_gaps_of_the_last_seconds() -> None:
    times = [n / 30 for n in range(300)]
    assert measured_rate(times, now=times[-1]) == pytest.approx(30.0)
    slower = times + [times[-1] + n / 10 for n in range(1, 31)]
    assert measured_rate(slower, now=slower[-1]) == pytest.approx(10.0)
    assert measured_rate(times[:10], now=0.3) is None  # too short to say
    assert measured_rate(times, now=times[-1] + 5.0) is None  # long lost


def test_change_of_size_raises_the_epoch(tmp_path: Path) -> None:
    """Each connection gives two pictures of one size and two of another, as a camera's may."""
    for place, size in enumerate([(8, 8), (8, 8), (6, 9), (6, 9)]):
        cv2.imwrite(str(tmp_path / f"{place}.png"), np.zeros((*size, 3), np.uint8))

    def connect() -> Any:
        return cv2.VideoCapture(str(tmp_path / "%d.png"), cv2.CAP_IMAGES)

    seen = []
    with LiveSource("camera", connect, lambda: SourceError("no picture")) as source:

        def note(frame: Frame | None) -> bool:
            if frame is not None:
                seen.append((frame.index, source.epoch))
            return frame is not None and frame.index >= 11

        watch(source, note)
    assert seen == [(index, index // 4 * 2 + (index % 4 >= 2)) for index, _ in seen]


def test_pictures_of_one_pixel_play(mjpeg: Callable[..., MjpegServer]) -> None:
    """What a camera may make of a wish like 1x1."""
    with open_source(mjpeg(size=(1, 1)).url, SourceOptions(width=1, height=1)) as source:
        frames = watch(source, lambda frame: frame is not None)
    assert frames[-1].image.shape == (1, 1, 3)


def test_error_of_opencv_while_it_reconnects_is_a_loss(tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "PAUSES_S", (0.05,))
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((8, 8, 3), np.uint8))
    tries = []

    def connect() -> Any:
        tries.append(1)
        if len(tries) == 2:
            raise cv2.error("the driver is gone")
        return cv2.VideoCapture(str(tmp_path / "%d.png"), cv2.CAP_IMAGES)

    with LiveSource("camera", connect, lambda: SourceError("no picture")) as source:
        watch(source, lambda frame: frame is not None and frame.index >= 1)
    assert len(tries) >= 3


def test_failure_in_the_thread_reaches_the_reader() -> None:
    def connect() -> Any:
        raise LookupError("a defect")

    def explain() -> SourceError:
        raise AssertionError("not asked")

    source = LiveSource("camera", connect, explain)
    with source, pytest.raises(LookupError, match="a defect"):
        watch(source, lambda _: False)


def test_close_during_a_stall_is_quick(mjpeg: Callable[..., MjpegServer]) -> None:
    server = mjpeg(fault="stall", fault_after=3)
    with open_source(server.url, SourceOptions(timeout_s=5.0)) as source:
        watch(source, lambda frame: frame is not None and frame.index == 2)
        start = time.monotonic()
        source.close()
        assert time.monotonic() - start < 2.0
        assert list(source) == []


SCRIPT = """
import sys, time
from app.sources import SourceOptions, open_source
source = open_source({url!r}, SourceOptions(timeout_s=1.0))
end = time.monotonic() + {seconds}
for frame in source:
    if time.monotonic() > end:
        break
"""


@pytest.fixture
def run_script(mjpeg: Callable[..., MjpegServer],
               ) -> Callable[[dict[str, Any], float], subprocess.CompletedProcess[str]]:
    """Reads a camera in a process of its own. The camera stays in this one: its threads call
    OpenCV as well, and a process that ends beneath them aborts."""
    def run(options: dict[str, Any], seconds: float) -> subprocess.CompletedProcess[str]:
        path = f"import sys; sys.path[:0] = [{str(Path(__file__).parents[2])!r}]\n"
        script = path + SCRIPT.format(url=mjpeg(**options).url, seconds=seconds)
        return subprocess.run([sys.executable, "-c", script], capture_output=True,
                              text=True, timeout=60, check=False)

    return run


@pytest.mark.parametrize(("options", "seconds"), [
    ({"rate": 2000.0}, 0.5),  # the thread comes back from OpenCV all the time
    ({"delay_s": 20.0}, 0.3),  # it is still opening
    ({"fault": "truncate"}, 1.0),  # FFmpeg has something to say
])
def test_exit_without_close_is_clean_and_quiet(run_script: Callable[..., Any],
                                               options: dict[str, Any], seconds: float) -> None:
    done = run_script(options, seconds)
    assert done.returncode == 0
    ours = "/video lost"
    assert [line for line in done.stderr.splitlines() if not line.endswith(ours)] == []
