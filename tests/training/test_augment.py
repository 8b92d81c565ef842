"""Augmentation: nothing asked is what the demo sees; the mirror takes the labels along."""

from __future__ import annotations

import pickle
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_shards import LABELS, said_and_moved

from models.card import ModelCard
from online_tsm.preprocess import Preprocessor
from training.augment import (
    AugmentOptions,
    augment,
    mirrored_places,
    normalised,
    swap_background,
)
from training.data import read_shards
from training.samples import Samples, batches
from training.sequences import SequenceOptions

NOTHING = AugmentOptions(mirror=0, zoom=(1, 1), aspect=0, shift=0, turn=0, shake=0, colour=0,
                         grey=0, noise=0, blur=0, cut_out=0, background=0)


def inputs_of(images: list[np.ndarray], card: ModelCard, options: AugmentOptions = NOTHING,
              **more: bool) -> np.ndarray:
    pixels = augment(images, card, options, np.random.default_rng(0), **more)
    return normalised(torch.from_numpy(pixels), card).numpy()


@pytest.fixture
def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (24, 32, 3), np.uint8) for _ in range(3)]


@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_without_augmentation_training_sees_what_the_demo_sees(
        images: list[np.ndarray], toy_card: ModelCard, colour: str) -> None:
    card = toy_card.replace(colour=colour, mean=[0.4, 0.5, 0.6])
    inputs = inputs_of(images, card)
    expected = np.stack([Preprocessor(card)(image).copy() for image in images])
    assert inputs.shape == (3, 3, 24, 32)
    assert np.abs(inputs - expected).max() < 1e-4


def test_a_large_frame_keeps_its_place(toy_card: ModelCard) -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[100:200, 400:600] = 255
    inputs = inputs_of([image], toy_card)
    assert np.abs(inputs - Preprocessor(toy_card)(image)).mean() < 0.02


def test_the_mirror_turns_the_picture_and_the_label(images: list[np.ndarray], toy_card: ModelCard
                                                    ) -> None:
    plain = inputs_of(images, toy_card)
    mirrored = inputs_of(images, toy_card, mirrored=True)
    assert np.abs(mirrored - plain[..., ::-1]).max() < 1e-4
    assert [LABELS[place] for place in mirrored_places(toy_card)] == [
        "right", "left", "stop", "nothing"]


def test_a_mirrored_sample_moves_as_its_label_says(shards: Path, toy_card: ModelCard) -> None:
    """The square of "left" clips moves to the right of the picture, whether mirrored or not."""
    clips = [clip for clip in read_shards(shards / "train") if clip.labels[0] in ("left", "right")]
    options = SequenceOptions(frames=8, join_share=0, before_share=0, stroke_share=0,
                              after_share=0)
    seen = set()
    samples = Samples(clips, toy_card, options, AugmentOptions(**{
        **vars(NOTHING), "mirror": 0.5}), seed=0)
    for number in range(24):
        if told := said_and_moved(*samples[number]):
            said, moved = told
            assert said == moved
            seen.add((moved, clips[samples._clip_number(number)].labels[0]))
    assert len(seen) == 4  # both labels, mirrored and not


def test_every_kind_of_augmentation_changes_the_picture_but_not_its_range(
        images: list[np.ndarray], toy_card: ModelCard) -> None:
    card = toy_card.replace(input_size=[96, 128])
    plain = inputs_of(images, card)
    for change in ({"zoom": (0.7, 0.8)}, {"aspect": 0.3}, {"zoom": (0.7, 0.8), "shift": 1},
                   {"turn": 0.2}, {"shake": 1}, {"colour": 1}, {"grey": 1}, {"noise": 1},
                   {"blur": 1}, {"cut_out": 1}):
        options = AugmentOptions(**{**vars(NOTHING), **change})
        changed = inputs_of(images, card, options)
        assert np.abs(changed - plain).mean() > 0.002, change
        assert changed.min() >= -1 - 1e-5
        assert changed.max() <= 1 + 1e-5


def test_another_background_leaves_the_person(images: list[np.ndarray]) -> None:
    mask = np.zeros((24, 32), np.uint8)
    mask[5:15, 8:20] = 255
    swapped = swap_background(images, [mask] * 3, np.random.default_rng(0))
    for before, after in zip(images, swapped, strict=True):
        assert np.array_equal(before[mask > 0], after[mask > 0])
        assert (before[mask == 0] != after[mask == 0]).mean() > 0.9
    assert np.array_equal(swapped[0][0, 0], swapped[2][0, 0])  # the same wall in all frames


def test_the_processes_share_the_batch_that_one_would_have(shards: Path, toy_card: ModelCard
                                                           ) -> None:
    samples = Samples(read_shards(shards / "train"), toy_card, SequenceOptions(frames=4),
                      AugmentOptions(), seed=3)
    whole = next(batches(samples, 4, first_step=5, workers=2))
    parts = [next(batches(samples, 4, first_step=5, rank=rank, world=2, workers=0))
             for rank in (0, 1)]
    for rank, part in enumerate(parts):
        assert (whole.pixels[rank::2] == part.pixels).all()
        assert (whole.places[rank::2] == part.places).all()
    again = batches(samples, 4, first_step=4)
    next(again)
    assert (next(again).pixels == whole.pixels).all()  # a resumed row goes on as it would have


def test_workers_start_with_the_first_batch_and_end_with_the_row(shards: Path, toy_card: ModelCard
                                                                 ) -> None:
    samples = Samples(read_shards(shards / "train"), toy_card, SequenceOptions(frames=4),
                      AugmentOptions(), seed=3)
    before = set(active_children())
    row = batches(samples, 4, first_step=0, workers=2)
    assert set(active_children()) == before  # which precision is faster is timed meanwhile
    next(row)
    assert len(set(active_children()) - before) == 2
    row.close()
    assert set(active_children()) == before


def test_samples_travel_to_a_process_that_shares_no_memory(shards: Path, toy_card: ModelCard
                                                           ) -> None:
    """As workers start on macOS, on Windows, and on Linux from Python 3.14 on."""
    samples = Samples(read_shards(shards / "train"), toy_card, SequenceOptions(frames=4),
                      AugmentOptions(), seed=3)
    travelled = pickle.loads(pickle.dumps(samples))
    assert (travelled[5][0] == samples[5][0]).all()
