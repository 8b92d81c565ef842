"""Ways of performing between two others, or beyond one of them: people follow no list of ways."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from training.synthesis.language import Motion, Phase, Pose, Shape, Style
from training.synthesis.performing import TOUCH
from training.synthesis.skeleton import Array
from training.synthesis.values import Range, Triple

Rng = np.random.Generator
VARIED_SHARE = 0.6  # of training's performances
SHARES = (-0.5, 0.25)  # of the other way; below 0 lies what is beyond a way, seen from the other
LEAST = 0.5  # of a way's own are at least all times, and how far its strokes and motions go
STILL = 0.15  # body units: a stroke of less than this goes nowhere
SMALLEST = 0.3  # of a stroke's size
FEWEST_CYCLES = 0.5  # of a circle, a shake
ALIKE = -0.3  # cosine of two directions: between those that differ more lies something else


def varied(style: Style, styles: list[Style], rng: Rng) -> Style:
    """Sometimes a way between `style` and another one of `styles` with the same course, or beyond
    `style`; else `style` itself.

    Of 400 clips that lie a quarter to a half beyond their ways, a model that had learnt the ways
    alone named 78 %, and 86 % of as many clips of the ways themselves; a network trained on real
    Jester video named 57 and 60 %. So these are gestures still, and such as it did not know.
    """
    if rng.random() >= VARIED_SHARE:
        return style
    share = float(rng.uniform(*SHARES))
    order = (styles[place] for place in rng.permutation(len(styles)))
    return next((way for other in order if (way := mixed(style, other, share))), style)


def mixed(one: Style, other: Style, share: float) -> Style | None:
    """The way that lies `share` of the way from `one` to `other`: places, directions, times, and
    fingers. Below 0 it lies beyond `one`, with the fingers of `one`.

    None where their phases do not correspond (but for holds, which may be missing in one of them),
    where a hand points elsewhere, and where a stroke would become another one, or next to none.
    """
    if one is other or (one.hands, one.prop, one.repeat) != (other.hands, other.prop, other.repeat):
        return None
    pairs = _paired(one.phases, other.phases)
    if pairs is None or not all(_alike(a, b) for a, b in pairs):
        return None
    way = replace(
        one, name=f"{one.name} {'+' if share >= 0 else '-'} {other.name}",
        event=min(max(_mean(one.event, other.event, share), 0.0), 1.0),
        size=_range(one.size, other.size, share, least=SMALLEST),
        phases=tuple(_phase(a, b, share) for a, b in pairs))
    return way if _goes_on([a for a, _ in pairs], way.phases) else None


def _goes_on(own: Sequence[Phase], new: Sequence[Phase]) -> bool:
    """Whether strokes and motions go where the own ones go, and at least half as far."""
    pairs = [(p, q) for p, q in zip(_paths(own), _paths(new), strict=True)
             if np.linalg.norm(p) > STILL]
    for a, b in zip(own, new, strict=True):
        if a.motion and b.motion:
            pairs += [(_middle(a.motion.move), _middle(b.motion.move)),
                      (_middle(a.motion.move_across), _middle(b.motion.move_across)),
                      (_middle((a.motion.degrees,)), _middle((b.motion.degrees,)))]
    return all(p @ q >= LEAST * (p @ p) and _cosine(p, q) >= LEAST for p, q in pairs if p.any())


def _paths(phases: Sequence[Phase]) -> list[Array]:
    """Each leg of a stroke, from place to place (3,)."""
    legs: list[Array] = []
    here: Array | None = None
    for phase in phases:
        for pose in (*phase.through, *((phase.to,) if phase.to else ())):
            there = _middle(pose.at)
            if here is not None and phase.kind in ("stroke", "return"):
                legs.append(there - here)
            here = there
    return legs


def _middle(ranges: Sequence[Range]) -> Array:
    return np.asarray(np.mean(ranges, 1), np.float32)


def _paired(one: tuple[Phase, ...], other: tuple[Phase, ...]) -> list[tuple[Phase, Phase]] | None:
    """Phases that correspond. A plain hold that only one of them has is one of no time in the
    other."""
    pairs: list[tuple[Phase, Phase]] = []
    left, right = list(one), list(other)
    while left or right:
        a, b = (rest[0] if rest else None for rest in (left, right))
        if a and b and a.kind == b.kind:
            pairs.append((left.pop(0), right.pop(0)))
        elif a and _plain_hold(a):
            pairs.append((a, replace(left.pop(0), time=(0.0, 0.0))))
        elif b and _plain_hold(b):
            pairs.append((replace(b, time=(0.0, 0.0)), right.pop(0)))
        else:
            return None
    return pairs


def _plain_hold(phase: Phase) -> bool:
    return phase.kind == "hold" and not (phase.to or phase.motion or phase.body)


def _alike(a: Phase, b: Phase) -> bool:
    if (a.to is None) != (b.to is None) or len(a.through) != len(b.through):
        return False
    if (a.motion and a.motion.kind) != (b.motion and b.motion.kind):
        return False
    poses = [*zip(a.through, b.through, strict=True)]
    if a.to and b.to:
        poses.append((a.to, b.to))
    directions = [(_middle(d), _middle(e)) for p, q in poses
                  for d, e in ((p.point, q.point), (p.palm, q.palm))]
    if a.motion and b.motion:
        directions.append((_middle(a.motion.axis), _middle(b.motion.axis)))
    return all(_cosine(p, q) > ALIKE for p, q in directions)


def _cosine(p: Array, q: Array) -> float:
    return float(p @ q / max(float(np.linalg.norm(p) * np.linalg.norm(q)), 1e-9))


def _phase(a: Phase, b: Phase, share: float) -> Phase:
    arcs = [phase.arc or ((0.0, 0.0),) * 3 for phase in (a, b)]
    return replace(
        a, time=_range(a.time, b.time, share,
                       least=0.0 if a.kind == "hold" else LEAST * a.time[0]),
        to=_pose(a.to, b.to, share) if a.to and b.to else a.to,
        through=tuple(_pose(p, q, share) for p, q in zip(a.through, b.through, strict=True)),
        arc=_triple(arcs[0], arcs[1], share) if a.arc or b.arc else None,
        motion=_motion(a.motion, b.motion, share) if a.motion and b.motion else a.motion)


def _pose(a: Pose, b: Pose, share: float) -> Pose:
    """A hand that touches the body stays there."""
    if np.mean(a.at[2]) < TOUCH:
        return a
    return Pose(_triple(a.at, b.at, share), _triple(_unit(a.point), _unit(b.point), share),
                _triple(_unit(a.palm), _unit(b.palm), share),
                _shape(a.shape, b.shape, max(share, 0.0)),
                _range(a.elbow, b.elbow, share, least=0.0, most=1.0))


def _unit(direction: Triple) -> Triple:
    """Of any length they mean the same, but not when they are mixed."""
    length = max(float(np.linalg.norm(np.mean(direction, 1))), 1e-6)
    x, y, z = ((low / length, high / length) for low, high in direction)
    return x, y, z


def _shape(a: Shape, b: Shape, share: float) -> Shape:
    """The thumb is `a`'s."""
    knuckle, curl = (tuple(_range(p, q, share) for p, q in zip(*pair, strict=True))
                     for pair in ((a.knuckle, b.knuckle), (a.curl, b.curl)))
    return Shape(knuckle, curl, _range(a.spread, b.spread, share), a.thumb)


def _motion(a: Motion, b: Motion, share: float) -> Motion:
    return Motion(
        a.kind, _range(a.cycles, b.cycles, share, least=FEWEST_CYCLES),
        _triple(a.axis, b.axis, share), _triple(a.move, b.move, share),
        _triple(a.move_across, b.move_across, share), _range(a.degrees, b.degrees, share),
        _range(a.depth, b.depth, share, least=0.0))


def _triple(a: Triple, b: Triple, share: float) -> Triple:
    x, y, z = (_range(p, q, share) for p, q in zip(a, b, strict=True))
    return x, y, z


def _range(a: Range, b: Range, share: float, *, least: float = -np.inf, most: float = np.inf
           ) -> Range:
    """Beyond a narrow range, seen from a wide one, lies the middle of it."""
    low, high = (min(max(_mean(p, q, share), least), most) for p, q in zip(a, b, strict=True))
    return (low, high) if low <= high else ((low + high) / 2,) * 2


def _mean(a: float, b: float, share: float) -> float:
    return (1 - share) * a + share * b
