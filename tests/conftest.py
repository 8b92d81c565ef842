"""Fixtures for every room: small networks with seeded weights, on one thread."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from seeding import seed_weights

from models.build import build_network
from models.card import ModelCard
from models.network import OnlineNetwork

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random inputs in every run, whatever ran before."""
    torch.manual_seed(0)


@pytest.fixture
def tiny_card() -> ModelCard:
    """Four labels, 32 x 32 pixels, a quarter of the channels: a step costs about a millisecond."""
    return ModelCard(
        name="tiny", architecture="mobilenet_v2", labels=("left", "right", "stop", "nothing"),
        background=("nothing",), mirrored_pairs=(("left", "right"),), input_size=(32, 32),
        resize="whole-frame", width_multiplier=0.25, frame_rate=10.0, warmup_steps=2)


@pytest.fixture
def tiny_network(tiny_card: ModelCard) -> OnlineNetwork:
    """The network of `tiny_card` with seeded weights."""
    return seed_weights(build_network(tiny_card))


@pytest.fixture(name="seed_weights")
def seed_weights_fixture() -> Callable[[OnlineNetwork], OnlineNetwork]:
    return seed_weights
