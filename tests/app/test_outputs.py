"""Run folders, lines of JSON, snapshots; and the disks and pipes that fail them."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.outputs import JsonLines, OutputError, RunFolder, save_snapshot

ROOT = Path(__file__).parents[2]


def read_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_run_folders_are_new_and_made_when_needed(tmp_path: Path) -> None:
    folders = [RunFolder(tmp_path / "runs") for _ in range(3)]
    assert not (tmp_path / "runs").exists()
    files = [folder.file("events.jsonl") for folder in folders]
    assert len(set(files)) == 3
    assert all(file.parent.is_dir() and file.name == "events.jsonl" for file in files)
    assert folders[0].file("b").parent == files[0].parent


def test_run_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OutputError, match=r"folder .*runs.* cannot be made"):
        RunFolder(tmp_path / "runs").file("x")


def test_logits_keep_every_bit(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "p.jsonl"
    logits = np.random.default_rng(0).normal(0, 10, 27).astype(np.float32)
    with JsonLines(path) as lines:
        lines.write({"index": np.int64(3), "time": np.float64(0.1), "logits": logits,
                     "label": "Schütteln", "confidence": np.float32(0.3)})
    (record,) = read_lines(path)
    assert record["index"] == 3
    assert record["label"] == "Schütteln"
    assert np.array_equal(np.array(record["logits"], np.float32), logits)
    assert all(isinstance(value, float) for value in record["logits"])
    assert np.float32(record["confidence"]) == np.float32(0.3)


def test_each_line_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    with JsonLines(path) as lines:
        for number in range(3):
            lines.write({"n": number})
            assert len(read_lines(path)) == number + 1
    lines.write({"n": 3})  # after the end: nothing, and no complaint
    assert len(read_lines(path)) == 3


def test_dash_is_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonLines("-") as lines:
        lines.write({"n": 1})
    print("stdout is still open")
    assert capsys.readouterr().out == '{"n": 1}\nstdout is still open\n'


def test_file_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"e\.jsonl cannot be written"):
        JsonLines(tmp_path / "file" / "e.jsonl")
    with pytest.raises(OutputError, match="cannot be written"):
        JsonLines(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk_ends_the_lines_with_a_sentence() -> None:
    with JsonLines("/dev/full") as lines:
        for number in range(3):
            lines.write({"n": number})
        assert lines.failed == "/dev/full cannot be written any more: No space left on device"
        assert lines.ended


PIPE = """
from app.outputs import JsonLines
lines = JsonLines("-")
while not lines.ended:
    lines.write({"n": 1})
assert not lines.failed
"""


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently on Windows")
def test_reader_that_hangs_up_is_no_failure() -> None:
    with subprocess.Popen([sys.executable, "-c", PIPE], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == '{"n": 1}\n'
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize(("system", "hangs_up"), [("win32", True), ("linux", False)])
def test_a_windows_pipe_without_a_reader_has_an_error_of_its_own(
        monkeypatch: pytest.MonkeyPatch, system: str, hangs_up: bool) -> None:
    class Pipe(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(sys, "stdout", Pipe())
    lines = JsonLines("-")
    lines.write({"n": 1})
    assert lines.ended
    assert (lines.failed == "") == hangs_up


def test_snapshot(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    path = save_snapshot(image, tmp_path / "new" / "shot.png")
    assert np.array_equal(cv2.imread(str(path)), image)


@pytest.mark.parametrize("name", ["file/shot.png", "folder.png"])
def test_snapshot_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match=r"snapshot .* cannot be written"):
        save_snapshot(np.zeros((4, 4, 3), np.uint8), tmp_path / name)
