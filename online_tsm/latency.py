"""The demo measuring itself: a clock for the stages, a log of all frames, and a report."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from online_tsm.machine import machine_info
from online_tsm.measures import Array, Course, DurationHistogram, Trace

__all__ = ["LatencyError", "LatencyLog", "LatencyReport", "StageClock", "machine_info"]

STAGES = ("wait", "preprocess", "network", "smoothing", "draw", "show")  # the order of a report
WAIT = "wait"  # for the next frame: time in which nothing is done
ROLLING_S = 3.0  # the overlay's figures are over this long,
ROLLING_FRAMES = 256  # and over at most so many frames
PAUSE_S = 2.0  # a longer interval between frames is a pause, and no frame rate
PERCENTILES = {"median": 50, "p90": 90, "p95": 95, "p99": 99}


class LatencyError(RuntimeError):
    """A report that cannot be written; the message names the file and the reason."""


class StageClock:
    """Times the stages of one frame by a monotonic clock: `with clock("draw"): ...`.

    A stage entered twice in one frame counts with its sum, also if it ends in an exception.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self._seconds[stage] = self._seconds.get(stage, 0.0) + spent

    def take(self) -> dict[str, float]:
        """The stages of the frame in s, and a fresh start for the next frame."""
        taken, self._seconds = self._seconds, {}
        return taken


class LatencyLog:
    """All frames of a run, in memory that does not grow: a histogram a stage (see measures.py),
    and for the plot the course over time in a fixed number of points.

    `started`: `time.perf_counter()` when the program began; the cold start counts from there.
    """

    def __init__(self, started: float | None = None) -> None:
        self._started = time.perf_counter() if started is None else started
        self._stages: dict[str, DurationHistogram] = {}
        self._totals = {"work": DurationHistogram(), "whole": DurationHistogram()}
        self._age = DurationHistogram()
        self._trace = Trace()
        self._recent: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=ROLLING_FRAMES)
        self._first = self._last = 0.0
        self._warmup = self._intervals = self._pauses = 0
        self._running = 0.0  # s between frames, without pauses

    def add(self, stages: Mapping[str, float], age_s: float | None, warm: bool,
            now: float | None = None) -> None:
        """Logs one frame when it is done: s a stage, and its age (s since the grab, or None).

        A frame that is not `warm` is counted, but left out of the report's percentiles. `now` is
        `time.perf_counter()` if not given.
        """
        now = time.perf_counter() if now is None else now
        self._count_interval(now)
        self._recent.append((now, stages))
        if not warm:
            self._warmup += 1
            return
        for stage, seconds in stages.items():
            self._stages.setdefault(stage, DurationHistogram()).add(seconds)
        whole = sum(stages.values())
        work = whole - stages.get(WAIT, 0.0)
        self._totals["whole"].add(whole)
        self._totals["work"].add(work)
        if age_s is not None:
            self._age.add(age_s)
        self._trace.add(stages, work)

    @property
    def fps(self) -> float | None:
        """Frames a second over the whole run, pauses left out; None before the second frame."""
        return self._intervals / self._running if self._running > 0 else None

    def rolling(self) -> dict[str, tuple[float, float]]:
        """Median and p95 (s) of each stage over the last seconds, for the overlay."""
        self._forget_old()
        by_stage: dict[str, list[float]] = {}
        for _, stages in self._recent:
            for stage, seconds in stages.items():
                by_stage.setdefault(stage, []).append(seconds)
        return {stage: _median_and_p95(by_stage[stage]) for stage in _ordered(by_stage)}

    def rolling_fps(self) -> float | None:
        """Frames a second over the last seconds; None before the second frame."""
        self._forget_old()
        span = self._recent[-1][0] - self._recent[0][0] if self._recent else 0.0
        return (len(self._recent) - 1) / span if span > 0 else None

    def report(self, machine: Mapping[str, Any] | None = None, *,
               camera_fps: float | None = None, dropped: int = 0) -> LatencyReport:
        """What was logged so far. `machine` is what `machine_info` gives."""
        rows = {stage: _summary(self._stages[stage]) for stage in _ordered(self._stages)}
        rows |= {name: _summary(total) for name, total in self._totals.items() if total.count}
        seen = self._warmup + self._totals["whole"].count
        return LatencyReport(
            frames=self._totals["whole"].count, warmup_frames=self._warmup, stages=rows,
            frame_age=_summary(self._age) if self._age.count else None, model_fps=self.fps,
            camera_fps=camera_fps, dropped_frames=dropped, pauses=self._pauses,
            cold_start_s=self._first - self._started if seen else None,
            machine=dict(machine or {}), course=self._trace.course(),
            curves={name: histogram.curve() for name, histogram in
                    [("work", self._totals["work"]), ("frame age", self._age)]
                    if histogram.count})

    def _count_interval(self, now: float) -> None:
        if not self._warmup and not self._totals["whole"].count:
            self._first = now
        elif now - self._last > PAUSE_S:
            self._pauses += 1
        else:
            self._intervals += 1
            self._running += now - self._last
        self._last = now

    def _forget_old(self) -> None:
        while self._recent and self._recent[-1][0] - self._recent[0][0] > ROLLING_S:
            self._recent.popleft()


@dataclass(frozen=True)
class LatencyReport:
    """A run's figures. Durations in s; `stages` maps a stage to its percentiles.

    "work" is a frame's stages without waiting, "whole" with it. Warm-up frames are left out of
    all but `warmup_frames`, `model_fps` and `cold_start_s` (the program's start to the first
    frame's end); `stages` is empty where there are no others.
    """

    frames: int
    warmup_frames: int
    stages: Mapping[str, Mapping[str, float]]
    frame_age: Mapping[str, float] | None
    model_fps: float | None
    camera_fps: float | None
    dropped_frames: int
    pauses: int
    cold_start_s: float | None
    machine: Mapping[str, Any]
    course: Course
    curves: Mapping[str, tuple[Array, Array]]

    @property
    def why_empty(self) -> str:
        """What stands in the place of figures, where no frame was measured."""
        return ("No latency was measured: the run ended within its warm-up (frames: "
                f"{self.warmup_frames}).")

    def text(self) -> str:
        """The report as a table for people."""
        rest = "\n".join(["", *self._rates(), *_machine_lines(self.machine)]) + "\n"
        if not self.frames:
            return f"{self.why_empty}\n{rest}"
        columns = (*PERCENTILES, "max")
        rows = dict(self.stages)
        if self.frame_age is not None:
            rows["frame age"] = self.frame_age
        lines = [f"Latency of {self.frames} frames in ms "
                 f"({self.warmup_frames} warm-up frames left out)",
                 f"{'stage':<12}" + "".join(f"{column:>9}" for column in columns)]
        lines += [f"{name:<12}" + "".join(f"{row[column] * 1e3:9.2f}" for column in columns)
                  for name, row in rows.items()]
        return "\n".join([*lines, rest])

    def _rates(self) -> list[str]:
        paused = f" (without {self.pauses} pauses over {PAUSE_S:g} s)" if self.pauses else ""
        cold = "-" if self.cold_start_s is None else f"{self.cold_start_s:.2f} s"
        return [f"model        {_fps(self.model_fps)}{paused}",
                f"camera       {_fps(self.camera_fps)}, {self.dropped_frames} frames dropped",
                f"cold start   {cold}"]

    def as_dict(self) -> dict[str, Any]:
        """Plain values; durations of stages in ms, as their keys say."""
        def ms(row: Mapping[str, float]) -> dict[str, float]:
            return {column: round(seconds * 1e3, 4) for column, seconds in row.items()}

        return {
            "frames": self.frames, "warmup_frames": self.warmup_frames,
            "stages_ms": {stage: ms(row) for stage, row in self.stages.items()},
            "frame_age_ms": None if self.frame_age is None else ms(self.frame_age),
            "model_fps": self.model_fps, "camera_fps": self.camera_fps,
            "dropped_frames": self.dropped_frames, "pauses": self.pauses,
            "cold_start_s": self.cold_start_s, "machine": dict(self.machine)}

    def to_json(self, path: str | Path) -> None:
        """Writes `as_dict`. Raises LatencyError."""
        try:
            Path(path).write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise LatencyError(f"{path}: the latency report cannot be written: {error}") from error

    def plot(self, path: str | Path) -> None:
        """Draws the report as a picture (format by the file's suffix). Raises LatencyError."""
        try:
            from online_tsm.latency_plot import draw
        except ImportError as error:
            raise LatencyError(f"{path}: a plot needs matplotlib: pip install matplotlib"
                               ) from error
        try:
            draw(self, Path(path))
        except (OSError, ValueError) as error:
            raise LatencyError(f"{path}: the latency plot cannot be written: {error}") from error


def _ordered(stages: Mapping[str, Any]) -> list[str]:
    """The usual stages in a frame's order, then any others as they came."""
    return [*(stage for stage in STAGES if stage in stages),
            *(stage for stage in stages if stage not in STAGES)]


def _summary(histogram: DurationHistogram) -> dict[str, float]:
    row = {name: histogram.percentile(share) for name, share in PERCENTILES.items()}
    return {**row, "max": histogram.max, "mean": histogram.mean()}


def _median_and_p95(values: list[float]) -> tuple[float, float]:
    values.sort()
    last = len(values) - 1
    return values[last // 2], values[-(-95 * len(values) // 100) - 1]


def _fps(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.1f} frames/s"


def _machine_lines(machine: Mapping[str, Any]) -> list[str]:
    lines = []
    if "engine" in machine:
        threads = machine["threads"]
        lines.append(f"engine       {machine['engine']}, {machine['provider']}, "
                     f"{machine['device']}, {machine['precision']}, "
                     f"{threads} thread{'s' if threads != 1 else ''}")
        lines.append(f"model name   {machine['model']}")
    if "versions" in machine:
        lines.append("versions     " + ", ".join(
            f"{name} {version}" for name, version in machine["versions"].items()))
    if "cpu" in machine:
        lines.append(f"processor    {machine['cpu']}, {machine['cores']} cores")
        lines.append(f"GPU          {'; '.join(machine['gpus']) or 'none found'}")
        lines.append(f"system       {machine['system']}")
    return lines
