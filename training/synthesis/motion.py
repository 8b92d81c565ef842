"""One performance over time: where hands and body are at any moment."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.synthesis.hands import SHAPE_SIZE
from training.synthesis.language import BODY
from training.synthesis.skeleton import Array, about

# One hand pose as one vector: at (3), point (3), palm (3), shape, elbow.
AT, POINT, PALM = slice(0, 3), slice(3, 6), slice(6, 9)
SHAPE, ELBOW = slice(9, 9 + SHAPE_SIZE), 9 + SHAPE_SIZE
POSE_SIZE = ELBOW + 1
FADE_S = 0.12  # motions around a path come in and go out over this long


@dataclass(eq=False)  # two of them are never the same one
class Segment:
    """One drawn phase: from start to end (seconds) through the way points (W, POSE_SIZE)."""

    kind: str
    start: float
    end: float
    points: Array
    arc: Array
    speed: str
    motion: "DrawnMotion | None"
    wander: float
    body: Array


@dataclass
class DrawnMotion:
    """A motion with its numbers drawn. phase: radians at its start."""

    kind: str
    cycles: float
    axis: Array
    move: Array
    across: Array
    angle: float
    depth: float
    phase: float
    sense: float


@dataclass
class Performance:
    """What one person will do. Times are seconds from the start of the clip.

    hand: "L" or "R", the performing one. hands: "one", "both", "alternate" or "none". event: when
    the gesture counts as done, None for background.
    """

    segments: list[Segment]
    hand: str
    hands: str
    event: float | None

    @property
    def start(self) -> float:
        return self.segments[0].start

    @property
    def end(self) -> float:
        return self.segments[-1].end

    def uses(self, side: str) -> bool:
        """Whether a hand ("L" or "R") takes part."""
        return self.hands in ("both", "alternate") or (self.hands == "one" and side == self.hand)

    def stroke(self) -> tuple[float, float] | None:
        """Start of the first stroke and end of the last, in seconds; None without a stroke."""
        strokes = [s for s in self.segments if s.kind == "stroke"]
        return (strokes[0].start, strokes[-1].end) if strokes else None


def hand_at(performance: Performance, times: Array, offset: float = 0.0) -> Array:
    """Pose vectors (T, POSE_SIZE) at times (T,) in seconds. offset: radians by which circling
    motions run ahead (the second of two alternating hands)."""
    segments = performance.segments
    out = np.empty((len(times), POSE_SIZE), np.float32)
    out[:] = segments[0].points[0]
    out[times >= performance.end] = segments[-1].points[-1]
    for segment in segments:
        inside = (times >= segment.start) & (times < segment.end)
        if inside.any():
            out[inside] = _along(segment, times[inside])
    # Motions fade beyond their own phase, so they are added after all paths are known.
    for segment in segments:
        if segment.motion is not None:
            _add_motion(out, segment, times, offset)
    return out


def body_at(performance: Performance, times: Array) -> Array:
    """Body channels (T, len(BODY)) at times (T,): eased from phase to phase."""
    knots, values = [performance.segments[0].start], [np.zeros(len(BODY), np.float32)]
    for segment in performance.segments:
        knots.append(max(segment.end, knots[-1] + 1e-3))
        values.append(segment.body)
    return np.stack(
        [_eased_between(times, knots, [v[k] for v in values]) for k in range(len(BODY))], -1
    ).astype(np.float32)


def _eased_between(times: Array, knots: list[float], values: list[float]) -> NDArray[np.float64]:
    index = np.clip(np.searchsorted(knots, times, side="right") - 1, 0, len(knots) - 2)
    low, high = np.array(knots)[index], np.array(knots)[index + 1]
    s = np.clip((times - low) / (high - low), 0, 1)
    s = s * s * (3 - 2 * s)
    a, b = np.array(values)[index], np.array(values)[index + 1]
    return np.asarray(a + (b - a) * s)


def _ease(s: Array, speed: str) -> Array:
    if speed == "even":
        return s
    if speed == "early":  # a quick start that runs out
        return np.asarray(1 - (1 - s) ** 2.2, np.float32)
    if speed == "late":
        return np.asarray(s**2.2, np.float32)
    return np.asarray(s**3 * (10 - 15 * s + 6 * s**2), np.float32)  # minimum jerk


def _along(segment: Segment, times: Array) -> Array:
    """Catmull-Rom through the way points, plus the arc."""
    s = (times - segment.start) / max(segment.end - segment.start, 1e-6)
    s = _ease(np.clip(s, 0, 1).astype(np.float32), segment.speed)
    p = segment.points
    count = len(p) - 1
    i = np.minimum((s * count).astype(int), count - 1)
    u = (s * count - i)[:, None]
    padded = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    a, b, c, d = (padded[i + k] for k in range(4))
    out = 0.5 * (
        2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * b - a - 3 * c + d) * u**3
    )
    out[:, AT] += np.sin(np.pi * s)[:, None] * segment.arc
    if segment.wander:
        local = times - segment.start
        for k, (rate, shift) in enumerate(((1.1, 0.3), (1.7, 2.0), (0.8, 4.0))):
            out[:, k] += (
                segment.wander * np.sin(2 * np.pi * rate * local + shift) * np.sin(np.pi * s)
            )
    return np.asarray(out, np.float32)


def _add_motion(out: Array, segment: Segment, times: Array, offset: float) -> None:
    motion = segment.motion
    assert motion is not None
    length = segment.end - segment.start
    fade_in = np.clip((times - segment.start) / FADE_S + 0.5, 0, 1)
    fade_out = np.clip((segment.end - times) / FADE_S + 0.5, 0, 1)
    fade = (fade_in * fade_out)[:, None]
    angle = 2 * np.pi * motion.cycles * (times - segment.start) / max(length, 1e-6)
    if motion.kind == "circle":
        _circle(out, motion, angle + motion.phase + offset, fade)
    elif motion.kind == "shake":
        _shake(out, motion, angle + offset, fade)
    else:
        fingers = motion.sense * np.arange(4) * 1.2
        wave = np.sin(angle[:, None] + fingers + motion.phase) * motion.depth * fade
        out[:, 9:13] += wave
        out[:, 13:17] += 0.5 * wave


def _circle(out: Array, motion: DrawnMotion, angle: Array, fade: Array) -> None:
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    out[:, AT] += fade * (c * motion.move + s * motion.across)
    _rotate(out, motion.axis, np.float32(motion.angle) * np.sin(angle + 0.6) * fade[:, 0])


def _shake(out: Array, motion: DrawnMotion, angle: Array, fade: Array) -> None:
    wave = np.sin(angle)
    out[:, AT] += fade * wave[:, None] * motion.move
    _rotate(out, motion.axis, motion.angle * wave * fade[:, 0])


def _rotate(out: Array, axis: Array, angle: Array) -> None:
    # Own axes (out, up, near) are right-handed for the left hand only; a shake has no handedness.
    turn = about(axis, angle)
    out[:, POINT] = np.einsum("tij,tj->ti", turn, out[:, POINT])
    out[:, PALM] = np.einsum("tij,tj->ti", turn, out[:, PALM])
