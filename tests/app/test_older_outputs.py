"""What an earlier run wrote stays until this one has a frame."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import run_demo
from app.outputs import JsonLines

OLD = '{"old": "a long line of an earlier run, longer than what comes next"}\n' * 100


@pytest.fixture
def outputs(tmp_path: Path) -> list[Path]:
    files = [tmp_path / name for name in ("e.jsonl", "p.jsonl", "latency.json")]
    for file in files:
        file.write_text(OLD)
    return files


def run(source: object, outputs: list[Path]) -> int:
    flags = [part for flag, file in zip(("--events", "--predictions", "--latency"), outputs,
                                        strict=True) for part in (flag, str(file))]
    return run_demo.main(["--source", str(source), "--no-display", "--fast", "--record", "off",
                          "--personal", "off", "--out", str(outputs[0].parent / "runs"), *flags])


def damaged(folder: Path) -> str:
    (folder / "images").mkdir()
    (folder / "images" / "1.png").write_bytes(b"no picture")
    return str(folder / "images")


def silent(_: Path) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/video"


@pytest.mark.parametrize("source", [silent, damaged])
def test_a_source_that_gives_no_frame_leaves_it(source: Callable[[Path], str], tmp_path: Path,
                                                outputs: list[Path],
                                                capsys: pytest.CaptureFixture[str]) -> None:
    assert run(source(tmp_path), outputs) == 2
    assert "error: " in capsys.readouterr().err
    assert [file.read_text() == OLD for file in outputs] == [True] * 3


def test_a_run_replaces_it_though_nothing_happened(make_video: Callable[..., Path],
                                                   outputs: list[Path]) -> None:
    assert run(make_video([200] * 3), outputs) == 0
    events, predictions, latency = outputs
    assert events.read_text() == ""
    assert [json.loads(line)["frame"] for line in predictions.read_text().splitlines()] == [0, 1, 2]
    assert json.loads(latency.read_text())["warmup_frames"] == 3


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes there")
def test_a_pipe_has_nothing_old(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    with JsonLines(tmp_path / "pipe") as lines:
        lines.begin()
        lines.write({"n": 1})
    reader.join()
    assert read == ['{"n": 1}\n']
    assert not lines.failed


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no file that only grows here")
def test_a_file_that_keeps_what_is_old_gets_nothing_new() -> None:
    import fcntl

    file = os.memfd_create("events", os.MFD_ALLOW_SEALING)
    os.write(file, OLD.encode())
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    path = f"/proc/self/fd/{file}"
    with JsonLines(path) as lines:
        lines.write({"n": 1})
        assert lines.failed == f"{path} cannot be written any more: Operation not permitted"
    assert Path(path).read_text() == OLD
    os.close(file)
