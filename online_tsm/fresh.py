"""Fresh processes: of the demo, how long to its first prediction, how much memory, which stages;
and of training's accuracy, which this package must not import."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "run_demo.py"
SAMPLE = ROOT / "app" / "sample.mp4"
STEADY_FRAMES = 40  # after which memory is read
DEMO_FRAMES = 150
TIMEOUT_S = 120.0


def cold_start(flags: list[str]) -> tuple[float, float | None]:
    """Seconds from starting `run_demo.py` with `flags` to its first prediction, and its peak
    memory (bytes) after some frames, None where the system does not tell.

    Raises RuntimeError with the demo's last words where it makes none.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(DEMO), "--source", str(SAMPLE), "--no-display",
                   "--no-record", "--fast", "--out", folder, "--predictions", "-", *flags]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              cwd=folder) as demo:
            assert demo.stdout is not None
            assert demo.stderr is not None
            try:
                if not demo.stdout.readline():
                    raise RuntimeError(_last_line(demo.stderr.read()))
                first = time.perf_counter() - started
                for _ in range(STEADY_FRAMES):
                    demo.stdout.readline()
                return first, _peak_memory(demo.pid)
            finally:
                demo.kill()


def demo_stages(source: str, flags: list[str]) -> dict[str, Any]:
    """The demo's own latency report over a source, as fast as it goes, recording: stages in ms,
    with decoding ("wait") and drawing. Raises RuntimeError where the demo fails."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "latency.json"
        command = [sys.executable, str(DEMO), "--source", source, "--no-display", "--fast",
                   "--out", folder, "--max-frames", str(DEMO_FRAMES), "--latency", str(report),
                   *flags]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S,
                              check=False)
        if done.returncode != 0 or not report.is_file():
            raise RuntimeError(_last_line(done.stderr))
        stages: dict[str, Any] = json.loads(report.read_text())["stages_ms"]
        return stages


def accuracy(clips: Path, flags: list[str]) -> dict[str, Any]:
    """What `training.accuracy` writes for a set of clips. Raises RuntimeError where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "accuracy.json"
        command = [sys.executable, "-m", "training.accuracy", str(clips.resolve()), *flags,
                   "--json", str(report)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              text=True, cwd=ROOT, check=False)
        if done.returncode != 0:
            raise RuntimeError(_last_line(done.stderr))
        found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        return found


def _peak_memory(process: int) -> float | None:
    """The most memory that a running process ever held, bytes; None off Linux."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(found[1]) * 1024 if found else None


def _last_line(words: str) -> str:
    lines = words.strip().splitlines()
    return lines[-1] if lines else "the demo ended without a word"
