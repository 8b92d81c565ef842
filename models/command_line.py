"""What every command does around its `main`, for Ctrl-C, a console that lacks letters, a full disk:

    if __name__ == "__main__":
        from models import command_line
        command_line.start()  # before the other imports, which take seconds
    ...
    if __name__ == "__main__":
        command_line.run(main)
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

STOPPED = 130  # the exit code that shells give for Ctrl-C


def start() -> None:
    """Until `run`, Ctrl-C ends the process at once: nothing is begun that wants an end."""
    print_anything()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored: nohup
        signal.signal(signal.SIGINT, _end)


def print_anything() -> None:
    """Letters that the console or the file cannot hold are written as \\x.., and raise nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run(main: Callable[[], int]) -> NoReturn:
    """Ends the process with the exit code of `finished`, or with a word and 130 for Ctrl-C."""
    try:
        if signal.getsignal(signal.SIGINT) is _end:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.exit(finished(main))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second one does not wait
        print("stopped", file=sys.stderr)
        sys.exit(STOPPED)


def finished(main: Callable[[], int]) -> int:
    """The exit code of `main`, all that it printed being written. Where stdout takes no more, that
    is 2 after a sentence, or 0 if its reader has seen enough, as `head` has; but how `main` failed
    is never hidden by that."""
    try:
        code = main()
    except SystemExit as end:  # as argparse ends --help
        if end.code:
            raise
        code = 0
    except OSError as error:
        if not _stdout_fails():
            raise
        code = _dropped(error)
    finally:
        full = _written()
    return code or full


def _written() -> int:
    """0 once all that was printed is written, else as `_dropped`."""
    try:
        if sys.stdout is not None:  # as under pythonw
            sys.stdout.flush()
    except OSError as error:
        return _dropped(error)
    return 0


def hung_up(error: OSError) -> bool:
    """Whether a pipe failed because its reader has seen enough. Windows has another word for it."""
    return isinstance(error, BrokenPipeError) or (
        sys.platform == "win32" and error.errno == errno.EINVAL)


def _dropped(error: OSError) -> int:
    """The exit code where stdout failed with `error`; what it still holds goes nowhere, or it would
    fail again at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if hung_up(error):
        return 0
    print(f"error: stdout cannot be written: {error.strerror}", file=sys.stderr)
    return 2


def _stdout_fails() -> bool:
    """An error may have come from another file or pipe."""
    try:
        print(flush=True)
    except OSError:
        return True
    return False


def leave(code: int) -> NoReturn:
    """Ends the process, all files being closed. A stream that does not answer keeps its thread in
    OpenCV for seconds: Python would wait for it, or abort where it comes back too late. Other
    daemon threads, such as a progress bar's, have nothing left to lose by then."""
    if any(thread.daemon for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # its reader has left
                if stream is not None:  # as under pythonw
                    stream.flush()
        os._exit(code)
    sys.exit(code)


def _end(*_: Any) -> None:
    print("stopped", file=sys.stderr, flush=True)
    os._exit(STOPPED)
