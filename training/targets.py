"""Whether results can be written where `--out` says, asked before the long work."""

from __future__ import annotations

import os
from pathlib import Path

from training.events_file import DataError


def check_folder(out: Path) -> None:
    """Raises DataError where `out` is no folder and none can be made there."""
    above = next(filter(os.path.lexists, (out, *out.absolute().parents)))
    if not os.path.isdir(above):
        raise DataError(f"--out is {out}, but {above} is no folder; name another one")
    if not os.access(above, os.W_OK):
        raise DataError(f"--out is {out}, but nothing can be written in {above}; name another "
                        "folder")
