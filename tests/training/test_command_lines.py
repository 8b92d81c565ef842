"""Every command: Ctrl-C is one short line and the exit code 130, letters are no obstacle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from online_tsm.recordings import save_recording

ROOT = Path(__file__).parents[2]
COMMANDS = [
    "models.convert", *(f"online_tsm.{name}" for name in (
        "benchmark", "benchmark_page", "export", "quantize", "selftest")),
    *(f"training.{name}" for name in (
        "accuracy", "evaluate", "evaluate_teaching", "meter", "model_card", "replay", "synthesize",
        "teach", "thresholds", "train"))]


@pytest.fixture(autouse=True)
def not_ignored() -> Iterator[None]:
    """Commands that a pytest under nohup starts would ignore Ctrl-C as it does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def stopped_at(words: str, *command: str) -> tuple[int, str]:
    """The exit code of a command that gets Ctrl-C when `words` come on stderr, and what follows."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if words in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        return process.wait(60), rest


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_during_the_imports(command: str) -> None:
    code, said = stopped_at("| argparse", "-X", "importtime", "-m", command)
    words = [line for line in said.splitlines() if not line.startswith("import time:")]
    assert (code, words) == (130, ["stopped"])


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_in_a_benchmark_says_that_nothing_was_written() -> None:
    assert stopped_at("measuring", "-m", "online_tsm.benchmark") == (
        130, "stopped; nothing was written\n")


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_in_a_main_that_does_not_know_of_it() -> None:
    script = """
import sys, time
from models import command_line
command_line.start()
def main():
    print("busy", file=sys.stderr, flush=True)
    time.sleep(60)
command_line.run(main)"""
    assert stopped_at("busy", "-c", script) == (130, "stopped\n")


def test_the_demo_lists_a_gesture_in_any_letters(tmp_path: Path) -> None:
    images = [np.zeros((48, 64, 3), np.uint8)] * 20
    save_recording(tmp_path, "Поворот", images, np.arange(20) / 10.0, stroke=(0.5, 1.0))
    done = subprocess.run(
        [sys.executable, "run_demo.py", "--list-recordings", "--teach-dir", str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, check=False,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"})
    assert done.returncode == 0, done.stderr
    assert r"\u041f\u043e" in done.stdout


def test_letters_that_a_console_lacks_are_written_as_their_codes() -> None:
    script = "from models import command_line; command_line.start(); print('Поворот')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT,
                          env={**os.environ, "PYTHONIOENCODING": "cp1252"}, check=True)
    assert done.stdout.startswith(r"\u041f\u043e")
