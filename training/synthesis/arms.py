"""Arms that reach: where the palm goes, shoulder and elbow follow (two-bone inverse kinematics)."""

from dataclasses import dataclass

import numpy as np

from training.synthesis.hands import finger_rotations, hand_rest
from training.synthesis.skeleton import (
    Array,
    Rotations,
    Skeleton,
    about,
    aligning,
    frames,
    twist_between,
    unit,
)

MAX_STRETCH = 0.985  # of the arm's length: a locked elbow looks like a puppet
PALM_CENTRE = 0.75  # of the way from the wrist to the knuckles
UPPER_TWIST, FORE_TWIST = 0.45, 0.6  # share of a twist that the first of two arm bones takes


@dataclass(frozen=True)
class HandTrack:
    """One hand over T frames, in the room: palm centre (T, 3) in metres, unit directions
    forward (wrist to knuckles) and palm (out of it), shapes (T, SHAPE_SIZE), and elbow (T,),
    0 hanging down to 1 lifted out to the side."""

    centre: Array
    forward: Array
    palm: Array
    shapes: Array
    elbow: Array


def arm_length(skeleton: Skeleton, side: str) -> float:
    """Shoulder to wrist in metres."""
    shoulder, elbow, wrist = _joints(skeleton, side)
    return float(np.linalg.norm(elbow - shoulder) + np.linalg.norm(wrist - elbow))


def arm_rotations(skeleton: Skeleton, side: str, shoulder: Array, track: HandTrack) -> Rotations:
    """World rotations (T, 3, 3) of all bones from upper arm to finger tips.

    shoulder: (T, 3) where the posed shoulder joint is. A palm out of reach is approached.
    """
    rest_shoulder, rest_elbow, rest_wrist = _joints(skeleton, side)
    upper, fore = rest_elbow - rest_shoulder, rest_wrist - rest_elbow
    a, b = float(np.linalg.norm(upper)), float(np.linalg.norm(fore))
    rest = hand_rest(skeleton, side)
    target = track.centre - track.forward * rest.length * PALM_CENTRE - shoulder
    distance = np.linalg.norm(target, axis=-1, keepdims=True)
    reach = np.clip(distance, 0.25 * (a + b), (a + b) * MAX_STRETCH)
    towards = unit(target)
    pole = _pole(towards, track.elbow, side)
    cosine = np.clip((a * a + reach**2 - b * b) / (2 * a * reach), -1, 1)
    upper_to = cosine * towards + np.sqrt(1 - cosine**2) * pole
    fore_to = unit(towards * reach - a * upper_to)
    # The elbow is a hinge: both bones keep the normal of the plane they bend in.
    hinge = np.cross(upper_to, fore_to)
    rest_hinge = np.cross(upper, fore)
    full_upper = frames(upper_to, hinge) @ frames(upper, rest_hinge).T
    full_fore = frames(fore_to, hinge) @ frames(fore, rest_hinge).T
    hand = frames(track.forward, track.palm) @ frames(rest.forward, rest.palm).T
    out = {
        f"upperarm01.{side}": _half_twisted(upper, upper_to, full_upper, UPPER_TWIST),
        f"upperarm02.{side}": full_upper,
        f"lowerarm01.{side}": full_fore,
        f"lowerarm02.{side}": _towards_hand(full_fore, fore_to, hand, rest.palm),
        f"wrist.{side}": np.asarray(hand, np.float32),
    }
    out.update(finger_rotations(skeleton, side, track.shapes, track.forward, track.palm))
    return out


def _joints(skeleton: Skeleton, side: str) -> tuple[Array, Array, Array]:
    return (
        skeleton.head(f"upperarm01.{side}"),
        skeleton.head(f"lowerarm01.{side}"),
        skeleton.head(f"wrist.{side}"),
    )


def _pole(towards: Array, elbow: Array, side: str) -> Array:
    """Where the elbow points, perpendicular to the line shoulder to wrist."""
    out = -1.0 if side == "R" else 1.0
    angle = np.asarray(elbow, np.float32) * np.pi / 2
    hint = np.stack(
        [out * (0.35 + 0.65 * np.sin(angle)), np.full_like(angle, 0.22), -np.cos(angle)], -1
    )
    hint = hint - towards * np.sum(hint * towards, -1, keepdims=True)
    return unit(hint)


def _half_twisted(rest: Array, to: Array, full: Array, share: float) -> Array:
    """The swing of a bone with only a share of the twist of its full rotation."""
    swing = aligning(np.broadcast_to(rest, to.shape), to)
    side = np.cross(rest, np.array([0, 1, 0], np.float32))
    twist = twist_between(swing @ side, full @ side, to)
    return about(to, share * twist) @ swing


def _towards_hand(fore: Array, axis: Array, hand: Array, palm: Array) -> Array:
    """The forearm's second bone: turned with the hand about the forearm's own axis."""
    twist = twist_between(fore @ palm, hand @ palm, axis)
    return about(axis, FORE_TWIST * twist) @ fore
