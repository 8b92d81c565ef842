"""Toy shards and a toy recipe for the tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_shards import LABELS, write_shard

from models.card import ModelCard


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train (12 clips) and heldout (8 clips of two people, half in unseen styles)."""
    folder = tmp_path_factory.mktemp("shards")
    write_shard(folder / "train", [*LABELS] * 3, masks=True)
    write_shard(folder / "heldout", [*LABELS], number=1, person="heldout-0")
    write_shard(folder / "heldout", [*LABELS], number=2, person="heldout-1", held_out_style=True)
    return folder


@pytest.fixture
def toy_card() -> ModelCard:
    return ModelCard(
        name="toy", architecture="mobilenet_v2", labels=LABELS, background=("nothing",),
        mirrored_pairs=(("left", "right"),), input_size=(24, 32), resize="whole-frame",
        filter="area", mean=(0.5,) * 3, std=(0.5,) * 3, width_multiplier=0.25, frame_rate=5.0,
        warmup_steps=2)
