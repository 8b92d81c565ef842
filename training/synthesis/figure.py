"""A baked person in memory."""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.synthesis.assets import SynthesisError
from training.synthesis.skeleton import Array, Skeleton

UV_CELL = 0.03  # share of the texture within which points may be merged


@dataclass(frozen=True)
class Figure:
    """Mesh, skeleton and textures of one person.

    points, normals: (V, 3). uv: (V, 2). layer: (V,) index into textures. bones: (V, 4) uint8.
    weights: (V, 4). triangles: (F, 3). textures: (L, SIDE, SIDE, 4) RGBA uint8.
    """

    points: Array
    normals: Array
    uv: Array
    layer: Array
    bones: NDArray[np.uint8]
    weights: Array
    triangles: NDArray[np.int32]
    textures: NDArray[np.uint8]
    skeleton: Skeleton


def load_figure(path: Path) -> Figure:
    """Read a baked file.

    Raises SynthesisError when it is missing or broken.
    """
    try:
        with np.load(path) as data:
            skeleton = Skeleton(
                tuple(str(n) for n in data["bone_names"]),
                data["parents"].astype(np.int64),
                data["heads"].astype(np.float32),
                data["tails"].astype(np.float32),
            )
            names = (
                "points",
                "normals",
                "uv",
                "layer",
                "bones",
                "weights",
                "triangles",
                "textures",
            )
            return Figure(**{name: data[name] for name in names}, skeleton=skeleton)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SynthesisError(
            f"The baked person {path} cannot be read ({error}). Delete the file and run the "
            "command again: whoever is missing is baked anew."
        ) from error


def thinned(figure: Figure, cell_m: float = 0.0045, hand_cell_m: float = 0.0022) -> Figure:
    """The figure with fewer points, for small pictures: points in one cell become one.

    Hands come near the camera and keep smaller cells. Points of other layers or other places on
    the texture are never merged, so that no seam smears.
    """
    hand = np.array(
        [name.startswith(("finger", "wrist", "metacarpal")) for name in figure.skeleton.names]
    )[figure.bones[:, 0]]
    cell = np.where(hand, hand_cell_m, cell_m)[:, None]
    keys = np.concatenate(
        [
            np.round(figure.points / cell),
            np.round(figure.uv / UV_CELL),
            figure.layer[:, None],
            figure.bones[:, :1],
        ],
        1,
    ).astype(np.int64)
    _, kept, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    triangles = place.reshape(-1)[figure.triangles].astype(np.int32)
    a, b, c = triangles.T
    whole = (a != b) & (b != c) & (c != a)
    return replace(
        figure,
        points=figure.points[kept],
        normals=figure.normals[kept],
        uv=figure.uv[kept],
        layer=figure.layer[kept],
        bones=figure.bones[kept],
        weights=figure.weights[kept],
        triangles=triangles[whole],
    )
