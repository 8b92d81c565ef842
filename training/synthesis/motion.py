"""One performance of a gesture: numbers drawn from the style's ranges, then hands over time."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.synthesis.hands import SHAPE_SIZE, THUMBS, shape_vector
from training.synthesis.language import BODY, Motion, Phase, Pose, Range, Shape, Style, Triple
from training.synthesis.skeleton import Array, about

Rng = np.random.Generator
# One hand pose as one vector: at (3), point (3), palm (3), shape, elbow.
AT, POINT, PALM = slice(0, 3), slice(3, 6), slice(6, 9)
SHAPE, ELBOW = slice(9, 9 + SHAPE_SIZE), 9 + SHAPE_SIZE
POSE_SIZE = ELBOW + 1
FADE_S = 0.12  # motions around a path come in and go out over this long
POSE_NOISE, DIRECTION_NOISE, THUMB_NOISE = 0.02, 0.05, 0.05


@dataclass
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


def perform(
    style: Style, hand: str, rng: Rng, start: float, home: Array, background: bool
) -> Performance:
    """Draw one performance that begins at a time (seconds) from a resting hand (POSE_SIZE,)."""
    phases = _repeated(style, rng)
    size = rng.uniform(*style.size)
    here = home
    body = np.zeros(len(BODY), np.float32)
    segments: list[Segment] = []
    for phase in phases:
        seconds = rng.uniform(*phase.time)
        target = _target(phase, here, home, rng)
        through = [draw_pose(pose, rng) for pose in phase.through]
        body = _body(phase, body, rng)
        points = np.stack([here, *through, target])
        arc = np.array([rng.uniform(*r) for r in phase.arc or ((0, 0),) * 3], np.float32)
        motion = _draw_motion(phase.motion, rng) if phase.motion else None
        segments.append(
            Segment(
                phase.kind,
                start,
                start + seconds,
                points,
                arc,
                phase.speed,
                motion,
                phase.wander,
                body,
            )
        )
        start, here = start + seconds, target
    _scale(segments, size)
    event = None
    strokes = [s for s in segments if s.kind == "stroke"]
    if strokes and not background:
        event = strokes[0].start + style.event * (strokes[0].end - strokes[0].start)
    return Performance(segments, hand, style.hands, event)


def draw_pose(pose: Pose, rng: Rng) -> Array:
    """One pose vector (POSE_SIZE,) with every range drawn and a little noise on top."""
    out = np.zeros(POSE_SIZE, np.float32)
    out[AT] = _draw(pose.at, rng) + rng.normal(0, POSE_NOISE, 3)
    out[POINT] = _direction(pose.point, rng)
    out[PALM] = _direction(pose.palm, rng)
    out[SHAPE] = _draw_shape(pose.shape, rng)
    out[ELBOW] = rng.uniform(*pose.elbow)
    return out


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


def _repeated(style: Style, rng: Rng) -> list[Phase]:
    """The phases with the block from the first stroke to the last return or stroke repeated."""
    times = int(rng.integers(style.repeat[0], style.repeat[1] + 1))
    active = [i for i, p in enumerate(style.phases) if p.kind in ("stroke", "return")]
    if times == 1 or not active:
        # A lone stroke needs no way back to its start.
        last = active[-1] if active else -1
        drop = last if active and style.phases[last].kind == "return" and times == 1 else -1
        return [p for i, p in enumerate(style.phases) if i != drop]
    first, last = active[0], active[-1] + 1
    block = list(style.phases[first:last])
    middle = block * times
    if middle[-1].kind == "return":
        middle.pop()
    return [*style.phases[:first], *middle, *style.phases[last:]]


def _target(phase: Phase, here: Array, home: Array, rng: Rng) -> Array:
    if phase.to is not None:
        return draw_pose(phase.to, rng)
    if phase.kind in ("retract", "rest"):
        return home
    drift = here.copy()
    drift[AT] += rng.normal(0, 0.02, 3)
    drift[POINT] += rng.normal(0, 0.04, 3)
    return drift


def _body(phase: Phase, before: Array, rng: Rng) -> Array:
    after = before.copy() if phase.kind not in ("retract", "rest") else np.zeros_like(before)
    for key, values in phase.body.items():
        after[BODY.index(key)] = rng.uniform(*values)
    return after


def _draw(triple: Triple, rng: Rng) -> Array:
    return np.array([rng.uniform(*r) for r in triple], np.float32)


def _direction(triple: Triple, rng: Rng) -> Array:
    raw = _draw(triple, rng)
    raw = raw / max(float(np.linalg.norm(raw)), 1e-6)
    return np.asarray(raw + rng.normal(0, DIRECTION_NOISE, 3), np.float32)


def _draw_shape(shape: Shape, rng: Rng) -> Array:
    # Fingers of one hand bend together: one draw for all, and a little of their own.
    common = rng.random()
    knuckle = np.array([_mixed(r, common, rng) for r in shape.knuckle])
    curl = np.array([_mixed(r, common, rng) for r in shape.curl])
    thumb = np.array(THUMBS[shape.thumb]) + rng.normal(0, THUMB_NOISE, (3, 3))
    return shape_vector(knuckle, curl, rng.uniform(*shape.spread), thumb.astype(np.float32))


def _mixed(values: Range, common: float, rng: Rng) -> float:
    low, high = values
    return low + (high - low) * (0.65 * common + 0.35 * float(rng.random()))


def _draw_motion(motion: Motion, rng: Rng) -> DrawnMotion:
    return DrawnMotion(
        motion.kind,
        rng.uniform(*motion.cycles),
        _draw(motion.axis, rng),
        _draw(motion.move, rng),
        _draw(motion.move_across, rng),
        np.radians(rng.uniform(*motion.degrees)),
        rng.uniform(*motion.depth),
        rng.uniform(0, 2 * np.pi),
        1.0 if rng.random() < 0.5 else -1.0,
    )


def _scale(segments: list[Segment], size: float) -> None:
    """Scale the path of all strokes about its own middle: people draw large or small."""
    moving = [s for s in segments if s.kind in ("stroke", "return")]
    if not moving:
        return
    centre = np.concatenate([s.points[:, AT] for s in moving]).mean(0)
    for segment in segments:
        segment.points = segment.points.copy()
        if segment in moving:
            segment.points[:, AT] = centre + (segment.points[:, AT] - centre) * size
    for before, after in itertools.pairwise(segments):
        if after in moving and before not in moving:
            before.points[-1] = after.points[0]
        elif before in moving and after not in moving:
            after.points[0] = before.points[-1]
            if after.kind == "hold":
                after.points[-1, AT] = before.points[-1, AT]


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
