"""What the guided session wants done: recorded clips kept, moved, deleted, learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from online_tsm.recordings import Recording

Span = tuple[float, float]  # s


@dataclass(frozen=True)
class Clip:
    """What was recorded: `images` BGR uint8 [H, W, 3] as the camera gave them, `times` [T] in s
    from 0."""

    label: str
    background: bool
    images: tuple[NDArray[np.uint8], ...]
    times: NDArray[np.float64]


@dataclass(frozen=True)
class Keep:
    """Examine the clip and save it if it is usable; answered by `refused` or `examined`."""

    clip: Clip


@dataclass(frozen=True)
class Move:
    """Give the recording saved last another stroke."""

    stroke: Span


@dataclass(frozen=True)
class Undo:
    """Delete the recording saved last."""


@dataclass(frozen=True)
class Delete:
    """Delete this recording."""

    recording: Recording


@dataclass(frozen=True)
class Learn:
    """Start the trainer."""


Request = Keep | Move | Undo | Delete | Learn
