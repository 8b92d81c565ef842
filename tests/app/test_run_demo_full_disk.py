"""The front door on a full disk: no run ends of it, and it is an error in the end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from front_door import ROOT, SAMPLE, environment, run_demo, run_demo_here, run_folder

from app import recording


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("flag", ["--list-models", "--list-labels"])
def test_a_list_that_cannot_be_written_is_a_sentence(flag):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, str(ROOT / "run_demo.py"), flag], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (
        2, "error: stdout cannot be written: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_ends_no_run_and_is_an_error_in_the_end(clip: Path, tmp_path: Path) -> None:
    done = run_demo("--source", clip, "--no-display", "--fast", "--no-record", "--predictions",
                    "/dev/full", "--latency", "report.json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: /dev/full cannot be written any more: No space left on device")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["frames"] + report["warmup_frames"] == 30


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_ends_no_run_either(clip: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, str(ROOT / "run_demo.py"), "--source", str(clip), "--no-display",
             "--fast", "--no-record", "--predictions", "-", "--latency", "report.json"],
            cwd=tmp_path, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=100, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: stdout cannot be written any more: No space left on device")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["frames"] + report["warmup_frames"] == 30


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(("stderr", "flags"), [
    ("/dev/full", ()), ("/dev/full", ("--events", "-", "--actions", "all.yaml", "--dry-run")),
    ("&-", ())])
def test_words_that_nobody_can_read_end_no_run(tmp_path: Path, stderr: str, flags: tuple[str, ...]
                                               ) -> None:
    (tmp_path / "all.yaml").write_text("Swiping Left: {print: left}\n")
    command = [sys.executable, str(ROOT / "run_demo.py"), "--source", str(SAMPLE), "--no-display",
               "--fast", "--no-record", "--max-frames", "90", "--latency", "report.json", *flags]
    done = subprocess.run(["sh", "-c", f'exec "$@" 2>{stderr}', "sh", *command], cwd=tmp_path,
                          env=environment(), stdout=subprocess.PIPE, timeout=100, check=False)
    assert done.returncode == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["frames"] + report["warmup_frames"] == 90


@pytest.mark.skipif(sys.platform == "win32", reason="its shell closes no stream")
def test_a_closed_stdout_is_a_sentence(clip: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "run_demo.py"), "--source", str(clip), "--no-display",
               "--predictions", "-"]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], cwd=tmp_path,
                          env=environment(), stderr=subprocess.PIPE, text=True, timeout=100,
                          check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: stdout is closed; name a file in place of -"


def test_a_recording_that_filled_the_disk_is_an_error_in_the_end(
        clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    left = iter([10**9, 10**9])  # bytes, at the start of the run and of the recording
    monkeypatch.setattr(recording.shutil, "disk_usage",
                        lambda _: SimpleNamespace(free=next(left, 0)))
    assert run_demo_here("--source", clip, "--no-display", "--fast", "--out", tmp_path / "runs",
                         "--predictions", tmp_path / "p.jsonl") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: recording stopped: only 0 MB free at ")
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 30
    assert (run_folder(tmp_path) / "latency.json").is_file()
