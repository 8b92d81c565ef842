"""Which names OpenCV can be given."""

from __future__ import annotations

import os


def can_be_named(path: str | os.PathLike[str]) -> bool:
    """Whether OpenCV can be given this name: one that is not UTF-8 would end the process."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True
