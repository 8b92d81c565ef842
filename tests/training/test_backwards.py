"""A clip that is played backwards shows the other gesture of its pair, and is asked for as that."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from toy_shards import (
    END_S,
    LABELS,
    LAST_S,
    RATE,
    START_S,
    STROKE_S,
    said_and_moved,
    toy_recipe,
    write_shard,
)

from models import jester
from models.card import ModelCard
from training.augment import AugmentOptions
from training.backwards import backwards
from training.data import Clip, read_shards
from training.recipe import RecipeError, backward_names, card_of, recipe_from_dict
from training.samples import Samples
from training.sequences import SequenceOptions

NAMES = {"left": "right", "right": "left"}
LAST_FRAME_S = np.arange(0, LAST_S, 1 / RATE)[-1]


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    write_shard(tmp_path, list(LABELS), masks=True)
    return read_shards(tmp_path)


def test_pictures_masks_and_events_are_turned(clips: list[Clip]) -> None:
    clip = clips[0]
    turned = backwards(clip, NAMES)
    assert turned is not None
    frames = list(range(len(clip.times)))
    for before, after in zip(clip.read(frames), turned.read(frames[::-1]), strict=True):
        assert np.array_equal(before, after)
    assert clip.read_masks
    assert turned.read_masks
    assert np.array_equal(clip.read_masks([15])[0], turned.read_masks([len(frames) - 16])[0])
    assert turned.times[0] == pytest.approx(0)
    assert (np.diff(turned.times) > 0).all()
    (event,) = turned.events
    assert event.label == "right"
    assert (event.start, event.end) == pytest.approx((LAST_FRAME_S - END_S, LAST_FRAME_S - START_S))
    assert event.stroke == pytest.approx((LAST_FRAME_S - STROKE_S[1], LAST_FRAME_S - STROKE_S[0]))
    assert event.happened == pytest.approx(LAST_FRAME_S - STROKE_S[0])
    assert event.held is None  # the hold comes before it now


def test_what_is_turned_twice_is_as_before(clips: list[Clip]) -> None:
    once = backwards(clips[0], NAMES)
    assert once is not None
    twice = backwards(once, NAMES)
    assert twice is not None
    assert twice.times == pytest.approx(clips[0].times)
    (before,), (after,) = clips[0].events, twice.events
    assert after.label == before.label
    assert after.stroke == pytest.approx(before.stroke)
    assert np.array_equal(twice.read([7])[0], clips[0].read([7])[0])


def test_what_is_no_other_gesture_backwards_is_left_alone(clips: list[Clip]) -> None:
    stop, nothing = clips[2:]
    assert backwards(stop, NAMES) is None
    assert backwards(nothing, NAMES) is None
    (event,) = clips[0].events
    unknown = dataclasses.replace(clips[0], events=(dataclasses.replace(event, stroke=None),))
    assert backwards(unknown, NAMES) is None


@pytest.mark.parametrize("mirror", [0.0, 0.5])
def test_a_turned_sample_moves_as_its_label_says(clips: list[Clip], toy_card: ModelCard,
                                                 mirror: float) -> None:
    """The square of "left" clips moves to the right of the picture, whatever was turned."""
    options = SequenceOptions(frames=8, join_share=0, before_share=0, stroke_share=0,
                              after_share=0, backward_share=0.5)
    still = AugmentOptions(mirror=mirror, background=0, zoom=(1, 1), aspect=0, shift=0, turn=0,
                           shake=0, colour=0, grey=0, noise=0, blur=0, cut_out=0)
    samples = Samples(clips[:2], toy_card, options, still, 0, backward_names=NAMES)
    seen = set()
    for number in range(60):
        if told := said_and_moved(*samples[number]):
            said, moved = told
            assert said == moved
            seen.add((moved, clips[samples._clip_number(number)].labels[0]))
    assert len(seen) == 4  # both labels, from clips of either


def test_a_recipe_names_the_pairs(tmp_path: Path) -> None:
    said = {**toy_recipe(tmp_path), "sequence": {"backward_share": 0.3}}
    without = recipe_from_dict(said)
    with pytest.raises(RecipeError, match="backward_share needs backward_pairs"):
        backward_names(without, card_of(without))
    made = recipe_from_dict({**said, "backward_pairs": [["left", "right"]]})
    assert backward_names(made, card_of(made)) == NAMES
    with pytest.raises(RecipeError, match=r"share from 0 to 1"):
        recipe_from_dict({**said, "sequence": {"backward_share": 1.5}})
    with pytest.raises(RecipeError, match="list of 2"):
        recipe_from_dict({**said, "backward_pairs": [["left", "right", "stop"]]})


def test_the_pairs_of_jester_are_labels_of_it() -> None:
    named = [label for pair in jester.BACKWARD_PAIRS for label in pair]
    assert len(set(named)) == len(named) == 20
    assert set(named) <= set(jester.ALPHABETICAL)
