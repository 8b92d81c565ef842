"""A cast of jointed boxes: all of rendering runs without the body generator and the assets."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rest_skeleton import rest_skeleton

from training.synthesis.bake import baked_path
from training.synthesis.cast import Person
from training.synthesis.skeleton import frames

THICK_M = {"root": 0.14, "spine03": 0.17, "neck01": 0.05, "head": 0.08}  # half of a box's width
LIMB_M = {"upperarm": 0.04, "lowerarm": 0.035, "wrist": 0.04, "metacarpal": 0.02}
FINGER_M = 0.011
SKIN, CLOTH = 0, 1  # layers of the textures
FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def bake_toy_people(cache: Path, wanted: Sequence[Person]) -> None:
    """Baked files of the same boxes for everyone, where Studio looks for them."""
    first, *others = (baked_path(cache, person) for person in wanted)
    first.parent.mkdir(parents=True, exist_ok=True)
    skeleton = rest_skeleton()
    parts = [_box(skeleton.heads[i], skeleton.tails[i], _thickness(name))
             for i, name in enumerate(skeleton.names)]
    points = np.concatenate([corners for corners, _ in parts])
    textures = np.full((6, 8, 8, 4), 255, np.uint8)
    textures[SKIN, ..., :3], textures[CLOTH, ..., :3] = (205, 150, 120), (60, 80, 140)
    bones = np.zeros((len(points), 4), np.uint8)
    bones[:, 0] = np.repeat(np.arange(len(parts)), 8)
    cloth = np.array([name.startswith(("root", "spine", "clavicle", "upperarm", "lowerarm"))
                      for name in skeleton.names])
    quads = np.concatenate([np.array(FACES) + 8 * i for i in range(len(parts))])
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    np.savez(
        first, points=points.astype(np.float32),
        normals=np.concatenate([normals for _, normals in parts]).astype(np.float32),
        uv=np.full((len(points), 2), 0.5, np.float32),
        layer=np.where(np.repeat(cloth, 8), CLOTH, SKIN).astype(np.float32), bones=bones,
        weights=np.tile(np.float32([1, 0, 0, 0]), (len(points), 1)),
        triangles=np.concatenate([triangles, triangles[:, ::-1]]).astype(np.int32),
        textures=textures, bone_names=np.array(skeleton.names), parents=skeleton.parents,
        heads=skeleton.heads, tails=skeleton.tails)
    for path in others:
        os.link(first, path)


def _thickness(name: str) -> float:
    known = {**THICK_M, **LIMB_M}
    return next((known[start] for start in known if name.startswith(start)), FINGER_M)


def _box(start: np.ndarray, end: np.ndarray, thick: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners and normals, both (8, 3), of a box around a bone."""
    axes = frames(end - start, np.float32([0.3, 0.5, 0.8]))
    half = np.array([np.linalg.norm(end - start) / 2, thick, thick])
    offsets = np.array(list(itertools.product((-1, 1), repeat=3))) * half @ axes.T
    return (start + end) / 2 + offsets, offsets / np.linalg.norm(offsets, axis=1, keepdims=True)
