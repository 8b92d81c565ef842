"""A long run through the headless app: python tests/soak.py [FRAMES, default 100000]

Plays a video over and over, as one stream, with the overlay drawn on every frame. Prints the
memory and the stage times of every twentieth part of the run, and ends with exit code 1 if the
memory grows by more than 20 MB after the first twentieth, or a stage's median by more than half.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from app.command import SAMPLE
from app.files import FileSource, VideoReader
from app.frames import Frame
from app.loop import Demo
from app.settings import Settings
from app.sinks import Sinks
from models.checkpoints import DEFAULT_MODEL
from online_tsm.engine import open_engine

PARTS = 20
GROWTH_BYTES = 20e6
DRIFT = 1.5  # a stage may take so many times its first median
NOTABLE_S = 0.0005  # stages under this are noise


class Endless(FileSource):
    """A video over and over, with times and indices that go on."""

    def __init__(self, path: Path) -> None:
        super().__init__(VideoReader(path), fast=True)
        self.frame_count = None
        self._path = path

    def __iter__(self) -> Iterator[Frame | None]:
        index, start = 0, 0.0
        while True:
            last = start
            for frame in FileSource(VideoReader(self._path), fast=True):
                assert frame is not None
                last = start + frame.time
                yield Frame(frame.image, last, index, frame.grabbed)
                index += 1
            start = last + 1 / (self.rate or 25)


class NoScreen:
    """Stands where the window is, so that the overlay is drawn; reports as it goes."""

    closed = False

    def __init__(self, frames: int) -> None:
        self.parts: list[tuple[float, dict[str, float]]] = []
        self.demo: Demo | None = None
        self._every = max(1, frames // PARTS)

    def fitted(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return image

    def show(self, image: NDArray[np.uint8], wait_s: float) -> str:
        assert self.demo is not None
        done = self.demo.frames + 1
        if done % self._every == 0:
            medians = {stage: median for stage, (median, _) in
                       self.demo._latency.rolling().items() if stage != "wait"}
            self.parts.append((resident_bytes(), medians))
            print(f"{done:7d} frames  {resident_bytes() / 1e6:6.1f} MB  "
                  + "  ".join(f"{stage} {1e3 * s:.2f}" for stage, s in medians.items()),
                  flush=True)
        return ""


def resident_bytes() -> float:
    """This process's memory now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", type=int, nargs="?", default=100_000)
    parser.add_argument("--source", type=Path, default=SAMPLE)
    frames = parser.parse_args().frames
    source = Endless(parser.parse_args().source)
    screen = NoScreen(frames)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(max_frames=frames, out=folder, record="off",
                            events=f"{folder}/events.jsonl")
        engine = open_engine(DEFAULT_MODEL)
        with Sinks(settings, engine.card, headless=True) as sinks:
            demo = Demo(settings, engine, sinks, screen,  # type: ignore[arg-type]
                        started=time.perf_counter(), stopping=threading.Event())
            screen.demo = demo
            demo.play(source)
    print(demo.report().text())
    return verdict(screen.parts)


def verdict(parts: list[tuple[float, dict[str, float]]]) -> int:
    """Compares the parts after the first; prints what grew."""
    grown = parts[-1][0] - parts[0][0]
    faults = [f"memory grew by {grown / 1e6:.1f} MB"] if grown > GROWTH_BYTES else []
    half = len(parts) // 2
    for stage in parts[0][1]:
        early = statistics.median(part[1][stage] for part in parts[:half])
        late = statistics.median(part[1][stage] for part in parts[half:])
        if late > max(DRIFT * early, NOTABLE_S):
            faults.append(f"{stage} went from {1e3 * early:.2f} to {1e3 * late:.2f} ms")
    print("\n".join(faults) or f"flat: memory {grown / 1e6:+.1f} MB, no stage slower")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
