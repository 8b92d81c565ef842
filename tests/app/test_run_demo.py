"""The front door: run_demo.py as a user starts it, on real video, without a window."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from front_door import ROOT, SAMPLE, environment, run_demo, run_demo_here, run_folder

from models.checkpoints import save_model

SHARED = ROOT.parent / "shared"


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


def test_models_are_listed_with_their_licence(tmp_path: Path) -> None:
    done = run_demo("--list-models", cwd=tmp_path)
    assert "mobilenet_v2_jester_official\t" in done.stdout
    assert "licensed for research" in done.stdout


def test_a_run_without_a_gesture_keeps_its_empty_list_of_events(clip: Path, tmp_path: Path) -> None:
    assert run_demo_here("--source", clip, "--no-display", "--fast", "--no-record", "--out",
                         tmp_path / "runs", "--max-frames", 3, "--latency",
                         tmp_path / "reports" / "today.json") == 0
    folder = run_folder(tmp_path)
    assert (folder / "events.jsonl").read_text() == ""
    assert (folder / "latency.json").stat().st_size > 0
    assert (tmp_path / "reports" / "today.json").stat().st_size > 0  # its folder was made


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
