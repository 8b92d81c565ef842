"""A clock that stands still but for what sleeps, so that a busy machine does not matter."""

from __future__ import annotations


class FakeTime:
    """In the place of the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def perf_counter(self) -> float:
        return self.now

    process_time = perf_counter
