"""Whether results can be written where `--out` says, asked before the long work."""

from __future__ import annotations

from pathlib import Path

from online_tsm.graphs import obstacle_to
from training.events_file import DataError


def check_folder(out: Path) -> None:
    """Raises DataError where `out` is no folder and none can be made there."""
    if obstacle := obstacle_to(out):
        raise DataError(f"--out is {out}, but {obstacle}")
