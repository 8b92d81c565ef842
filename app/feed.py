"""A source's frames on their way to the loop: the wait for them measured, their progress shown."""

from __future__ import annotations

from collections.abc import Iterable

from tqdm import tqdm

from app.sources import Frame, Source
from online_tsm.latency import StageClock


def timed(frames: Iterable[Frame | None], clock: StageClock) -> Iterable[Frame | None]:
    """The same frames, with the wait for each on the clock."""
    iterator = iter(frames)
    while True:
        with clock("wait"):
            frame = next(iterator, StopIteration)
        if frame is StopIteration:
            return
        yield frame  # type: ignore[misc]


def with_progress(source: Source, max_frames: int | None) -> Iterable[Frame | None]:
    """The same frames, with a progress bar on stderr: for where no window shows the progress."""
    limits = [n for n in (source.frame_count, max_frames) if n]
    with tqdm(total=min(limits, default=None), unit=" frames", disable=None) as bar:
        for frame in source:
            yield frame
            if frame is not None:
                bar.update(frame.index + 1 - bar.n)
