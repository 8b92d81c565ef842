"""Weights from a fixed recipe: the networks of the tests, the same on every machine."""

from __future__ import annotations

import numpy as np
import torch

from models.network import OnlineNetwork

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
