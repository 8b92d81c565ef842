"""How a command ends its process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HANGING = """
import sys, threading, time
from models.command_line import leave
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
"""


@pytest.mark.parametrize(("before", "said"), [
    ("print('a line', end='')", "a line"),
    ("sys.stdout = sys.stderr = None", "")])  # as under pythonw
def test_leaving_a_thread_behind_keeps_code_and_words(before: str, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"{HANGING}{before}\nleave(2)"], cwd=ROOT,
                          capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, said, "")
