"""Where a run's results go: its folder, lines of JSON, snapshots."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from app.opencv import cv2
from models.command_line import hung_up

STDOUT = "-"


class OutputError(RuntimeError):
    """An output that cannot be written; the message names it and why."""


def say(words: str) -> None:
    """Words go to stderr; stdout is for data."""
    with contextlib.suppress(OSError):  # closed terminal, full disk: the run has work to finish
        print(words, file=sys.stderr, flush=True)


class RunFolder:
    """A new folder for one run, ROOT/2026-01-31_12-59-59, made when its first file is asked for."""

    def __init__(self, root: Path = Path("runs")) -> None:
        self._root = root
        self._path: Path | None = None
        self._made: list[Path] = []  # ROOT and the folders above it that were not there

    @property
    def path(self) -> Path:
        """The folder, which exists. OutputError where it cannot be made or written to."""
        if self._path is None:
            self._made = [path for path in (self._root, *self._root.parents)
                          if not os.path.exists(path)]  # Path raises at a name that is too long
            self._path = _new_folder(self._root / time.strftime("%Y-%m-%d_%H-%M-%S"))
        return self._path

    def file(self, name: str) -> Path:
        """Where the run's file of that name belongs. OutputError as for `path`."""
        return self.path / name

    def remove_empty(self) -> None:
        """Removes the folder, and those made for it, where it holds nothing but empty files."""
        if self._path is None:
            return
        with contextlib.suppress(OSError):  # other runs are in them, or they are gone already
            files = list(self._path.iterdir())
            if any(file.stat().st_size for file in files):
                return
            for file in files:
                file.unlink()
            for folder in (self._path, *self._made):
                folder.rmdir()


class JsonLines:
    """One JSON object a line, in a file or on stdout ("-"), each flushed at once.

    Arrays and numpy numbers become plain ones without loss. A reader that hangs up ("| head") is
    no failure: nothing more is written, and `ended` is true. Any other failure in mid-run stops
    the writing too, and `failed` says why. OutputError where the file cannot be opened. What an
    earlier run left in it goes with `begin`, or with the first line.
    """

    def __init__(self, target: str | Path) -> None:
        self.ended = False
        self.failed = ""
        self.target = target
        self._begun = False
        self._old = False  # whether it may hold lines of an earlier run: no pipe or device does
        if str(target) == STDOUT:
            if sys.stdout is None:  # closed by the shell (>&-), or under pythonw
                raise OutputError("stdout is closed; name a file in place of -")
            self._file = sys.stdout
            return
        path = Path(target)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
            self._old = path.is_file()
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from error

    def begin(self) -> None:
        """The run has a result, though it be that nothing happened: older lines go."""
        if self._begun or self.ended:
            return
        self._begun = True
        if self._old:
            try:
                self._file.truncate(0)
            except OSError as error:
                self._fail(error)

    def write(self, record: Mapping[str, Any]) -> None:
        """Writes one line. Raises nothing that a disk or a pipe may cause."""
        self.begin()
        if self.ended:
            return
        line = json.dumps(record, default=_plain)
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            if hung_up(error):
                self._end()
            else:
                self._fail(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if not self.ended:
            self._end()

    def _fail(self, error: OSError) -> None:
        name = "stdout" if str(self.target) == STDOUT else self.target
        self.failed = f"{name} cannot be written any more: {error.strerror}"
        self._end()

    def _end(self) -> None:
        self.ended = True
        if self._file is not sys.stdout:
            with contextlib.suppress(OSError):  # what is still buffered failed before, and is told
                self._file.close()


def save_snapshot(image: NDArray[np.uint8], path: Path) -> Path:
    """Writes a picture, uint8 [H, W, 3] blue first, as PNG. OutputError where that fails."""
    encoded, data = cv2.imencode(".png", image)
    if not encoded:
        raise OutputError(f"the snapshot {path} could not be made of a {image.shape} picture")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise OutputError(f"the snapshot {path} cannot be written: {error.strerror}") from error
    return path


def _new_folder(wanted: Path) -> Path:
    path, number = wanted, 1
    while True:
        try:
            path.mkdir(parents=True)
            (path / ".writable").touch()
            (path / ".writable").unlink()
            return path
        except FileExistsError as error:
            if not path.is_dir():  # a file where a folder should be: no number helps
                raise OutputError(f"the folder {path} cannot be made: {error.strerror}") from error
            number += 1
            path = wanted.with_name(f"{wanted.name}-{number}")
        except OSError as error:
            raise OutputError(f"the folder {path} cannot be made: {error.strerror}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()  # a float32 is exact as a float64
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
