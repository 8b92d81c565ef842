"""A source's frames on their way to the loop: the wait for them measured, their progress shown."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from app.outputs import say
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
    if not sys.stderr.isatty():  # nobody sees a bar, and tqdm takes a tenth of a start to load
        yield from source
        return
    from tqdm import tqdm

    limits = [n for n in (source.frame_count, max_frames) if n]
    with tqdm(total=min(limits, default=None), unit=" frames") as bar:
        for frame in source:
            yield frame
            if frame is not None:
                bar.update(frame.index + 1 - bar.n)


def say_above(words: str) -> None:
    """A line on stderr, above the progress bar where there is one."""
    if not sys.stderr.isatty():
        say(words)
        return
    from tqdm import tqdm

    tqdm.write(words, file=sys.stderr)
