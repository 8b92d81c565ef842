"""A skeleton at rest, and its forward kinematics over a whole clip at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Rotations = dict[str, Array]


@dataclass(frozen=True)
class Skeleton:
    """Bones at rest, in metres: x to the person's left, y backwards, z up.

    names: B bone names, parents before children. parents: (B,), -1 for the root.
    heads, tails: (B, 3), the two ends of each bone.
    """

    names: tuple[str, ...]
    parents: NDArray[np.int64]
    heads: Array
    tails: Array

    def index(self, name: str) -> int:
        return self.names.index(name)

    def head(self, name: str) -> Array:
        return np.asarray(self.heads[self.index(name)])

    def direction(self, start: str, end: str) -> Array:
        """Unit vector (3,) between the heads of two bones."""
        return unit(self.head(end) - self.head(start))


def unit(vectors: Array) -> Array:
    """Vectors (..., 3) scaled to length 1."""
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norm, 1e-9), np.float32)


def frames(primary: Array, secondary: Array) -> Array:
    """Rotation matrices (..., 3, 3): column 0 the primary axis, column 1 the part of the
    secondary one that is perpendicular to it."""
    a = unit(primary)
    b = unit(secondary - a * np.sum(secondary * a, -1, keepdims=True))
    return np.stack([a, b, np.cross(a, b)], -1)


def about(axis: Array, angle: Array | float) -> Array:
    """Rotation matrices (..., 3, 3) by angles (...) in radians about axes (..., 3)."""
    a, angle = unit(np.asarray(axis, np.float32)), np.asarray(angle, np.float32)
    shape = np.broadcast_shapes(a.shape[:-1], angle.shape)
    a, angle = np.broadcast_to(a, (*shape, 3)), np.broadcast_to(angle, shape)
    cross = np.zeros((*shape, 3, 3), np.float32)
    cross[..., 0, 1], cross[..., 0, 2] = -a[..., 2], a[..., 1]
    cross[..., 1, 0], cross[..., 1, 2] = a[..., 2], -a[..., 0]
    cross[..., 2, 0], cross[..., 2, 1] = -a[..., 1], a[..., 0]
    s, c = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]
    return np.asarray(np.eye(3, dtype=np.float32) + s * cross + (1 - c) * cross @ cross, np.float32)


def aligning(start: Array, end: Array) -> Array:
    """The smallest rotations (..., 3, 3) that take the directions start (..., 3) to end."""
    a, b = unit(start), unit(end)
    axis = np.cross(a, b)
    angle = np.arctan2(np.linalg.norm(axis, axis=-1), np.sum(a * b, -1))
    return about(axis, angle)


def twist_between(first: Array, second: Array, axis: Array) -> Array:
    """Signed angles (...) in radians about the axes that turn directions first into second."""
    a = unit(first - axis * np.sum(first * axis, -1, keepdims=True))
    b = unit(second - axis * np.sum(second * axis, -1, keepdims=True))
    return np.asarray(np.arctan2(np.sum(axis * np.cross(a, b), -1), np.sum(a * b, -1)), np.float32)


def pose(skeleton: Skeleton, local: Rotations, world: Rotations, root: Array) -> Array:
    """Bone matrices (T, B, 3, 4) that carry rest points to posed ones.

    local: rotations (T, 3, 3) relative to the parent bone. world: rotations (T, 3, 3) in the
    room, whatever the parent does. A bone in neither follows its parent. root: (T, 3) shift in
    metres of the whole person.
    """
    steps = len(root)
    out = np.zeros((steps, len(skeleton.names), 3, 4), np.float32)
    for i, name in enumerate(skeleton.names):
        parent = skeleton.parents[i]
        if parent >= 0:
            rotation, shift = out[:, parent, :, :3], out[:, parent, :, 3]
        else:
            rotation = np.broadcast_to(np.eye(3, dtype=np.float32), (steps, 3, 3))
            shift = root
        if name not in local and name not in world:
            out[:, i, :, :3], out[:, i, :, 3] = rotation, shift
            continue
        own = world[name] if name in world else rotation @ local[name]
        head = skeleton.heads[i]
        out[:, i, :, :3] = own
        out[:, i, :, 3] = rotation @ head + shift - own @ head
    return out
