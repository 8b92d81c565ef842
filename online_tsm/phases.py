"""Which cache a frame goes to. Pure logic on times; holds no pictures and no network.

The shift looks exactly one step back, so a network trained at f steps a second wants its last
step 1/f s ago: one card period. A stream that processes frames faster than that keeps k caches
(phases), each fed about every k-th frame.

A frame goes to a phase that is due, which is one whose last step is about a card period old
(from half a frame before, to a third of a period after). If several are, the one that waited
longest takes it: taking the youngest would leave the others behind, and after one dropped frame
a stream of two phases would step one of them at double speed for ever. If all that are due are
later than that, the one nearest to one period takes it.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

log = logging.getLogger(__name__)

RATE_WINDOW_S = 1.5  # the rate is measured over this long,
RATE_FRAMES = 5  # and over at least so many frames
HYSTERESIS = 0.15  # k changes when rate / card rate is this far beyond the point of rounding
LATE = 4 / 3  # card periods: up to this age the phase that waited longest goes first
STALE = 2.5  # card periods: an older phase is forgotten, if there are others
GAP = 4.0  # card periods (or usual frame intervals, if longer): the whole stream starts anew
FIRST_GAP_S = 1.0  # a gap, as long as no interval is known
MAX_PHASES = 64
EPSILON_S = 1e-6  # times that differ by less are the same


@dataclass(frozen=True)
class Turn:
    """Where one frame goes.

    `phase` names a cache; `fresh` means that it starts empty. `time` is the frame's time in s,
    never before the last one's since the latest restart. `lookback_s` is how old the phase's
    last step is, None if it is fresh. `cold`: the phase has not had its warm-up steps yet.
    `restart`: everything remembered of earlier frames is void, in every phase.
    """

    phase: int
    phases: int
    time: float
    lookback_s: float | None
    fresh: bool
    cold: bool
    restart: bool


@dataclass
class _Phase:
    last: float  # time of its last step, s
    steps: int


class PhaseClock:
    """Deals the frames of one stream out to its phases.

    `frame_rate`: steps a second the network was trained for. `warmup_steps`: so many steps of a
    phase are cold. `phases`: None measures how many are wanted; a number N makes the frames go
    round N caches in turn, whatever their times (1: one cache, stepped on every frame).
    """

    def __init__(self, frame_rate: float, warmup_steps: int, phases: int | None = None) -> None:
        self.period = 1 / frame_rate
        self.warmup_steps = warmup_steps
        self._fixed = phases
        self.reset()

    def reset(self) -> None:
        """Forget every phase and every time."""
        self.wanted = self._fixed or 1
        self._phases: dict[int, _Phase] = {}
        self._times: deque[float] = deque()  # of the rate's window
        self._intervals: deque[float] = deque(maxlen=RATE_FRAMES)  # survives a gap

    @property
    def rate(self) -> float | None:
        """Frames a second given to this clock lately; None until two frames differ in time."""
        span = self._times[-1] - self._times[0] if self._times else 0.0
        return (len(self._times) - 1) / span if span > EPSILON_S else None

    @property
    def live(self) -> frozenset[int]:
        """The phases that hold something."""
        return frozenset(self._phases)

    def turn(self, time: float) -> Turn:
        """Where the frame of this `time` (s, any origin) goes.

        A time that does not move on counts as the last one's moment, if it is less than a card
        period back. Further back is another recording: the stream restarts, as after a gap.
        """
        time, restart = self._moment(time)
        if restart:
            self._phases.clear()
            self._times.clear()
        self._times.append(time)
        self._measure(time)
        phase = self._choose(time)
        fresh = phase not in self._phases
        known = self._phases.setdefault(phase, _Phase(time, 0))
        lookback = None if fresh else time - known.last
        cold = known.steps < self.warmup_steps
        known.last = time
        known.steps += 1
        self._drop_surplus(phase)
        return Turn(phase, self.wanted, time, lookback, fresh, cold, restart)

    def _moment(self, time: float) -> tuple[float, bool]:
        """The time to count with, and whether the stream restarts there."""
        if not self._times:
            return time, False
        interval = time - self._times[-1]
        if interval < -self.period:
            log.warning("time went back by %.2f s: the stream starts anew", -interval)
            self._intervals.clear()
            return time, True
        if interval <= 0:
            return self._times[-1], False
        usual = (sorted(self._intervals)[len(self._intervals) // 2] if self._intervals
                 else FIRST_GAP_S / GAP)
        self._intervals.append(interval)
        return time, interval > GAP * max(self.period, usual) + EPSILON_S

    def _measure(self, time: float) -> None:
        while (len(self._times) > RATE_FRAMES
               and (time - self._times[0] > RATE_WINDOW_S or len(self._times) > 1000)):
            self._times.popleft()
        if self._fixed or self.rate is None:
            return
        ratio = self.rate * self.period
        settled = len(self._times) > RATE_FRAMES
        if not settled or abs(ratio - self.wanted) > 0.5 + HYSTERESIS:
            self.wanted = min(max(1, round(ratio)), MAX_PHASES)

    def _choose(self, time: float) -> int:
        if self._fixed:
            return sum(known.steps for known in self._phases.values()) % self._fixed
        ages = {phase: time - known.last for phase, known in self._phases.items()}
        if self.wanted > 1:
            for phase in [p for p, age in ages.items() if age > STALE * self.period]:
                del ages[phase], self._phases[phase]
        half_a_frame = self.period / self.wanted / 2
        due = {p: age for p, age in ages.items() if age >= self.period - half_a_frame - EPSILON_S}
        timely = {p: age for p, age in due.items() if age <= LATE * self.period + EPSILON_S}
        if timely:
            return _oldest(timely)
        if due:
            return min(due, key=due.__getitem__)
        return _free(ages) if len(ages) < self.wanted else _oldest(ages)

    def _drop_surplus(self, chosen: int) -> None:
        """Forget the longest waiting phases beyond the wanted number, never the chosen one."""
        while len(self._phases) > self.wanted:
            others = (p for p in self._phases if p != chosen)
            del self._phases[min(others, key=lambda p: self._phases[p].last)]


def _oldest(ages: dict[int, float]) -> int:
    return max(ages, key=ages.__getitem__)


def _free(taken: dict[int, float]) -> int:
    return next(number for number in range(len(taken) + 1) if number not in taken)
