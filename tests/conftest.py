"""Fixtures for every room: small networks with seeded weights, on one thread."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from models.build import build_network
from models.card import ModelCard
from models.network import OnlineNetwork

torch.set_num_threads(1)

REPEAT = 65_521  # random numbers of one tensor, then again from the start: a prime, and quick


def seed_weights(network: OnlineNetwork, seed: int = 0) -> OnlineNetwork:
    """Weights from a fixed recipe that keeps activations of ordinary size, in place.

    numpy's generator, because its numbers are the same on every machine and version.
    """
    rng = np.random.default_rng(seed)
    for name, tensor in network.state_dict().items():
        shape = tuple(tensor.shape)
        if name.endswith("num_batches_tracked"):
            continue
        if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
            value = rng.uniform(0.6, 1.4, shape)
        elif len(shape) == 1:
            value = rng.normal(0, 0.2, shape)
        else:
            numbers = rng.standard_normal(min(tensor.numel(), REPEAT), np.float32)
            value = np.resize(numbers, shape) * np.sqrt(2 / np.prod(shape[1:]))
        tensor.copy_(torch.from_numpy(value))
    return network


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
