"""Batches for training: the same ones for a seed, whatever the number of processes."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from models.card import ModelCard
from training.augment import AugmentOptions, augment, mirrored_places
from training.backwards import backwards
from training.data import Clip, Image
from training.events_file import DataError
from training.sequences import (
    SequenceOptions,
    Shot,
    Targets,
    draw_sequence,
    frame_numbers,
    targets,
)

BATCHES_AHEAD = 3  # a worker


@dataclass(frozen=True)
class Batch:
    """`pixels` uint8 [N, T, 3, h, w]; `places` int64 and `weights` float32, both [N, T]."""

    pixels: Tensor
    places: Tensor
    weights: Tensor


class Samples:
    """An endless row of training sequences over `clips`; sample number i is always the same one.

    The clips are dealt out in another order each time round. `backward_names` says what a label
    becomes when its clip is played backwards.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        card: ModelCard,
        sequence: SequenceOptions,
        augmentation: AugmentOptions,
        seed: int,
        *,
        backward_names: Mapping[str, str] | None = None,
    ) -> None:
        self.clips, self.card, self.seed = clips, card, seed
        self._backward_names = backward_names or {}
        self.sequence, self.augmentation = sequence, augmentation
        self._mirrored = mirrored_places(card)

    def __getitem__(self, number: int) -> tuple[np.ndarray, Targets]:
        """Pixels uint8 [T, 3, h, w] and what is asked of them."""
        rng = np.random.default_rng([self.seed, 1, number])
        clip = self._turned(self.clips[self._clip_number(number)], rng)
        shots = draw_sequence(clip, self.clips, self.card, self.sequence, rng)
        asked = [targets(shot.clip, shot.times, self.card, self.sequence) for shot in shots]
        places = np.concatenate([part.places for part in asked])
        weights = np.concatenate([part.weights for part in asked])
        mirrored = bool(rng.random() < self.augmentation.mirror)
        if mirrored:
            places = self._mirrored[places]
        swapped = bool(rng.random() < self.augmentation.background)
        images, masks = _pictures(shots, self.card.background, with_masks=swapped)
        pixels = augment(images, self.card, self.augmentation, rng, mirrored=mirrored,
                         masks=masks)
        return pixels, Targets(places, weights)

    def _turned(self, clip: Clip, rng: np.random.Generator) -> Clip:
        """Sometimes the clip backwards, where that is another gesture."""
        share = self.sequence.backward_share
        if not share or rng.random() >= share:  # without it, the same samples as ever
            return clip
        return backwards(clip, self._backward_names) or clip

    def _clip_number(self, number: int) -> int:
        turn, place = divmod(number, len(self.clips))
        return int(_order(self.seed, turn, len(self.clips))[place])


@lru_cache(maxsize=2)
def _order(seed: int, turn: int, count: int) -> np.ndarray:
    """The clips' order [count] in one time round."""
    return np.random.default_rng([seed, 0, turn]).permutation(count)


def batches(
    samples: Samples, size: int, first_step: int, *, rank: int = 0, world: int = 1, workers: int = 1
) -> Generator[Batch, None, None]:
    """Batches from step `first_step` on, without end: `rank`'s share of `size` samples a step.

    `workers` processes work ahead, from the first batch on; with 0 of them the caller waits for
    each batch. Raises DataError.
    """
    numbers = (range(step * size + rank, (step + 1) * size, world) for step in count(first_step))
    loader: DataLoader[Batch | DataError] = DataLoader(
        _Batches(samples), batch_size=None, sampler=numbers, num_workers=workers,
        worker_init_fn=_alone, prefetch_factor=BATCHES_AHEAD if workers else None)
    for batch in loader:
        if isinstance(batch, DataError):
            raise batch
        yield batch


@dataclass(frozen=True)
class _Batches(Dataset[Batch | DataError]):
    """The batch of some numbers of samples, or why there is none: what a worker raises would
    reach the user with the worker's traceback in its message."""

    samples: Samples

    def __getitem__(self, numbers: range) -> Batch | DataError:
        try:
            return _stacked([self.samples[number] for number in numbers])
        except DataError as error:
            return error


def _alone(_: int) -> None:
    """A worker is one thread: there are as many workers as cores to spare. And it is a process
    group by itself: Ctrl-C, `timeout` and torchrun signal a group, and a worker that ended by that
    would take the training with it, unsaved. The process that trains ends its workers."""
    cv2.setNumThreads(0)
    if hasattr(os, "setpgrp"):  # not on Windows
        os.setpgrp()


def _stacked(parts: list[tuple[np.ndarray, Targets]]) -> Batch:
    return Batch(
        torch.from_numpy(np.stack([pixels for pixels, _ in parts])),
        torch.from_numpy(np.stack([asked.places for _, asked in parts])),
        torch.from_numpy(np.stack([asked.weights for _, asked in parts])),
    )


def _pictures(shots: Sequence[Shot], background: Sequence[str], *, with_masks: bool
              ) -> tuple[list[Image], list[Image] | None]:
    """The frames of all shots, and their masks if they are wanted and every shot has them."""
    images: list[Image] = []
    masks: list[Image] | None = [] if with_masks else None
    for shot in shots:
        numbers = frame_numbers(shot.clip, shot.times, background).tolist()
        images += shot.clip.read(numbers)
        if masks is None or shot.clip.read_masks is None:
            masks = None
        else:
            masks += shot.clip.read_masks(numbers)
    return images, masks
