"""Timing of several candidates side by side: interleaved blocks in one process, warm.

A machine's speed drifts, and neighbours disturb it. So every round gives each candidate one block
of frames, in random order; a block's first frames do not count; blocks in which another program
competed for a core are left out; and ratios are taken within a round.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from online_tsm import quiet

PERIOD_S = 1 / 30  # of a paced frame
WARM_FRAMES = 4  # of each block, not counted
BLOCK_S = 0.5  # slow candidates get shorter blocks,
LEAST_FRAMES = 3  # of at least this many frames
FEW_CLEAN = 3  # with fewer clean blocks, all count, and the report says so

Images = Sequence[NDArray[np.uint8]]
Run = Callable[[Images], Mapping[str, float]]


@dataclass(frozen=True)
class Candidate:
    """Something to time: `run` takes one BGR frame a stream and gives its stages in s.

    `prepare` is called before each block, for settings that the whole process shares.
    """

    name: str
    engine: str
    threads: int
    streams: int
    run: Run
    prepare: Callable[[], None]
    precision: str = "fp32"
    device: str = "cpu"
    anchor: str = ""  # "eager", "window" or "window without shift"; "" is no anchor


@dataclass(frozen=True)
class Block:
    """What one block of frames took: s a frame, s a frame and stage, CPU s and J in all."""

    seconds: list[float]
    stages: Mapping[str, list[float]]
    cpu_s: float
    joules: Mapping[str, float]
    clean: bool | None  # None: the system does not tell


def timed(candidates: Sequence[Candidate], frames: Images, rounds: int, block: int,
          *, period_s: float = 0.0, seed: int = 0) -> dict[str, list[Block]]:
    """`rounds` blocks of each candidate, of at most `block` counted frames.

    With a `period_s`, frames start at its multiples, as a camera gives them; else at once.
    """
    lengths = {c.name: _length(c, frames, block) for c in candidates}
    order = list(candidates)
    shuffled = random.Random(seed)
    results: dict[str, list[Block]] = {c.name: [] for c in candidates}
    for _ in tqdm(range(rounds), unit=" rounds", leave=False, disable=None):
        shuffled.shuffle(order)
        for candidate in order:
            results[candidate.name].append(
                _block(candidate, frames, lengths[candidate.name], period_s))
    return results


def figures(blocks: Sequence[Block], streams: int = 1) -> dict[str, Any]:
    """Percentiles of a frame's time over the blocks that count, in ms, by stage, with CPU ms and
    J a frame and stream. A pass of several streams counts as one frame's time."""
    kept = counted(blocks)
    seconds = np.concatenate([block.seconds for block in kept]) * 1e3
    n = len(seconds) * streams
    result: dict[str, Any] = {
        "median_ms": float(np.median(seconds)), "p90_ms": float(np.percentile(seconds, 90)),
        "p99_ms": float(np.percentile(seconds, 99)), "frames": len(seconds), "blocks": len(blocks),
        "clean_blocks": sum(block.clean is not False for block in blocks),
        "cpu_ms": sum(block.cpu_s for block in kept) * 1e3 / n,
        "stages_ms": {stage: float(np.median(np.concatenate([b.stages[stage] for b in kept]))) * 1e3
                      for stage in kept[0].stages},
    }
    for counter in kept[0].joules:
        result[f"{counter}_j"] = sum(block.joules.get(counter, 0) for block in kept) / n
    return result


def ratio(anchor: Sequence[Block], candidate: Sequence[Block]) -> float:
    """How many times the candidate's frame time goes into the anchor's: the median over rounds
    in which both were undisturbed, or over all if there are too few such."""
    pairs = list(zip(anchor, candidate, strict=True))
    quiet_pairs = [(a, c) for a, c in pairs if a.clean is not False and c.clean is not False]
    used = quiet_pairs if len(quiet_pairs) >= FEW_CLEAN else pairs
    return float(np.median([np.median(a.seconds) / np.median(c.seconds) for a, c in used]))


def counted(blocks: Sequence[Block]) -> list[Block]:
    """The blocks without competition; all, if there are too few of these."""
    kept = [block for block in blocks if block.clean is not False]
    return kept if len(kept) >= FEW_CLEAN else list(blocks)


def _length(candidate: Candidate, frames: Images, block: int) -> int:
    """Counted frames in a block of this candidate, found by two trial frames (the second counts:
    the first may compile)."""
    candidate.prepare()
    for _ in range(2):
        started = time.perf_counter()
        candidate.run([frames[0]] * candidate.streams)
        took = time.perf_counter() - started
    return int(min(block, max(LEAST_FRAMES, BLOCK_S / took)))


def _block(candidate: Candidate, frames: Images, length: int, period_s: float) -> Block:
    candidate.prepare()
    warm = min(WARM_FRAMES, length)
    seconds: list[float] = []
    stages: dict[str, list[float]] = {}
    due = time.perf_counter()
    before: tuple[float | None, Mapping[str, float], float, float] | None = None
    for number in range(warm + length):
        if period_s:
            due += period_s
            time.sleep(max(0.0, due - time.perf_counter()))
        if number == warm:
            before = (quiet.waited_s(), quiet.joules(), time.process_time(), time.perf_counter())
        images = [frames[(number + stream) % len(frames)] for stream in range(candidate.streams)]
        started = time.perf_counter()
        parts = candidate.run(images)
        took = time.perf_counter() - started
        if number < warm:
            continue
        seconds.append(took)
        for stage, part in parts.items():
            stages.setdefault(stage, []).append(part)
    assert before is not None
    waited, energy, cpu, begun = before
    cpu_s, lasted = time.process_time() - cpu, time.perf_counter() - begun
    spent = {name: value - energy[name] for name, value in quiet.joules().items()
             if name in energy}
    return Block(seconds, stages, cpu_s, spent, quiet.clean(waited, quiet.waited_s(), lasted))
