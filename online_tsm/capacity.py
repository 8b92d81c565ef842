"""How many cameras one engine serves: their streams in one pass, thirty times a second."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from online_tsm.engine import Engine
from online_tsm.faithful import network_inputs
from online_tsm.measuring import candidate_of
from online_tsm.rounds import PERIOD_S, Candidate, Images, figures, timed

MOST = 2048  # streams that are tried
BEND = 1.25  # times the least time a stream: from here on, twice the streams take twice as long
FINE = 16  # the largest number is found to one part in this many
ROUNDS, BLOCK = 4, 30  # of frames, for each number of streams


class Point(NamedTuple):
    """A pass of so many streams, at a camera's pace."""

    streams: int
    median_ms: float
    p99_ms: float


def capacity(engine: Engine, frames: Images, most: int = MOST) -> dict[str, Any]:
    """The most streams whose passes end before the next frame in 99 of 100 cases, and where the
    curve bends; with preprocessing and smoothing on one thread ("whole"), and on a GPU for the
    network alone, too ("network")."""
    found = {"engine": engine.name, "device": engine.device, "precision": engine.precision,
             "threads": engine.threads,
             "whole": _found(lambda n: _paced(candidate_of(engine, n), frames), most),
             "network": None}
    if engine.device == "cuda":
        found["network"] = _found(lambda n: _paced(_alone(engine, n, frames), frames), most)
    return found


def search(measure: Callable[[int], Point], most: int = MOST, limit_ms: float = PERIOD_S * 1e3
           ) -> tuple[int, list[Point]]:
    """The largest number of streams whose p99 is within the limit (0: not even one), by doubling,
    then halving the rest; and all that was measured, the fewest streams first.

    A number that fails is measured once more, and the better time counts: another program's
    moment on the processor must not end the search.
    """
    points: dict[int, Point] = {}

    def serves(streams: int) -> bool:
        points[streams] = measure(streams)
        if points[streams].p99_ms > limit_ms:
            points[streams] = min(points[streams], measure(streams), key=lambda p: p.p99_ms)
        return points[streams].p99_ms <= limit_ms

    low, high = 0, 1
    while high <= most and serves(high):
        low, high = high, 2 * high
    high = min(high, most + 1)
    while high - low > max(1, low // FINE):
        middle = (low + high) // 2
        low, high = (middle, high) if serves(middle) else (low, middle)
    return low, [points[streams] for streams in sorted(points)]


def bend(points: list[Point]) -> int:
    """From so many streams on, time grows in proportion to them: a stream's share of a pass is
    near the least one."""
    shares = {point.streams: point.median_ms / point.streams for point in points}
    return min(n for n, share in shares.items() if share <= BEND * min(shares.values()))


def _found(measure: Callable[[int], Point], most: int) -> dict[str, Any]:
    largest, points = search(measure, most)
    return {"largest": largest, "bend": bend(points), "points": [p._asdict() for p in points]}


def _paced(candidate: Candidate, frames: Images) -> Point:
    measured = figures(timed([candidate], frames, ROUNDS, BLOCK, period_s=PERIOD_S)[candidate.name])
    return Point(candidate.streams, measured["median_ms"], measured["p99_ms"])


def _alone(engine: Engine, streams: int, frames: Images) -> Candidate:
    return dataclasses.replace(candidate_of(engine, streams),
                               run=_Network(engine, streams, frames))


class _Network:
    """A candidate's `run`: the engine alone, on inputs that are ready."""

    def __init__(self, engine: Engine, streams: int, frames: Images) -> None:
        self._engine = engine
        inputs = np.resize(network_inputs(engine.card, frames),
                           (streams, 3, *engine.card.input_size))
        self._inputs: Any = inputs
        if engine.provider == "torch":  # as streams give them: already there
            self._inputs = torch.from_numpy(inputs).to(engine.device)
        self._states = [engine.open_state() for _ in range(streams)]

    def __call__(self, images: Images) -> Mapping[str, float]:
        _, self._states = self._engine.step(self._inputs, self._states)
        return {}
