"""Every command where stdout takes no more: one sentence, or nothing for a reader who left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FULL = "error: stdout cannot be written: No space left on device\n"
SCRIPT = """
from models import command_line
command_line.start()
{}
command_line.run(main)"""
pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


def ended(*command: str, into: str | int = "/dev/full", unbuffered: bool = False
          ) -> tuple[int, str]:
    """The exit code and what is on stderr."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open(into, "w") as stdout:
        done = subprocess.run(
            [sys.executable, *(["-u"] if unbuffered else []), *command], stdout=stdout, cwd=ROOT,
            stderr=subprocess.PIPE, text=True, timeout=60, check=False, env=environment)
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", [
    ("run_demo.py", "--help"), ("-m", "models.convert", "--help"),
    ("-m", "training.synthesize", "--help")])
def test_help_on_a_full_disk_is_a_sentence(command: tuple[str, ...]) -> None:
    assert ended(*command) == (2, FULL)


def test_tables_on_a_full_disk_are_a_sentence() -> None:
    report = "docs/benchmarks/cpu.json"
    assert ended("-m", "online_tsm.benchmark_page", report) == (2, FULL)


@pytest.mark.parametrize("unbuffered", [False, True])
def test_lines_on_a_full_disk_are_a_sentence(unbuffered: bool) -> None:
    script = SCRIPT.format("def main(): print('a line'); return 0")
    assert ended("-c", script, unbuffered=unbuffered) == (2, FULL)


def test_a_full_disk_elsewhere_is_not_told_of_stdout(tmp_path: Path) -> None:
    script = SCRIPT.format("def main(): open('/dev/full', 'w', buffering=1).write('line\\n')")
    code, said = ended("-c", script, into=str(tmp_path / "out"))
    assert code == 1
    assert "Traceback" in said
    assert "stdout" not in said


ENDS = [("return 1", 1, ""), ("sys.exit(3)", 3, ""), ("raise KeyboardInterrupt", 130, "stopped\n"),
        ("return 1 / 0", 1, "ZeroDivisionError: division by zero\n")]


@pytest.mark.parametrize(("end", "code", "last"), ENDS)
def test_a_failure_stays_one_on_a_full_disk(end: str, code: int, last: str) -> None:
    script = SCRIPT.format(f"import sys\ndef main():\n    print('a line')\n    {end}")
    left, said = ended("-c", script)
    assert left == code
    assert said.replace(FULL, "").endswith(last)
    assert "Exception ignored" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently on Windows")
@pytest.mark.parametrize(("end", "code", "last"), ENDS)
def test_a_failure_stays_one_after_the_reader_left(end: str, code: int, last: str) -> None:
    script = SCRIPT.format(f"import sys\ndef main():\n    print('a line')\n    {end}")
    reading, writing = os.pipe()
    os.close(reading)
    left, said = ended("-c", script, into=writing)
    assert left == code
    assert said.endswith(last)
    assert "BrokenPipe" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently on Windows")
@pytest.mark.parametrize("unbuffered", ["", "-u"])
def test_a_reader_who_has_seen_enough_is_no_failure(unbuffered: str, tmp_path: Path) -> None:
    script = tmp_path / "many.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})" + SCRIPT.format(
        "def main():\n    for n in range(99999): print(n)\n    return 0"))
    command = f"{sys.executable} {unbuffered} {script} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60,
                          check=False)
    assert (done.returncode, done.stderr) == (0, "")
