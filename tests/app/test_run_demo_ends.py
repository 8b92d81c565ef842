"""The front door: runs that are ended from outside, by a signal or by a reader that leaves."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from front_door import ROOT, SAMPLE, environment, run_demo_here, run_folder
from mjpeg_server import MjpegServer

from app.sinks import Sinks


def test_a_reader_that_leaves_ends_the_run(tmp_path: Path) -> None:
    command = (f"{sys.executable} {ROOT / 'run_demo.py'} --source {SAMPLE} --no-display --fast "
               "--no-record --predictions - | head -1")
    done = subprocess.run(["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}"], cwd=tmp_path,
                          env=environment(), capture_output=True, text=True, timeout=120,
                          check=False)
    line, code = done.stdout.splitlines()
    assert json.loads(line)["frame"] == 0
    assert code == "0"
    assert "Traceback" not in done.stderr
    report = json.loads(next(tmp_path.glob("runs/*/latency.json")).read_text())
    assert report["frames"] + report["warmup_frames"] < 300  # of 595


def test_frames_that_come_while_the_outputs_close_are_not_told_as_dropped(
        mjpeg: Callable[..., MjpegServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def close(sinks: Sinks) -> None:
        time.sleep(1.5)  # as long as a program takes that a gesture has started
        finish(sinks)

    finish = Sinks.close
    monkeypatch.setattr(Sinks, "close", close)
    assert run_demo_here("--source", mjpeg().url, "--no-display", "--no-record", "--max-frames", 20,
                         "--predictions", tmp_path / "p.jsonl", "--out", tmp_path / "runs") == 0
    lines = (tmp_path / "p.jsonl").read_text().splitlines()
    report = json.loads((run_folder(tmp_path) / "latency.json").read_text())
    missed = json.loads(lines[-1])["frame"] + 1 - len(lines)
    assert report["dropped_frames"] - missed < 15  # 45 come meanwhile


def test_a_list_may_be_cut_off(tmp_path: Path) -> None:
    command = f"{sys.executable} {ROOT / 'run_demo.py'} --list-labels | true"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment(),
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("delay_s", [0.4, 0.8])
def test_ctrl_c_while_it_starts_ends_without_a_traceback(tmp_path: Path, delay_s: float) -> None:
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run_demo.py"), "--source", str(SAMPLE), "--no-display"],
        cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    time.sleep(delay_s)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert "Traceback" not in words
    assert "cannot be loaded" not in words


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_stream_does_not_answer_is_told_and_obeyed(tmp_path: Path, number: int
                                                                    ) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "run_demo.py"), "--no-display", "--source",
             f"http://127.0.0.1:{server.getsockname()[1]}/video"],
            cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
        server.settimeout(60)
        connection, _ = server.accept()
        with connection:
            time.sleep(0.3)
            process.send_signal(number)
            told = time.monotonic()
            _, words = process.communicate(timeout=60)
            waited_s = time.monotonic() - told
    assert words.splitlines()[-1] == "stopping ..."
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []  # no folder of a run that there was not
    assert waited_s < 3.5  # OpenCV would give the stream up after 5


@pytest.mark.parametrize("number", [
    number for number in signal.Signals if number.name in ("SIGINT", "SIGTERM", "SIGHUP")])
def test_a_signal_finishes_recording_and_report(clip: Path, tmp_path: Path, number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run_demo.py"), "--source", str(SAMPLE), "--no-display",
         "--predictions", "p.jsonl"],
        cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    lines = tmp_path / "p.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (lines.exists() and lines.stat().st_size > 50_000):
        time.sleep(0.05)
    process.send_signal(number)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 0, words
    assert "Latency of" in words
    video = cv2.VideoCapture(str(run_folder(tmp_path) / "annotated.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) > 10
    assert video.read()[0]
