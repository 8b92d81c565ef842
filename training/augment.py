"""What makes one clip many: crops, colours, noise, other rooms, and the mirror with its labels.

One draw holds for a whole sequence, as a camera's does; only noise and shake change by frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.card import ModelCard
from online_tsm.preprocess import kept_box

Image = NDArray[np.uint8]  # BGR; those of a sequence [T, h, w, 3]
Rng = np.random.Generator
NOMINAL_HEIGHT = 96  # pixels: blur below is meant for pictures about so high
NOISE_STARTS = 1 << 20  # places where a sequence's noise can begin


@dataclass(frozen=True)
class AugmentOptions:
    """How strongly, and in what share of the sequences. All zero (and `zoom` [1, 1]): nothing."""

    mirror: float = 0.5  # share
    zoom: tuple[float, float] = (0.8, 1.05)  # kept part of the picture's height
    aspect: float = 0.09  # standard deviation of the logarithm of width to height
    shift: float = 0.7  # of the room that the crop leaves
    turn: float = 0.05  # rad, standard deviation
    shake: float = 0.3  # share, by half a pixel
    colour: float = 0.7  # share
    grey: float = 0.05  # share
    noise: float = 0.35  # share, up to a few hundredths
    blur: float = 0.25  # share
    cut_out: float = 0.15  # share, a rectangle of one colour
    background: float = 0.3  # share, where there are masks


def mirrored_places(card: ModelCard) -> NDArray[np.int64]:
    """For each label's place [K] the place of what it becomes in a mirrored picture."""
    swap = {a: b for pair in card.mirrored_pairs for a, b in (pair, pair[::-1])}
    return np.array([card.labels.index(swap.get(label, label)) for label in card.labels])


def augment(
    images: Sequence[Image],
    card: ModelCard,
    options: AugmentOptions,
    rng: Rng,
    *,
    mirrored: bool = False,
    masks: Sequence[Image] | None = None,
) -> Image:
    """Frames uint8 BGR [H, W, 3] of one sequence to pixels uint8 [T, 3, h, w] of the card's size
    and order of colours; `normalised` makes network inputs of them.

    `mirrored` turns them left to right; the caller swaps the labels. `masks` are of the same
    sizes, 255 where the person is: with them the person stands before another wall. A cut between
    clips may change the frames' size.
    """
    if masks is not None:
        images = swap_background(images, masks, rng)
    pixels = warp(images, card, options, mirrored, rng)
    pixels = recolour(pixels, options, rng)
    pixels = blurred(pixels, options, rng)
    cut_out(pixels, options, rng)
    if card.colour == "rgb":
        pixels = pixels[..., ::-1]
    pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    if rng.random() < options.noise:
        noisy = noise(pixels.shape, rng) * np.float32(abs(rng.normal(0, 0.03)) * 255)
        noisy += pixels
        pixels = np.clip(noisy, 0, 255, out=noisy).round().astype(np.uint8)
    return pixels


def normalised(pixels: Tensor, card: ModelCard) -> Tensor:
    """Pixels uint8 [..., 3, h, w] in the card's order of colours to network inputs, float32."""
    mean, std = (torch.tensor(values, device=pixels.device)[:, None, None]
                 for values in (card.mean, card.std))
    return pixels.float() * (1 / (255 * std)) - mean / std


def warp(
    images: Sequence[Image], card: ModelCard, options: AugmentOptions, mirrored: bool, rng: Rng
) -> Image:
    """Frames cut out of the card's box, moved, scaled, turned: uint8 [T, h, w, 3]."""
    height, width = card.input_size
    zoom = rng.uniform(*options.zoom)
    stretch = np.exp(rng.normal(0, 1) * options.aspect)
    move = rng.uniform(-1, 1, 2) * options.shift
    angle = rng.normal(0, 1) * options.turn
    shake = 0.5 if rng.random() < options.shake else 0.0
    out = np.empty((len(images), height, width, 3), np.uint8)
    for target, image in zip(out, images, strict=True):
        small, factor = _shrunk(image, card)
        left, top, right, bottom = (edge * factor for edge in kept_box(card, *image.shape[:2]))
        box_w, box_h = (right - left) * zoom * stretch, (bottom - top) * zoom
        room = np.array([max(small.shape[1] - box_w, 0.0), max(small.shape[0] - box_h, 0.0)]) / 2
        centre = np.array([left + right, top + bottom]) / 2 + move * room
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turn @ np.diag([box_w / width, box_h / height])
        if mirrored:
            matrix = matrix @ np.diag([-1.0, 1.0])
        middle = np.array([width - 1, height - 1]) / 2
        offset = centre - 0.5 - matrix @ middle + rng.normal(0, 1, 2) * shake * factor
        affine = np.column_stack([matrix, offset])
        target[:] = cv2.warpAffine(
            small,
            affine,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return out


def _shrunk(image: Image, card: ModelCard) -> tuple[Image, float]:
    """A large frame made smaller first, for a warp reads single pixels; and by what factor."""
    left, _, right, _ = kept_box(card, *image.shape[:2])
    shrink = (right - left) / card.input_size[1]
    if shrink < 1.3:
        return image, 1.0
    factor = 1 / shrink
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), factor


def recolour(pixels: Image, options: AugmentOptions, rng: Rng) -> Image:
    """Another camera and another light: colour cast, saturation, gamma, contrast, brightness."""
    if rng.random() < options.colour:
        cast = np.eye(3) + rng.normal(0, 0.06, (3, 3))
        kept = rng.uniform(0, 1.5)  # of the saturation
        pixels = mixed(pixels, (kept * np.eye(3) + (1 - kept) / 3) @ cast)
        curve = np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.25))
        mean = curve[pixels[:, ::4, ::4]].mean()
        curve = (curve - mean) * np.exp(rng.normal(0, 0.2)) + mean + rng.normal(0, 0.08)
        table = np.round(curve.clip(0, 1) * 255).astype(np.uint8)
        pixels = np.asarray(cv2.LUT(pixels, table), np.uint8)
    if rng.random() < options.grey:
        pixels = mixed(pixels, np.full((3, 3), 1 / 3))
    return pixels


def mixed(pixels: Image, matrix: NDArray[np.float64]) -> Image:
    """Each pixel's colours times `matrix` [new, old]."""
    flat = pixels.reshape(-1, pixels.shape[2], 3)
    return np.asarray(cv2.transform(flat, matrix), np.uint8).reshape(pixels.shape)


def blurred(pixels: Image, options: AugmentOptions, rng: Rng) -> Image:
    if rng.random() >= options.blur:
        return pixels
    sigma = rng.uniform(0.4, 1.4) * pixels.shape[1] / NOMINAL_HEIGHT
    return np.stack([np.asarray(cv2.GaussianBlur(frame, (0, 0), sigma), np.uint8)
                     for frame in pixels])


def noise(shape: tuple[int, ...], rng: Rng) -> NDArray[np.float32]:
    """Normal noise of a standard deviation of 1: a piece of a long row of it, drawn once."""
    length = int(np.prod(shape))
    row = _noise_row(length + NOISE_STARTS)
    start = int(rng.integers(NOISE_STARTS))
    return row[start:start + length].reshape(shape)


@lru_cache(maxsize=2)
def _noise_row(length: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(length, np.float32)


def cut_out(pixels: Image, options: AugmentOptions, rng: Rng) -> None:
    """Hides one rectangle in all frames, in place."""
    if rng.random() >= options.cut_out:
        return
    height, width = pixels.shape[1:3]
    h, w = (rng.integers(max(side // 12, 1), max(side // 3, 2)) for side in (height, width))
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    pixels[:, top : top + h, left : left + w] = rng.integers(0, 256, 3)


def swap_background(images: Sequence[Image], masks: Sequence[Image], rng: Rng) -> list[Image]:
    """The person before another wall: soft patches of colour, the same in all frames."""
    height, width = images[0].shape[:2]
    cells = rng.integers(2, 9, 2)
    coarse = rng.uniform(20, 235, 3) + rng.normal(0, 35, (*cells, 3))
    wall = cv2.resize(
        coarse.clip(0, 255).astype(np.float32),
        (width, height),
        interpolation=cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_NEAREST,
    )
    swapped, paint = [], np.asarray(wall.clip(0, 255), np.uint8)
    for image, mask in zip(images, masks, strict=True):
        if image.shape[:2] != (height, width):  # a cut to a clip of another size
            paint = np.asarray(cv2.resize(paint, image.shape[1::-1]), np.uint8)
            height, width = image.shape[:2]
        swapped.append(np.asarray(cv2.copyTo(image, mask, paint.copy()), np.uint8))
    return swapped
