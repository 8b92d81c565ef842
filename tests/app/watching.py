"""What a live source gives, waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from app.frames import Frame

PATIENCE_S = 20.0  # no test takes this long; a noisy machine must not fail one


def watch(source: Any, until: Callable[[Frame | None], bool]) -> list[Frame]:
    """Takes frames until `until` is true of what came, which may be None."""
    frames, end = [], time.monotonic() + PATIENCE_S
    for frame in source:
        if frame is not None:
            frames.append(frame)
        if until(frame):
            return frames
        assert time.monotonic() < end, f"still waiting; status {source.status!r}"
    raise AssertionError("the source ended")
