"""Many views of few recordings, and what the network without its head makes of them: once."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.card import ModelCard
from models.folding import fold_batch_norm
from models.network import OnlineNetwork
from models.weight_files import head_of
from online_tsm.preprocess import Preprocessor
from training.augment import AugmentOptions, augment, mirrored_places, normalised
from training.sequences import SequenceOptions, frame_numbers, targets, window_times
from training.teach_data import Lesson

Told = Callable[[float], None]  # the share that is done
View = tuple[Tensor, Tensor, Tensor]  # features [T, D], places [T], weights [T]
Memory = dict[tuple[str, int, int], View]  # by label, turn and number

SEQUENCE = SequenceOptions(frames=12, speed=(0.7, 1.45), jitter=0.2, before_share=0.12,
                           stroke_share=0.15, after_share=0.15, join_share=0.0,
                           background_weight=0.6)
AUGMENT = AugmentOptions(zoom=(0.7, 1.1), aspect=0.07, shift=0.8, turn=0.06, shake=0.2, colour=0.6,
                         grey=0.05, noise=0.25, blur=0.2, cut_out=0.1, background=0.0)
VIEWS = 480  # of all lessons together,
BACKGROUND_SHARE = 0.3  # so many of them of background,
LEAST, MOST = 6, 40  # and so many of one gesture's recording; of background at least one
LEAD_S, TAIL_S = 1.2, 1.0  # idle time around a clip when it is judged as a stream


@dataclass(frozen=True)
class Views:
    """Augmented windows of lessons: `features` [V, T, D] before the head, `places` and `weights`
    [V, T] of what is asked, and the lesson's number of each view [V]."""

    features: Tensor
    places: Tensor
    weights: Tensor
    lesson: NDArray[np.int64]


@dataclass(frozen=True)
class Played:
    """A lesson as a stream shows it: `times` [T] s, `cold` [T], `features` [T, D]."""

    times: NDArray[np.float64]
    cold: NDArray[np.bool_]
    features: Tensor


class Body:
    """A network without its head, folded, without gradients: clips [N, T, 3, h, w] to [N, T, D].

    On a CPU one clip after the other: what a block gives then still lies in the cache.
    """

    def __init__(self, network: OnlineNetwork, card: ModelCard) -> None:
        body = copy.deepcopy(network).eval()
        body.set_submodule(head_of(card.architecture), nn.Identity())
        fold_batch_norm(body)
        self._network: nn.Module = body

    @torch.inference_mode()
    def __call__(self, clips: Tensor) -> Tensor:
        return torch.cat([self._network(clip) for clip in torch.split(clips, 1)])


def make_views(lessons: Sequence[Lesson], card: ModelCard, body: Body, seed: int, *,
               told: Told = lambda _: None, views: int = VIEWS, workers: int = 1,
               memory: Memory | None = None) -> Views:
    """The views of all lessons; a lesson's are the same for a seed, whatever the others are.

    `card` has every label. `memory` keeps the views for another call with the same body, seed and
    labels.
    """
    memory = {} if memory is None else memory
    counts = _shares(lessons, views)
    order = [(number, view) for number, count in enumerate(counts) for view in range(count)]
    features, places, weights = [], [], []

    def one(job: tuple[int, int]) -> View:
        lesson = lessons[job[0]]
        key = (lesson.label, lesson.turn, job[1])
        if key not in memory:
            drawn = [seed, zlib.crc32(lesson.label.encode()), lesson.turn, job[1]]
            pixels, asked, weight = _view(lesson, card, drawn)
            seen = body(normalised(torch.from_numpy(pixels), card)[None])[0]
            memory[key] = seen, torch.from_numpy(asked), torch.from_numpy(weight)
        return memory[key]

    with ThreadPoolExecutor(workers) as pool:  # torch and OpenCV let go of the interpreter
        for done, (seen, asked, weight) in enumerate(pool.map(one, order), 1):
            features.append(seen)
            places.append(asked)
            weights.append(weight)
            told(done / len(order))
    return Views(torch.stack(features), torch.stack(places), torch.stack(weights),
                 np.array([number for number, _ in order]))


def _shares(lessons: Sequence[Lesson], views: int) -> list[int]:
    quiet = sum(lesson.background for lesson in lessons)
    loud = len(lessons) - quiet
    share = BACKGROUND_SHARE if loud else 1.0
    each = {True: views * share / max(quiet, 1), False: views * (1 - share) / max(loud, 1)}
    return [int(np.clip(round(each[lesson.background]), 1 if lesson.background else LEAST, MOST))
            for lesson in lessons]


def _view(lesson: Lesson, card: ModelCard, seed: list[int]
          ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """One window: pixels [T, 3, h, w], places [T], weights [T]."""
    rng = np.random.default_rng(seed)
    times = window_times(lesson.clip, card, SEQUENCE, rng)
    asked = targets(lesson.clip, times, card, SEQUENCE)
    places = asked.places
    mirrored = bool(rng.random() < 0.5) and _mirrors(lesson, card)
    if mirrored:
        places = mirrored_places(card)[places]
    images = lesson.clip.read(frame_numbers(lesson.clip, times, card.background).tolist())
    return augment(images, card, AUGMENT, rng, mirrored=mirrored), places, asked.weights


def _mirrors(lesson: Lesson, card: ModelCard) -> bool:
    """Background may be mirrored, and a gesture that the card pairs with another one. What else
    may be is not known: to its user a circle can mean something else the other way round."""
    return lesson.background or any(lesson.label in pair for pair in card.mirrored_pairs)


def play(lesson: Lesson, card: ModelCard, body: Body) -> Played:
    """The lesson as it is, with idle time around it: what a live stream would see."""
    clip = lesson.clip
    step = float(np.diff(clip.times).mean())
    times = clip.times
    if not lesson.background:
        before = clip.times[0] - np.arange(round(LEAD_S / step), 0, -1) * step
        after = clip.times[-1] + np.arange(1, round(TAIL_S / step) + 1) * step
        times = np.concatenate([before, clip.times, after])
    pre = Preprocessor(card)
    numbers = frame_numbers(clip, times, card.background).tolist()
    shown = {number: pre(image).copy() for number, image in
             zip(set(numbers), clip.read(list(set(numbers))), strict=True)}
    inputs = torch.from_numpy(np.stack([shown[number] for number in numbers]))
    phases = max(1, round(1 / step / card.frame_rate))
    features: list[Tensor] = [torch.empty(0)] * len(numbers)
    for phase in range(phases):
        features[phase::phases] = body(inputs[None, phase::phases])[0]
    return Played(times, np.arange(len(times)) // phases < card.warmup_steps,
                  torch.stack(features))
