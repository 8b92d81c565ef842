"""What one picture of the overlay shows: plain data, filled by the loop, drawn by the overlay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from online_tsm.events import Event
    from online_tsm.stream import Prediction

Image = NDArray[np.uint8]


@dataclass
class Panel:
    """The figures of the panel. None means not known yet and is shown as a dash.

    Rates are frames a second, times are seconds; `stages` maps a stage to its (p50, p95), shown
    in the mapping's order. `lookback_s` is the real step time, `trained_step_s` the card's.
    """

    camera_fps: float | None = None
    model_fps: float | None = None
    lookback_s: float | None = None
    trained_step_s: float | None = None
    age_s: float | None = None
    stages: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    dropped: int = 0
    engine: str = ""
    device: str = ""
    precision: str = "fp32"
    model: str = ""
    phases: int = 1
    cold: bool = False


@dataclass
class Scene:
    """All that the overlay needs for one picture.

    `image` is BGR uint8 [H, W, 3], already `mirrored` if the user asked for it: text is drawn
    afterwards and so reads the right way round. `events` are newest first, each with its age in
    seconds. `timeline` holds (time s, label, confidence 0..1) of the last ten seconds, oldest
    first, on the clock of the predictions and events. `message` is a sentence such as
    "camera lost, retrying in 2 s". `task` is something under way and its progress (0..1).
    """

    image: Image
    prediction: Prediction | None = None
    events: Sequence[tuple[Event, float]] = ()
    timeline: Sequence[tuple[float, str, float]] = ()
    panel: Panel = field(default_factory=Panel)
    message: str = ""
    recording: bool = False
    recording_s: float = 0.0  # length of the recording so far
    paused: bool = False
    mirrored: bool = False  # whether `image` is
    task: tuple[str, float] | None = None
