"""Whether results can be written where a flag says, asked before the long work."""

from __future__ import annotations

from pathlib import Path

from online_tsm.graphs import obstacle_to
from training.events_file import DataError


def check_folder(out: Path) -> None:
    """Raises DataError where `out` is no folder and none can be made there."""
    if obstacle := obstacle_to(out):
        raise DataError(f"--out is {out}, but {obstacle}")


def check_file(out: Path, flag: str = "--out", suffix: str = "") -> None:
    """Raises DataError where `out` is a folder, lies where nothing can be written, or has a name
    without the `suffix`."""
    obstacle = obstacle_to(out.parent)
    if not out.name.endswith(suffix):
        obstacle = f"its name must end in {suffix}"
    elif out.is_dir():
        obstacle = "it is a folder; name a file"
    if obstacle:
        raise DataError(f"{flag} is {out}, but {obstacle}")
