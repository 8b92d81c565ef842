"""run_demo.py as a user starts it, in its own process or in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import run_demo as program

ROOT = Path(__file__).parents[2]
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
    return program.main([str(flag) for flag in flags])


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return {**kept, "OMP_NUM_THREADS": "1", **(more or {})}


def run_folder(root: Path) -> Path:
    folders = list((root / "runs").iterdir())
    assert len(folders) == 1
    return folders[0]
