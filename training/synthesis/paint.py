"""Textures of a person: recoloured skin, hair and clothes as RGBA uint8 squares."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthesis.assets import SynthesisError
from training.synthesis.cast import Person

SIDE = 512  # pixels of every texture layer
IRIS_COLOUR, IRIS_LIGHT = 0.4, 0.75  # shares of the textures' that irises keep
Image = NDArray[np.uint8]


def read_texture(path: Path) -> Image:
    """A texture file as (SIDE, SIDE, 4) RGBA uint8, bottom row first as OpenGL wants it."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise SynthesisError(f"The texture {path} cannot be read. Fetch the assets again.")
    image = cv2.cvtColor(image, cv2.COLOR_BGR2BGRA) if image.shape[2] == 3 else image
    image = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[::-1, :, [2, 1, 0, 3]])


def skin(image: Image, person: Person) -> Image:
    """The person's skin: the photo-like texture with their own tint and freckles."""
    rng = np.random.default_rng(person.seed)
    rgb = image[..., :3].astype(np.float32) * np.array(person.skin_tint, np.float32)
    blotches = cv2.resize(rng.normal(1, 0.03, (24, 24)).astype(np.float32), (SIDE, SIDE))
    return _join(rgb * blotches[..., None], image)


def eyes(image: Image) -> Image:
    """Eyes with irises as they are in a room's light: the textures' own are lit from within, and
    the brown one is red."""
    rgb = image[..., :3].astype(np.float32)
    grey = rgb.mean(2, keepdims=True)
    colourful = np.clip((rgb.max(2, keepdims=True) - rgb.min(2, keepdims=True)) / 60, 0, 1)
    muted = (grey + IRIS_COLOUR * (rgb - grey)) * IRIS_LIGHT
    return _join(rgb + colourful * (muted - rgb), image)


def hair(image: Image, person: Person) -> Image:
    """Hair or brows in the person's colour, strands kept."""
    strand = image[..., :3].astype(np.float32).mean(2)
    strand = strand / (strand[image[..., 3] > 128].mean() + 1)
    rgb = np.clip(strand, 0, 2.2)[..., None] ** 0.8 * np.array(person.hair_colour, np.float32)
    return _join(rgb, image)


def cloth(image: Image, shade: Image | None, person: Person) -> Image:
    """The outfit in the person's colours and pattern.

    shade: the garment's own ambient shading, if it has one; else folds come from the picture.
    """
    if person.pattern == "original":
        return image
    rng = np.random.default_rng(person.seed + 1)
    if shade is not None:
        grey = shade[..., :3].astype(np.float32).mean(2)
        folds = np.clip(0.35 + 0.65 * grey / np.percentile(grey, 90), 0.4, 1.1)[..., None]
    else:
        grey = image[..., :3].astype(np.float32).mean(2)
        smooth = cv2.GaussianBlur(grey, (0, 0), 24)
        folds = np.clip((grey + 20) / (smooth + 20), 0.55, 1.4)[..., None]
    first, second = (np.array(c, np.float32) for c in person.cloth_colours)
    mask = _pattern_mask(person.pattern, rng)[..., None]
    return _join((first * (1 - mask) + second * mask) * folds, image)


def _pattern_mask(pattern: str, rng: np.random.Generator) -> NDArray[np.float32]:
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    period = float(rng.uniform(10, 48))
    if pattern == "stripes":
        along = y if rng.random() < 0.7 else x
        return np.asarray(along % period < period * rng.uniform(0.2, 0.6), np.float32)
    if pattern == "checks":
        lines = (x % period < period / 2).astype(np.float32)
        return np.asarray((lines + (y % period < period / 2)) / 2, np.float32)
    if pattern == "two tone":
        return np.asarray(y > SIDE * rng.uniform(0.3, 0.7), np.float32)
    if pattern == "print":
        cells = int(rng.integers(10, 40))
        noise = rng.random((cells, cells)).astype(np.float32)
        mask = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        return np.asarray(mask > rng.uniform(0.5, 0.85), np.float32)
    return np.zeros((SIDE, SIDE), np.float32)


def _join(rgb: NDArray[np.float32], image: Image) -> Image:
    return np.dstack([np.clip(rgb, 0, 255).astype(np.uint8), image[..., 3]])
