"""Hair, clothes, eyes and brows: read from the package and fitted to one body."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 6
SOFTENING_M = 0.003  # keeps the nearest body vertex from taking all the weight
# Bits of a face record in the three.js JSON model format, version 3.
QUAD, MATERIAL, FACE_UV, VERTEX_UV, FACE_NORMAL, VERTEX_NORMAL, FACE_COLOUR, VERTEX_COLOUR = (
    1 << bit for bit in range(8)
)


@dataclass(frozen=True)
class Mesh:
    """V points (V, 3) in metres, triangles (F, 3) over them, texture coordinates (U, 2) with
    their own triangles (F, 3), four bones (V, 4) and weights (V, 4) a point."""

    points: NDArray[np.float32]
    triangles: NDArray[np.int64]
    uv: NDArray[np.float32]
    uv_triangles: NDArray[np.int64]
    bones: NDArray[np.int64]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class Body:
    """One naked body: its mesh, and what is needed to fit proxies to it.

    template: (V, 3) the average body the proxies were made for. base_index: (V,) each point's
    number in the base mesh. base: (N, 3) the base mesh. bone_names: names of the bones.
    """

    mesh: Mesh
    template: NDArray[np.float64]
    base_index: NDArray[np.int64]
    base: NDArray[np.float64]
    bone_names: tuple[str, ...]


@dataclass(frozen=True)
class Proxy:
    """A proxy mesh as the package stores it, bound to vertices of the base mesh."""

    anchors: NDArray[np.int64]
    anchor_weights: NDArray[np.float64]
    offsets: NDArray[np.float64]
    triangles: NDArray[np.int64]
    uv: NDArray[np.float32]
    uv_triangles: NDArray[np.int64]
    hidden: NDArray[np.int64]
    textures: tuple[Path, ...]


def read_proxy(folder: Path) -> Proxy:
    """Read one proxy folder (a three.js JSON model and its textures)."""
    data = json.loads((folder / f"{folder.name}.json").read_text())
    triangles, uv_triangles = _triangles(data["faces"])
    anchors = np.array(data["ref_vIdxs"])
    if anchors.ndim == 1:
        anchors = np.stack([anchors] * 3, 1)
    uv = np.array(data["uvs"][0], np.float32).reshape(-1, 2)
    textures = sorted((folder / "textures").glob("*.png"))
    return Proxy(
        anchors,
        np.array(data["weights"], np.float64),
        np.array(data["offsets"], np.float64),
        triangles,
        uv,
        uv_triangles,
        _hidden(data),
        tuple(textures),
    )


def _hidden(data: dict[str, Any]) -> NDArray[np.int64]:
    flags = data.get("metadata", {}).get("deleteVerts") or data.get("deleteVerts") or []
    return np.flatnonzero(np.array(flags, bool)) if isinstance(flags, list) else np.zeros(0, int)


def _triangles(records: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    triangles, uv_triangles, i = [], [], 0
    while i < len(records):
        kind = records[i]
        corners = 4 if kind & QUAD else 3
        i += 1
        points = records[i : i + corners]
        i += corners + bool(kind & MATERIAL) + bool(kind & FACE_UV)
        uv = [0] * corners
        if kind & VERTEX_UV:
            uv = records[i : i + corners]
            i += corners
        i += bool(kind & FACE_NORMAL) + corners * bool(kind & VERTEX_NORMAL)
        i += bool(kind & FACE_COLOUR) + corners * bool(kind & VERTEX_COLOUR)
        for a, b, c in ((0, 1, 2), (0, 2, 3))[: corners - 2]:
            triangles.append((points[a], points[b], points[c]))
            uv_triangles.append((uv[a], uv[b], uv[c]))
    return np.array(triangles), np.array(uv_triangles)


def fit(proxy: Proxy, body: Body, only_bone: str | None = None) -> Mesh:
    """Place a proxy on a body; only_bone fixes it rigidly to one bone (hair to the head).

    The proxy is first placed on the average body, then moved as the nearest body points moved
    between the average body and this one, and takes their bone weights.
    """
    from scipy.spatial import cKDTree  # only baking needs scipy

    on_base = (body.base[proxy.anchors] * proxy.anchor_weights[:, :, None]).sum(1) + proxy.offsets
    # Base mesh and template differ by an affine map (units and axes): solve for it.
    known = np.c_[body.base[body.base_index], np.ones(len(body.base_index))]
    to_template = np.linalg.lstsq(known, body.template, rcond=None)[0]
    placed = np.c_[on_base, np.ones(len(on_base))] @ to_template
    distance, near = cKDTree(body.template).query(placed, k=NEIGHBOURS)
    share = 1 / (distance + SOFTENING_M) ** 2
    share /= share.sum(1, keepdims=True)
    moved = body.mesh.points - body.template
    points = placed + (moved[near] * share[:, :, None]).sum(1)
    dense = np.zeros((len(points), len(body.bone_names)))
    if only_bone is not None:
        dense[:, body.bone_names.index(only_bone)] = 1
    else:
        rows = np.arange(len(points))
        for k in range(NEIGHBOURS):
            for j in range(body.mesh.bones.shape[1]):
                columns = body.mesh.bones[near[:, k], j]
                np.add.at(dense, (rows, columns), body.mesh.weights[near[:, k], j] * share[:, k])
    bones, weights = strongest_four(dense)
    return Mesh(
        points.astype(np.float32), proxy.triangles, proxy.uv, proxy.uv_triangles, bones, weights
    )


def strongest_four(
    dense: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The four heaviest bones of each row of weights (V, B), renormalised."""
    bones = np.argsort(-dense, axis=1)[:, :4]
    weights = np.take_along_axis(dense, bones, 1)
    return bones, (weights / weights.sum(1, keepdims=True)).astype(np.float32)
