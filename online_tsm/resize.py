"""Resizing without rounding, in about half of Pillow's time or less: two products with banded
matrices of weights, since the filters are separable.

Camera and network sizes mostly stand in a simple ratio, such as 480 to 96 rows or 720 to 96. Then
every few rows of the result mix their rows of the frame alike, and OpenCV adds them up as they
come, bytes to floats, many rows in one call; of columns, too, every few are mixed alike, and one
call makes them all. Otherwise the products are taken in blocks: a block touches few pixels beside
those that it needs, stays in the processor's cache, and is too small for a BLAS to start threads,
which would wait for the next frame on a core of their own.

Colours stay side by side until the picture is small: to part them before would write all of a
frame's floats once more. So the weights of columns are there once a colour, with zeros between.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Weights = NDArray[np.float64]
ROW_MACS = 250_000  # of one product; OpenBLAS keeps to one thread below 262,144
COLUMN_MACS = 120_000  # smaller blocks multiply fewer zeros, but are more calls
GROUPS_MACS = 70_000  # of a row in groups that are alike; with more, blocks multiply fewer zeros
MAX_PERIOD = 16  # rows of the result, after which the weights repeat
LEAST_RUN = 8  # rows in a run on average: with fewer, a product is no slower
NOTHING = 1e-9  # a weight that is 0 but for rounding
ALIKE = 1e-6  # weights that differ by less are the same


class _Block(NamedTuple):
    """Outputs `first` to `last` (not included) are `weights` times inputs `low` to `high`."""

    first: int
    last: int
    low: int
    high: int
    weights: Floats


class _Product(NamedTuple):
    """`made` becomes `of` times `weights`: parts of buffers [h, ..., pixels of all colours]."""

    of: Floats
    weights: Floats
    made: Floats


class _Run(NamedTuple):
    """Outputs `first`, `first + every` and so on, `number` of them. The first one has `weights`
    for the inputs from `start` on, each further one the same for inputs `stride` further on."""

    first: int
    every: int
    number: int
    start: int
    stride: int
    weights: list[float]


class Resize:
    """Resizes `box` (left, top, right, bottom; fractions allowed) of every frame of one shape to
    `size` (height, width), by the weights of a filter."""

    def __init__(self, source: tuple[int, ...], box: tuple[float, float, float, float],
                 size: tuple[int, int], weights: Callable[..., Weights]) -> None:
        """`source` is a frame's shape, [H, W] or [H, W, 3]; `weights` is `triangle` or `area`."""
        self.source = source
        height, width, channels = source[0], source[1], math.prod(source[2:])
        left, top, right, bottom = box
        columns = weights(left, right, size[1], width)
        used = np.flatnonzero(columns.any(axis=0))
        self._first, self._end = int(used[0]), int(used[-1]) + 1
        kept = self._end - self._first
        rows = weights(top, bottom, size[0], height)
        self._squeezed = np.zeros((size[0], kept, *source[2:]), np.float32)  # nothing that is NaN
        self._runs = [(run, self._squeezed[run.first::run.every][:run.number])
                      for run in _runs(rows)]
        self._rows = [] if self._runs else _blocks(rows, kept * channels, ROW_MACS)
        most = max((block.high - block.low for block in self._rows), default=0)
        self._part = np.empty((most, kept, *source[2:]), np.float32)
        self._small = np.empty((*size, *source[2:]), np.float32)
        self._planes = np.empty((channels, *size), np.float32)
        self._columns = _products(columns[:, self._first:self._end], self._squeezed, self._small)

    def __call__(self, image: Pixels) -> Floats:
        """Grey levels float32 [height, width] or [height, width, 3]: a view of a buffer that the
        next call overwrites, in which each channel lies in one piece."""
        if self._runs:
            self._add_up(image if image.flags.c_contiguous else np.ascontiguousarray(image))
        flat = self._squeezed.reshape(len(self._squeezed), -1)
        for block in self._rows:
            part = self._part[:block.high - block.low]
            np.copyto(part, image[block.low:block.high, self._first:self._end])
            np.matmul(block.weights, part.reshape(len(part), -1),
                      out=flat[block.first:block.last])
        for product in self._columns:
            np.matmul(product.of, product.weights, out=product.made)
        if self._small.ndim == 2:
            return self._small
        cv2.split(self._small, list(self._planes))
        return self._planes.transpose(1, 2, 0)

    def _add_up(self, image: Pixels) -> None:
        """The rows, run by run: each further input moves the mean so far by its share."""
        for run, out in self._runs:
            total = 0.0
            for place, weight in enumerate(run.weights, start=run.start):
                total += weight
                part = image[place:place + (run.number - 1) * run.stride + 1:run.stride,
                             self._first:self._end]
                cv2.accumulateWeighted(part, out, weight / total)


def triangle(start: float, stop: float, n: int, length: int) -> Weights:
    """Weights [n, length] by which `length` pixels make `n` equal parts of `start` to `stop`:
    Pillow's bilinear filter, a triangle that is as wide as the picture shrinks."""
    step = (stop - start) / n
    reach = max(step, 1.0)
    middles = start + (np.arange(n)[:, None] + 0.5) * step
    weights = np.clip(1 - np.abs(np.arange(length) + 0.5 - middles) / reach, 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def area(start: float, stop: float, n: int, length: int) -> Weights:
    """Weights [n, length]: how much of each of `length` pixels falls into each of `n` equal parts
    of `start` to `stop`. OpenCV's INTER_AREA, for any fractions."""
    edges = np.linspace(start, stop, n + 1)
    pixels = np.arange(length)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.clip(covered, 0, None) * n / (stop - start))


def _runs(weights: Weights) -> list[_Run]:
    """A banded matrix [n, length] as runs of outputs that mix their inputs alike, with the period
    that gives the fewest; none where these are too many."""
    n, length = weights.shape
    used = weights > NOTHING
    low = used.argmax(axis=1)
    places = low[:, None] + np.arange(used.sum(axis=1).max())
    rows = np.where(places < length, weights[np.arange(n)[:, None], np.minimum(places, length - 1)],
                    0)
    best: tuple[int, int, NDArray[np.bool_]] | None = None
    for every in range(1, min(MAX_PERIOD, n - 1) + 1):
        strides = low[every:] - low[:-every]
        stride = int(strides[len(strides) // 2])
        alike = (strides == stride) & (np.abs(rows[every:] - rows[:-every]).max(axis=1) < ALIKE)
        if stride > 0 and (best is None or alike.sum() > best[2].sum()):
            best = every, stride, alike
    if best is None or n < LEAST_RUN * (n - int(best[2].sum())):
        return []
    every, stride, alike = best
    return [_Run(first, every, _length(alike, first, every), int(low[first]), stride,
                 [float(weight) for weight in rows[first] if weight > NOTHING])
            for first in range(n) if first < every or not alike[first - every]]


def _length(alike: NDArray[np.bool_], first: int, every: int) -> int:
    """Outputs from `first` on in steps of `every` that are alike."""
    following = alike[first::every]
    return 1 + (len(following) if following.all() else int(following.argmin()))


def _products(weights: Weights, wide: Floats, small: Floats) -> list[_Product]:
    """What makes `small` [h, n] or [h, n, 3] of `wide`, whose rows are `length` pixels long, by a
    banded matrix [n, length]: one product of many small ones where groups of columns are alike."""
    n, length = weights.shape
    height, channels = len(wide), math.prod(wide.shape[2:])
    groups = math.gcd(n, length)
    group = weights[:n // groups, :length // groups]
    if (groups * group.size * channels ** 2 <= GROUPS_MACS
            and np.abs(weights - np.kron(np.eye(groups), group)).max() < ALIKE):
        return [_Product(wide.reshape(height, groups, -1), _by_colour(group, channels),
                         small.reshape(height, groups, -1))]
    flat, out = wide.reshape(height, -1), small.reshape(height, -1)
    return [_Product(flat[:, block.low * channels:block.high * channels],
                     _by_colour(block.weights, channels),
                     out[:, block.first * channels:block.last * channels])
            for block in _blocks(weights, height * channels ** 2, COLUMN_MACS)]


def _by_colour(weights: NDArray[Any], channels: int) -> Floats:
    """Weights [n, length] as a matrix [length * channels, n * channels] for pixels of colours."""
    return np.ascontiguousarray(np.kron(weights.T, np.eye(channels)), np.float32)


def _blocks(weights: Weights, others: int, macs: int) -> list[_Block]:
    """A banded matrix [n, length] cut into blocks, each multiplied with `others` columns in at most
    `macs` multiplications, or else of a single output."""
    n = len(weights)
    step = n
    while True:
        blocks = []
        for first in range(0, n, step):
            last = min(n, first + step)
            used = np.flatnonzero(weights[first:last].any(axis=0))
            low, high = int(used[0]), int(used[-1]) + 1
            part = np.ascontiguousarray(weights[first:last, low:high], np.float32)
            blocks.append(_Block(first, last, low, high, part))
        if step == 1 or max(block.weights.size for block in blocks) * others <= macs:
            return blocks
        step -= 1 + step // 16
