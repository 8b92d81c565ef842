"""Hand shapes: how far each finger is bent and where the thumb points, as bone rotations."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.synthesis.skeleton import Array, Rotations, Skeleton, frames, unit

FINGERS = (2, 3, 4, 5)  # index, middle, ring, little, as the skeleton numbers them
# Degrees that one unit of knuckle (first joint) and curl (the other two) stands for.
KNUCKLE_DEG, MIDDLE_DEG, TIP_DEG = 88.0, 105.0, 65.0
# Sideways angle of each finger in degrees, towards the thumb: closed hand, and added by spread 1.
CLOSED_DEG = np.array([-4.0, -1.0, 3.0, 8.0], np.float32)
SPREAD_DEG = np.array([18.0, 4.0, -12.0, -27.0], np.float32)
# Directions of the three thumb bones: (along the fingers, to the thumb side, out of the palm).
THUMBS = {
    "side": ((0.78, 0.55, 0.30), (0.95, 0.25, 0.18), (0.98, 0.05, 0.18)),
    "open": ((0.62, 0.74, 0.25), (0.70, 0.70, 0.12), (0.72, 0.68, 0.08)),
    "out": ((0.50, 0.80, 0.25), (0.10, 0.99, 0.08), (-0.14, 0.98, 0.02)),
    "across": ((0.74, 0.42, 0.55), (0.72, -0.28, 0.63), (0.48, -0.76, 0.42)),
    "tucked": ((0.80, 0.42, 0.45), (0.86, -0.10, 0.50), (0.62, -0.60, 0.50)),
    "pinch": ((0.62, 0.38, 0.70), (0.76, 0.05, 0.65), (0.86, -0.06, 0.50)),
}
SHAPE_SIZE = 4 + 4 + 1 + 9


@dataclass(frozen=True)
class HandRest:
    """A hand as the skeleton rests: its axes (3,) and its length wrist to knuckles in metres."""

    forward: Array
    palm: Array
    length: float


def shape_vector(
    knuckle: Array, curl: Array, spread: float, thumb: str | Array
) -> NDArray[np.float32]:
    """One hand shape as SHAPE_SIZE numbers that may be mixed linearly.

    knuckle, curl: (4,) from index to little finger, 0 straight to 1 fully bent (a little below
    0 bends back). spread: 0 closed to 1 wide. thumb: a name of THUMBS or its (3, 3) directions.
    """
    directions = np.array(THUMBS[thumb]) if isinstance(thumb, str) else np.asarray(thumb)
    return np.concatenate([knuckle, curl, [spread], directions.ravel()]).astype(np.float32)


def hand_rest(skeleton: Skeleton, side: str) -> HandRest:
    """Measure the resting hand of a side ("L" or "R")."""
    wrist = skeleton.head(f"wrist.{side}")
    index, little = skeleton.head(f"finger2-1.{side}"), skeleton.head(f"finger5-1.{side}")
    knuckles = (index + little) / 2
    across = little - index if side == "R" else index - little
    forward = unit(knuckles - wrist)
    return HandRest(
        forward, unit(np.cross(forward, across)), float(np.linalg.norm(knuckles - wrist))
    )


def finger_rotations(
    skeleton: Skeleton, side: str, shapes: Array, forward: Array, palm: Array
) -> Rotations:
    """World rotations (T, 3, 3) of every finger bone of one hand.

    shapes: (T, SHAPE_SIZE). forward, palm: (T, 3) unit vectors from wrist to knuckles, and out
    of the palm.
    """
    rest = hand_rest(skeleton, side)
    thumb_side = np.cross(forward, palm) if side == "R" else np.cross(palm, forward)
    axes = np.stack([forward, thumb_side, palm], -1)
    out: Rotations = {}
    for k, finger in enumerate(FINGERS):
        for joint, (along, inward) in enumerate(_finger_directions(shapes, k), start=1):
            name = f"finger{finger}-{joint}.{side}"
            out[name] = _bone_rotation(skeleton, name, rest.palm, axes, along=along, inward=inward)
    directions = unit(shapes[:, 9:].reshape(-1, 3, 3))
    inward = np.broadcast_to(np.array([0, 0, 1], np.float32), directions[:, 0].shape)
    for joint in (1, 2, 3):
        name = f"finger1-{joint}.{side}"
        out[name] = _bone_rotation(
            skeleton, name, rest.palm, axes, along=directions[:, joint - 1], inward=inward
        )
    return out


def _finger_directions(shapes: Array, k: int) -> list[tuple[Array, Array]]:
    """Per joint of finger k: its direction, and the direction it bends to, in hand axes."""
    knuckle, curl, spread = shapes[:, k], shapes[:, 4 + k], shapes[:, 8]
    # A bent finger cannot spread: the fan closes as the knuckle bends.
    side = np.radians(CLOSED_DEG[k] + SPREAD_DEG[k] * spread * np.clip(1 - knuckle, 0, 1))
    straight = np.stack([np.cos(side), np.sin(side), np.zeros_like(side)], -1)
    palm = np.array([0, 0, 1], np.float32)
    out, bend = [], np.zeros_like(knuckle)
    for degrees, share in ((KNUCKLE_DEG, knuckle), (MIDDLE_DEG, curl), (TIP_DEG, curl)):
        bend = bend + np.radians(degrees) * share
        c, s = np.cos(bend)[:, None], np.sin(bend)[:, None]
        out.append((c * straight + s * palm, -s * straight + c * palm))
    return out


def _bone_rotation(
    skeleton: Skeleton, name: str, rest_palm: Array, axes: Array, *, along: Array, inward: Array
) -> Array:
    i = skeleton.index(name)
    rest = frames(skeleton.tails[i] - skeleton.heads[i], rest_palm)
    target = frames(np.einsum("tij,tj->ti", axes, along), np.einsum("tij,tj->ti", axes, inward))
    return np.asarray(target @ rest.T, np.float32)
