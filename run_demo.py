#!/usr/bin/env python3
"""Real-time gesture recognition from a webcam: `python run_demo.py`, or --help for the rest."""

import signal
import time

STARTED = time.perf_counter()  # before the other imports: they are part of a cold start
if __name__ == "__main__":
    # Until the run has something to finish, Ctrl-C ends the program at once and without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import logging  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

MISSING_LIBRARY = """error: OpenCV cannot be loaded: {error}
On Debian or Ubuntu: sudo apt-get install libgl1 libglib2.0-0 libsm6
On Fedora: sudo dnf install mesa-libGL glib2 libSM"""
MISSING_PACKAGE = """error: the Python package '{error.name}' is missing
Install what the demo needs: python -m pip install -r requirements.txt"""


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 0 done, 2 for what the user can mend."""
    try:
        from app import command, settings
    except ModuleNotFoundError as error:
        print(MISSING_PACKAGE.format(error=error), file=sys.stderr)
        return 2
    except ImportError as error:
        print(MISSING_LIBRARY.format(error=error), file=sys.stderr)
        return 2
    flags = settings.from_flags(argv)
    logging.basicConfig(level=logging.INFO if flags.settings.verbose else logging.WARNING,
                        format="%(levelname)s: %(message)s")
    try:
        return command.run(flags, STARTED)
    except command.USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    from models import command_line
    if sys.stderr is None:  # closed by the shell (2>&-), or under pythonw
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    command_line.print_anything()
    command_line.leave(command_line.finished(main))
