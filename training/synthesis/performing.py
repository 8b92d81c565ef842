"""Draws one performance from a style: every range of the gesture file becomes a number."""

import itertools

import numpy as np

from training.synthesis.hands import THUMBS, shape_vector
from training.synthesis.language import BODY, Motion, Phase, Pose, Shape, Style
from training.synthesis.motion import (
    AT,
    ELBOW,
    PALM,
    POINT,
    POSE_SIZE,
    SHAPE,
    DrawnMotion,
    Performance,
    Segment,
)
from training.synthesis.skeleton import Array
from training.synthesis.values import Range, Triple

Rng = np.random.Generator
POSE_NOISE, DIRECTION_NOISE, THUMB_NOISE = 0.02, 0.05, 0.05


def perform(
    style: Style, hand: str, rng: Rng, start: float, home: Array, *, background: bool
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
