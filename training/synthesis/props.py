"""Things in a hand: a cup and a telephone, simple bodies bound to the wrist."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.synthesis.figure import Figure
from training.synthesis.hands import hand_rest
from training.synthesis.skeleton import Array

PROP_LAYER = 6  # texture layer after those of the baked person: plain white, tinted by the light
PHONE_M = (0.15, 0.072, 0.009)
CUP_RADIUS_M, CUP_HEIGHT_M, CUP_SIDES = 0.038, 0.1, 16
# Where the middle of the thing is from the wrist: along the fingers, and out of the palm.
PLACES = {"phone": (0.10, 0.022), "cup": (0.075, 0.047)}


def holding(figure: Figure, prop: str, side: str) -> Figure:
    """The figure with a "cup" or "phone" in its left or right hand ("L", "R")."""
    rest = hand_rest(figure.skeleton, side)
    across = np.cross(rest.forward, rest.palm)
    along, out = PLACES[prop]
    middle = figure.skeleton.head(f"wrist.{side}") + along * rest.forward + out * rest.palm
    points, normals, triangles = _box() if prop == "phone" else _cylinder()
    axes = np.stack([rest.forward, across, rest.palm], 1)
    if prop == "cup":  # a cup stands across the hand
        axes = np.stack([rest.palm, rest.forward, across], 1)
    count = len(points)
    bones = np.zeros((count, 4), np.uint8)
    bones[:, 0] = figure.skeleton.index(f"wrist.{side}")
    weights = np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1))
    return replace(
        figure,
        points=_stack(figure.points, middle + points @ axes.T),
        normals=_stack(figure.normals, normals @ axes.T),
        uv=_stack(figure.uv, np.full((count, 2), 0.5)),
        layer=np.concatenate([figure.layer, np.full(count, PROP_LAYER, np.float32)]),
        bones=np.concatenate([figure.bones, bones]),
        weights=_stack(figure.weights, weights),
        triangles=np.concatenate([figure.triangles, triangles + len(figure.points)]).astype(
            np.int32
        ),
    )


def _stack(first: Array, second: NDArray[np.floating]) -> Array:
    return np.concatenate([first, second.astype(np.float32)])


def _box() -> tuple[Array, Array, NDArray[np.int32]]:
    """Six faces with their own corners, so that the edges stay sharp."""
    points: list[NDArray[np.float64]] = []
    normals: list[NDArray[np.float64]] = []
    triangles: list[tuple[int, int, int]] = []
    half = np.array(PHONE_M) / 2
    for axis in range(3):
        for sign in (-1.0, 1.0):
            normal = np.zeros(3)
            normal[axis] = sign
            u, v = np.roll(np.eye(3), -axis - 1, axis=0)[:2]
            start = len(points)
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                points.append((normal + a * u + b * v) * half)
                normals.append(normal)
            triangles += [(start, start + 1, start + 2), (start, start + 2, start + 3)]
    return _both_ways(points, normals, triangles)


def _cylinder() -> tuple[Array, Array, NDArray[np.int32]]:
    points: list[NDArray[np.float64]] = []
    normals: list[NDArray[np.float64]] = []
    triangles: list[tuple[int, int, int]] = []
    for i in range(CUP_SIDES):
        angle = 2 * np.pi * i / CUP_SIDES
        ring = np.array([np.cos(angle), np.sin(angle), 0])
        for end in (-0.5, 0.5):
            points.append(ring * CUP_RADIUS_M + np.array([0, 0, end * CUP_HEIGHT_M]))
            normals.append(ring)
        a, b = 2 * i, 2 * ((i + 1) % CUP_SIDES)
        triangles += [(a, b, b + 1), (a, b + 1, a + 1)]
    return _both_ways(points, normals, triangles)


def _both_ways(
    points: list[NDArray[np.float64]],
    normals: list[NDArray[np.float64]],
    triangles: list[tuple[int, int, int]],
) -> tuple[Array, Array, NDArray[np.int32]]:
    """Every triangle also with its corners turned: open shells are seen from both sides."""
    turned = [(a, c, b) for a, b, c in triangles]
    return (
        np.array(points, np.float32),
        np.array(normals, np.float32),
        np.array(triangles + turned, np.int32),
    )
