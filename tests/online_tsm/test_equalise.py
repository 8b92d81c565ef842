"""Channels of like ranges: the same logits, and streams that are more even."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from seeding import seed_weights
from tiny_streams import CARD

from models.build import build_network
from online_tsm import equalise
from online_tsm.equalise import equalised


@pytest.fixture
def inputs() -> np.ndarray:
    """In double precision, as the networks here: a random one blows rounding up."""
    return np.random.default_rng(0).standard_normal((40, 3, 32, 32))


def spread(network, inputs) -> float:
    """How uneven the channels of the streams are: the largest range by the median one, on
    average."""
    found = equalise._ranges(network, torch.from_numpy(inputs))
    return float(np.mean([float(one.max() / one.median()) for one in found.values()]))


@torch.inference_mode()
def test_it_computes_the_same_with_streams_that_are_more_even(inputs):
    network = seed_weights(build_network(CARD)).double()
    for block in list(network.features)[1:-1]:  # uneven streams, as trained ones are
        block.conv[-1].weight.data *= torch.linspace(0.1, 4, block.conv[-1].num_features)
    even = equalised(network, inputs)
    clip = torch.from_numpy(inputs[None])
    expected = network.eval()(clip)
    assert (even(clip) - expected).abs().max() < 1e-9 * expected.abs().max()
    assert spread(even, inputs) < 0.7 * spread(network, inputs)
    state = expected_state = network.open_state(1, 32, 32)
    for frame in clip[0, :5]:  # a stream's states hold the new ranges
        logits, state = even.step(frame[None], state)
        expected, expected_state = network.step(frame[None], expected_state)
        assert (logits - expected).abs().max() < 1e-9 * expected.abs().max()


@pytest.mark.parametrize("dead", [1, 6])  # of 8 channels and more: the median is 0, too
def test_a_dead_channel_stays_dead_and_nothing_becomes_infinite(dead, inputs):
    network = seed_weights(build_network(CARD)).double()
    for block in list(network.features)[1:-1]:
        block.conv[-1].weight.data[:dead] = 0
        block.conv[-1].bias.data[:dead] = 0
    even = equalised(network, inputs)
    assert all(bool(weight.isfinite().all()) for weight in even.parameters())


def test_the_network_that_is_given_stays_as_it_is(inputs):
    network = seed_weights(build_network(CARD)).double()
    before = [weight.clone() for weight in network.parameters()]
    equalised(network, inputs)
    after = list(network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    resnet = build_network(CARD.replace(architecture="resnet50", width_multiplier=1.0))
    assert equalised(resnet, inputs) is resnet
