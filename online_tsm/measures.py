"""Any number of durations in memory that does not grow: percentiles, and a course over time."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHORTEST_S = 1e-6  # bins begin here; all below share the first one
LONGEST_S = 1e3  # and all above the last one
WIDTH = math.log(1.01)  # a bin's end is 1 % above its beginning
TRACE_POINTS = 1000  # of a course over time; beyond, neighbours are merged

Array = NDArray[np.float64]


class DurationHistogram:
    """Counts durations in bins that are 1 % wide, so memory does not grow with their number.

    Each bin also keeps its sum, and answers with its mean: a percentile is within 1 % of the
    exact one, and equals it where a bin holds a single value. The largest value and the mean
    are exact.
    """

    def __init__(self) -> None:
        bins = math.ceil(math.log(LONGEST_S / SHORTEST_S) / WIDTH) + 1
        self._counts = array("q", bytes(8 * bins))
        self._sums = array("d", bytes(8 * bins))
        self.count = 0
        self.max = 0.0  # s

    def add(self, seconds: float) -> None:
        """Counts one duration; a negative one counts as zero."""
        seconds = max(seconds, 0.0)
        place = 0
        if seconds > SHORTEST_S:
            place = min(int(math.log(seconds / SHORTEST_S) / WIDTH), len(self._counts) - 1)
        self._counts[place] += 1
        self._sums[place] += seconds
        self.count += 1
        self.max = max(self.max, seconds)

    def mean(self) -> float:
        """Mean in s; 0 if nothing was counted."""
        return math.fsum(self._sums) / self.count if self.count else 0.0

    def percentile(self, share: float) -> float:
        """The smallest duration (s) that at least `share` percent of all do not exceed; 0 if none.

        `share` lies above 0 and at most at 100.
        """
        if not self.count:
            return 0.0
        rank = max(1, math.ceil(share / 100 * self.count - 1e-9))
        place = int(np.searchsorted(np.cumsum(self._counts), rank))
        return self._sums[place] / self._counts[place]

    def curve(self) -> tuple[Array, Array]:
        """Durations (s) in rising order, and the share (0 to 1) of all that do not exceed each."""
        counts, sums = np.array(self._counts), np.array(self._sums)
        used = counts > 0
        return sums[used] / counts[used], np.cumsum(counts[used]) / max(self.count, 1)


@dataclass(frozen=True)
class Course:
    """Stages over the frames: each point's first frame, the mean of each stage and the longest
    single frame's work in it (s), and how many frames share a point."""

    first: Array
    means: Mapping[str, Array]
    longest: Array
    stride: int


class Trace:
    """The course of the stages over the frames, in at most `TRACE_POINTS` points.

    `stride` frames share a point; it doubles whenever all points are used. `sums` holds s a
    point and stage, `longest` the longest single frame's work (s) in each point.
    """

    def __init__(self) -> None:
        self.stride = 1
        self.frames = 0
        self.sums: dict[str, Array] = {}
        self.longest = np.zeros(TRACE_POINTS)

    def add(self, stages: Mapping[str, float], work: float) -> None:
        """Adds one frame's stages and their sum without waiting, s."""
        point = self.frames // self.stride
        if point == TRACE_POINTS:
            self._halve()
            point = self.frames // self.stride
        for stage, seconds in stages.items():
            if stage not in self.sums:
                self.sums[stage] = np.zeros(TRACE_POINTS)
            self.sums[stage][point] += seconds
        self.longest[point] = max(self.longest[point], work)
        self.frames += 1

    def course(self) -> Course:
        """A copy of what was added so far."""
        n = -(-self.frames // self.stride)
        first = np.arange(n) * self.stride
        frames = np.minimum(self.stride, self.frames - first)
        means = {stage: sums[:n] / frames for stage, sums in self.sums.items()}
        return Course(first.astype(float), means, self.longest[:n].copy(), self.stride)

    def _halve(self) -> None:
        half = TRACE_POINTS // 2
        for sums in self.sums.values():
            sums[:half] = sums[0::2] + sums[1::2]
            sums[half:] = 0
        self.longest[:half] = np.maximum(self.longest[0::2], self.longest[1::2])
        self.longest[half:] = 0
        self.stride *= 2
