"""Draws one performance from a style: every range of the gesture file becomes a number."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

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
from training.synthesis.skeleton import Array, about
from training.synthesis.values import Range, Triple

Rng = np.random.Generator
POSE_NOISE, DIRECTION_NOISE, THUMB_NOISE = 0.02, 0.05, 0.05
# All poses of a performance lie alike in their ranges, but for this share: who opens a hand high on
# the left has closed it there, too.
OWN_PLACE = 0.2
# Standard deviations of a habit: of the place in body units (out, up, near), of the turn in
# radians, of a path's bend in body units; and the share of performances with a rhythm of their own.
HABIT_SHIFT, HABIT_TURN, HABIT_BEND, HABIT_RHYTHM = (0.07, 0.07, 0.03), 0.18, 0.04, 0.35
# Some are far from what a style says: their share, and the same deviations for them.
WIDE_SHARE, WIDE_SHIFT, WIDE_TURN, WIDE_BEND = 0.35, (0.4, 0.3, 0.07), 0.3, 0.09
# How far fingers are from what a style says, on the way to a hand at ease, and each by itself; and
# how large the strokes are (the logarithm). The second number is for those who are far.
LOOSE, LOOSEST, EASE, OWN_BEND, REACH = (0.08, 0.2), 0.4, 0.22, (0.03, 0.06), (0.1, 0.25)
# A finger that is bent further belongs to a fist, and loosens less by this share.
FIRM, FIRMNESS = 0.85, 0.6
SHORTEST, LONGEST = 0.55, 1.8  # reach
# Some keep the hand still before and after the stroke: their share, and seconds longer a hold.
HABIT_PAUSE, PAUSE_S = 0.25, (0.2, 1.0)
RHYTHMS = ("even", "early", "late")
BENDS = slice(SHAPE.start, SHAPE.start + 8)  # of the fingers, in a pose
STRAIGHT = -0.08  # fingers bend back no further, unless a style says so
TOUCH, FREE = 0.4, 0.6  # from here to there in front of the body a hand touches it ever less


@dataclass(frozen=True)
class Habit:
    """How somebody performs this once, beyond what the style says, the same in every pose.

    shift: body units (3,). turn: rotation (3, 3) of the hand. bend: of every stroke's path, body
    units (3,). rhythm: of every stroke, "" for what the style says. pause: how much longer every
    hold of a gesture takes, seconds. loose: share of the way from the style's fingers to those of
    a hand at ease. fingers: how much more each is bent, (8,): knuckles, then the other joints.
    reach: factor of the strokes' size.
    """

    shift: Array
    turn: Array
    bend: Array
    rhythm: str
    pause: float
    loose: float
    fingers: Array
    reach: float

    def pose(self, pose: Array) -> Array:
        """A pose vector as this person strikes it. A hand that touches the body stays there."""
        free = float(np.clip((pose[AT][2] - TOUCH) / (FREE - TOUCH), 0, 1))
        out = pose.copy()
        out[AT] += free * self.shift
        for part in (POINT, PALM):
            out[part] += free * (self.turn @ pose[part] - pose[part])
        loose = self.loose * np.where(pose[BENDS] > FIRM, 1 - FIRMNESS, 1)
        bent = pose[BENDS] + free * (loose * (EASE - pose[BENDS]) + self.fingers)
        out[BENDS] = np.clip(bent, np.minimum(pose[BENDS], STRAIGHT), np.maximum(pose[BENDS], 1))
        return out


def draw_habit(rng: Rng) -> Habit:
    wide = bool(rng.random() < WIDE_SHARE)
    turn = about(rng.normal(0, 1, 3), rng.normal(0, WIDE_TURN if wide else HABIT_TURN))
    rhythm = RHYTHMS[int(rng.integers(0, len(RHYTHMS)))] if rng.random() < HABIT_RHYTHM else ""
    shift = rng.normal(0, 1, 3) * (WIDE_SHIFT if wide else HABIT_SHIFT)
    bend = rng.normal(0, WIDE_BEND if wide else HABIT_BEND, 3)
    pause = rng.uniform(*PAUSE_S) if rng.random() < HABIT_PAUSE else 0.0
    loose = min(abs(rng.normal(0, LOOSE[wide])), LOOSEST)
    fingers = rng.normal(0, OWN_BEND[wide], 8).astype(np.float32)
    reach = float(np.clip(np.exp(rng.normal(0, REACH[wide])), SHORTEST, LONGEST))
    return Habit(shift.astype(np.float32), turn, bend.astype(np.float32), rhythm, pause, loose,
                 fingers, reach)


def perform(
    style: Style, hand: str, rng: Rng, start: float, home: Array, *, background: bool
) -> Performance:
    """Draw one performance that begins at a time (seconds) from a resting hand (POSE_SIZE,)."""
    phases = _repeated(style, rng)
    habit = draw_habit(rng)
    size = rng.uniform(*style.size) * habit.reach
    if style.hands in ("both", "alternate"):  # hands that meet do so, whatever the habit
        habit = replace(habit, shift=habit.shift * np.array([0, 1, 1], np.float32))
    here = home
    body = np.zeros(len(BODY), np.float32)
    place = rng.random(3)
    segments: list[Segment] = []
    for phase in phases:
        seconds = rng.uniform(*phase.time)
        if phase.kind == "hold" and not background:
            seconds += habit.pause
        target = _target(phase, here, home, habit, rng, place=place)
        through = [habit.pose(draw_pose(pose, rng, place)) for pose in phase.through]
        body = _body(phase, body, rng)
        points = np.stack([here, *through, target])
        arc = np.array([rng.uniform(*r) for r in phase.arc or ((0, 0),) * 3], np.float32)
        stroke = phase.kind == "stroke"
        motion = _draw_motion(phase.motion, rng) if phase.motion else None
        segments.append(
            Segment(
                phase.kind,
                start,
                start + seconds,
                points,
                arc + habit.bend if stroke else arc,
                (stroke and habit.rhythm) or phase.speed,
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


def draw_pose(pose: Pose, rng: Rng, place: NDArray[np.float64] | None = None) -> Array:
    """One pose vector (POSE_SIZE,) with every range drawn and a little noise on top.

    place: where in the ranges of `at` this performance lies, three shares from 0 to 1.
    """
    out = np.zeros(POSE_SIZE, np.float32)
    out[AT] = _placed(pose.at, place, rng) + rng.normal(0, POSE_NOISE, 3)
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


def _target(
    phase: Phase, here: Array, home: Array, habit: Habit, rng: Rng, *, place: NDArray[np.float64]
) -> Array:
    if phase.to is not None:
        return habit.pose(draw_pose(phase.to, rng, place))
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


def _placed(triple: Triple, place: NDArray[np.float64] | None, rng: Rng) -> Array:
    if place is None:
        return _draw(triple, rng)
    low, high = np.array(triple).T
    share = (1 - OWN_PLACE) * place + OWN_PLACE * rng.random(3)
    return np.asarray(low + (high - low) * share, np.float32)


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
