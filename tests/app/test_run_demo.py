"""The front door: run_demo.py as a user starts it, on real video, without and with a window."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

import run_demo as front_door
from app import command, recording
from app.settings import Settings, SettingsError
from app.sources import SourceError
from models.checkpoints import save_model

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
SAMPLE = ROOT / "app" / "sample.mp4"


def run_demo(*flags: object, cwd: Path, env: dict[str, str] | None = None,
             timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """run_demo.py in its own process, without a display unless `env` brings one."""
    return subprocess.run(
        [sys.executable, str(ROOT / "run_demo.py"), *map(str, flags)], cwd=cwd, check=False,
        env=environment(env), capture_output=True, text=True, timeout=timeout,
        stdin=subprocess.DEVNULL)


def run_demo_here(*flags: object) -> int:
    """run_demo.py in this process; returns its exit code."""
    return front_door.main([str(flag) for flag in flags])


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return {**kept, "OMP_NUM_THREADS": "1", **(more or {})}


def run_folder(root: Path) -> Path:
    folders = list((root / "runs").iterdir())
    assert len(folders) == 1
    return folders[0]


@pytest.fixture(scope="module")
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


def test_headless_run_leaves_video_events_and_report(clip: Path, tmp_path: Path) -> None:
    done = run_demo("--source", clip, "--no-display", "--fast", "--predictions", "p.jsonl",
                    cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "results in" in done.stderr
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(30))
    assert all(len(line["logits"]) == len(line["probabilities"]) == 27 for line in lines)
    assert lines[0]["cold"]
    assert not lines[-1]["cold"]
    folder = run_folder(tmp_path)
    assert {file.name for file in folder.iterdir()} == {
        "annotated.mp4", "events.jsonl", "latency.txt", "latency.json", "latency.png"}
    video = cv2.VideoCapture(str(folder / "annotated.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 30
    _, first = video.read()
    plain = cv2.VideoCapture(str(clip))
    assert np.abs(first.astype(int) - plain.read()[1]).max() > 50  # something is drawn on it
    report = json.loads((folder / "latency.json").read_text())
    assert {"wait", "preprocess", "network", "smoothing", "draw"} <= set(report["stages_ms"])
    assert report["frames"] + report["warmup_frames"] == 30
    assert "network" in (folder / "latency.txt").read_text()
    assert "Latency of" in done.stderr


def test_the_first_start_imports_no_torch(clip: Path, tmp_path: Path) -> None:
    code = ("import sys; sys.argv[0] = 'run_demo.py'; import run_demo; "
            f"code = run_demo.main(['--source', {str(clip)!r}, '--no-display', '--no-record', "
            "'--fast']); print(code, 'torch' in sys.modules, 'onnx' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False,
                          env=environment({"PYTHONPATH": str(ROOT),
                                           "ONLINE_TSM_CACHE": str(tmp_path / "cache")}),
                          capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["0", "False", "False"], done.stderr


def test_max_frames_and_events_on_stdout(tmp_path: Path) -> None:
    done = run_demo("--source", SAMPLE, "--no-display", "--fast", "--no-record", "--events", "-",
                    "--max-frames", 120, "--predictions", "p.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 120
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events, "the sample's first gesture lies before frame 120"
    for event in events:
        assert set(event) == {"time", "label", "confidence", "frame"}
        assert event["time"] == pytest.approx(event["frame"] / 25, abs=0.001)


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


def test_max_seconds(clip: Path, tmp_path: Path) -> None:
    done = run_demo("--source", clip, "--no-display", "--fast", "--no-record", "--max-seconds", 1,
                    "--predictions", "p.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 16  # frames 0 to 15: 1.0 s


def test_no_display_and_no_camera_plays_the_sample(tmp_path: Path) -> None:
    if list(Path("/dev").glob("video*")):
        pytest.skip("this machine has a camera")
    done = run_demo("--fast", "--no-record", "--max-frames", 40, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "playing the bundled sample instead" in done.stderr
    assert "running without a window" in done.stderr
    assert "Traceback" not in done.stderr


def test_nobody_is_taught_from_the_bundled_sample() -> None:
    with pytest.raises(SettingsError, match="--teach needs a camera that sees you"):
        command._open_sample(Settings(teach=True), SourceError("no camera 0"))


def test_the_sample_shows_what_the_model_knows(tmp_path: Path) -> None:
    """The bundled sample is the demo's first impression: most of its gestures are found."""
    import yaml

    done = run_demo("--source", SAMPLE, "--no-display", "--fast", "--no-record", "--events", "-",
                    cwd=tmp_path)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    truth = yaml.safe_load(SAMPLE.with_suffix(".yaml").read_text())["events"]
    found = sum(any(event["label"] == true["label"]
                    and true["start"] <= event["time"] <= true["end"] + 1 for event in events)
                for true in truth)
    assert found >= len(truth) / 2, events


def test_labels_in_the_order_of_the_logits(tmp_path: Path) -> None:
    done = run_demo("--list-labels", cwd=tmp_path)
    labels = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(labels) == 27
    assert labels == sorted(labels)
    assert labels[2] == "No gesture"


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


def test_a_list_may_be_cut_off(tmp_path: Path) -> None:
    command = f"{sys.executable} {ROOT / 'run_demo.py'} --list-labels | true"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment(),
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""


def test_models_are_listed_with_their_licence(tmp_path: Path) -> None:
    done = run_demo("--list-models", cwd=tmp_path)
    assert "mobilenet_v2_jester_official\t" in done.stdout
    assert "licensed for research" in done.stdout


@pytest.mark.parametrize(("flags", "words"), [
    (["--source", "nowhere.mp4"], "there is no file or folder 'nowhere.mp4'"),
    (["--model", "nowhere.pth"], "nowhere.pth"),
    (["--model", "text.pth"], "text.pth"),
    (["--source", "text.mp4"], "text.mp4 is text, not a video"),
    (["--labels", "short.txt"], "27"),
    (["--actions", "bad.yaml"], "line 1"),
    (["--deny", "Thumbs Up"], "did you mean 'Thumb Up'"),
    (["--card", "card.yaml"], "did you mean 'colour'"),
    (["--out", "text.mp4"], "text.mp4"),
    (["--source", "clip", "--record", "film.doc"], "recordings are"),
    (["--events", "text.mp4/x.jsonl"], "cannot be written"),
    (["--source", "clip", "--record", "clip"], "--source and --record are the same file"),
    (["--events", "x.jsonl", "--predictions", "./x.jsonl"], "--events and --predictions are"),
    (["--latency", "nowhere/x.json"], "there is no such folder"),
    (["--teach-dir", "short.txt"], "short.txt is no folder; name another one"),
    (["--teach-dir", "short.txt/x"], "short.txt is no folder; name another one"),
    (["--teach-dir", "x" * 300], "x: the folder cannot be made: File name too long; name another"),
])
def test_what_is_wrong_is_a_sentence(clip: Path, tmp_path: Path, flags: list[str], words: str
                                     ) -> None:
    for name in ("text.pth", "text.mp4"):
        (tmp_path / name).write_text("no weights and no video\n" * 100)
    (tmp_path / "short.txt").write_text("one\ntwo\n")
    (tmp_path / "bad.yaml").write_text("Thumb Sideways: {print: x}\n")
    (tmp_path / "card.yaml").write_text("color: rgb\n")
    flags = [str(clip) if flag == "clip" else flag for flag in flags]
    if "--source" not in flags:
        flags += ["--source", str(clip)]
    done = run_demo("--no-display", "--fast", *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_of_recordings_that_is_not_there_is_told_and_not_made(
        clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gestures").mkdir()
    for name, told in (("gestrues", True), ("gestures", False)):
        assert run_demo_here("--source", clip, "--no-display", "--fast", "--no-record", "--out",
                             tmp_path / "runs", "--teach-dir", tmp_path / name) == 0
        words = (f"--teach-dir {tmp_path / name} is not there yet; it is made with the first "
                 "recording")
        assert (words in capsys.readouterr().err.splitlines()) == told
    assert not (tmp_path / "gestrues").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_folder_of_recordings_behind_a_link_to_nothing_is_told(
        clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = tmp_path / "gestures"
    link.symlink_to(tmp_path / "unplugged disk" / "gestures")
    for name in (link, link / "x"):
        assert run_demo_here("--source", clip, "--no-display", "--fast", "--no-record", "--out",
                             tmp_path / "runs", "--teach-dir", name) == 2
        assert f"{link} is no folder; name another one" in capsys.readouterr().err


def test_a_wrong_source_leaves_older_outputs_alone(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("from yesterday\n")
    done = run_demo("--source", "typo.mp4", "--no-display", "--predictions", "p.jsonl",
                    cwd=tmp_path)
    assert done.returncode == 2
    assert (tmp_path / "p.jsonl").read_text() == "from yesterday\n"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("flags", "words"), [
    (["--source", "http://127.0.0.1:9/video"], "no video from http://127.0.0.1:9/video"),
    (["--actions", "bad.yaml"], "bad.yaml, line 1"),
    (["--deny", "Thumbs Up"], "did you mean 'Thumb Up'"),
    (["--record", "film.doc"], "recordings are"),
    (["--model", "bad.pth"], "bad.pth"),
])
def test_a_start_that_failed_leaves_no_run_folder(
        tmp_path: Path, flags: list[str], words: str, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    for name in ("bad.yaml", "bad.pth"):
        Path(name).write_text("Thumb Sideways: {print: x}\n")
    before = sorted(tmp_path.rglob("*"))
    if "--source" not in flags:
        flags = [*flags, "--source", str(SAMPLE)]
    assert run_demo_here("--no-display", "--fast", "--out", "out/runs", *flags) == 2
    assert words in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_without_a_gesture_keeps_its_empty_list_of_events(clip: Path, tmp_path: Path) -> None:
    assert run_demo_here("--source", clip, "--no-display", "--fast", "--no-record", "--out",
                         tmp_path / "runs", "--max-frames", 3) == 0
    folder = run_folder(tmp_path)
    assert (folder / "events.jsonl").read_text() == ""
    assert (folder / "latency.json").stat().st_size > 0


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


def test_a_video_that_changes_its_size_midway(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(12):
        shape = (120, 160, 3) if i < 6 else (240, 200, 3)
        cv2.imwrite(str(folder / f"{i}.png"), np.full(shape, 20 * i, np.uint8))
    done = run_demo("--source", folder, "--no-display", "--fast", "--predictions", "p.jsonl",
                    "--phases", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert len(lines) == 12
    # Warm after three steps; then another picture size is another camera: the stream starts anew.
    assert [line["cold"] for line in lines] == ([True] * 3 + [False] * 3) * 2
    video = cv2.VideoCapture(str(run_folder(tmp_path) / "annotated.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 12


@pytest.mark.parametrize("shape", [(1, 1, 3), (4000, 17, 3), (48, 64), (48, 64, 4)], ids=str)
def test_odd_pictures_pass(tmp_path: Path, shape: tuple[int, ...]) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), np.full(shape, 99, np.uint8))
    done = run_demo("--source", folder, "--no-display", "--fast", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_actions_in_a_dry_run_say_what_they_would_do(tmp_path: Path) -> None:
    (tmp_path / "actions.yaml").write_text("Swiping Left: {run: [rm, something]}\n"
                                           "Swiping Right: {key: right}\n")
    done = run_demo("--source", SAMPLE, "--no-display", "--fast", "--no-record", "--actions",
                    "actions.yaml", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Swiping Left: would run rm something" in done.stderr


def test_a_users_own_checkpoint_runs(tmp_path: Path, clip: Path, tiny_card: Any,
                                     tiny_network: Any) -> None:
    save_model(tiny_network, tiny_card, tmp_path / "mine.safetensors")
    done = run_demo("--source", clip, "--model", "mine.safetensors", "--no-display", "--fast",
                    "--no-record", "--predictions", "-", cwd=tmp_path,
                    env={"ONLINE_TSM_CACHE": str(tmp_path / "cache")})
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 30
    assert {line["label"] for line in lines} <= set(tiny_card.labels)


@pytest.mark.skipif(not (SHARED / "golden").is_dir(), reason="the golden frames are not here")
@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_golden_logits_through_the_front_door(tmp_path: Path, colour: str) -> None:
    done = run_demo("--source", SHARED / "golden" / "frames", "--model",
                    SHARED / "golden" / "online_demo_layout.pth.tar", "--phases", 1,
                    "--no-display", "--fast", "--no-record", "--colour", colour,
                    "--predictions", "out.jsonl", cwd=tmp_path,
                    env={"ONLINE_TSM_CACHE": str(tmp_path / "cache")})
    assert done.returncode == 0, done.stderr
    logits = [json.loads(line)["logits"]
              for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert done.stderr.count("does not say how it was trained: 224 x 224 pixels, 15 frames") == 1
    golden = np.load(SHARED / "golden" / "logits.npz")
    assert np.abs(np.array(logits) - golden[colour]).max() <= 5e-4
    assert np.abs(golden["rgb"] - golden["bgr"]).max() > 0.1  # the two can be told apart
