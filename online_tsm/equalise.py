"""Channels of the residual streams brought to like ranges, so that eight bits do for all of them
(Nagel et al., arXiv 1906.04721, section 4.1, here where it is exact: a stream has no activation).

What a projection writes to a channel is divided by a number, what the expansions make of that
channel is multiplied by it. The network computes the same, but for rounding; shifting and adding
keep channels where they are.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.folding import fold_batch_norm
from models.mobilenet_v2 import InvertedResidual, MobileNetV2
from models.network import OnlineNetwork
from online_tsm.engine import Array

STRENGTH = 0.5  # half of the way: the weights that read a channel take the other half
MOST = 64.0  # times the median range, or a 64th of it: channels may be dead
CHUNK = 32  # frames at once


def equalised(network: OnlineNetwork, inputs: Array) -> OnlineNetwork:
    """A copy that gives the same logits, with its batch normalisation folded. What ranges the
    channels have is seen on one stream, `inputs` [T, 3, h, w].

    Networks other than MobileNetV2 come back as they are: their streams are rectified.
    """
    if not isinstance(network, MobileNetV2):
        return network
    even = copy.deepcopy(network).eval()
    fold_batch_norm(even)
    ranges = _ranges(even, torch.from_numpy(inputs))
    for stream, readers in _streams(even):
        largest = torch.stack([ranges[block] for block in stream]).amax(0)
        median = largest.median().clamp(min=torch.finfo(largest.dtype).tiny)  # most may be dead
        factor = (largest / median).clamp(1 / MOST, MOST).pow(STRENGTH)
        for block in stream:
            written = _layer(block.conv, -2)  # the last one is what folding left of the norm
            written.weight.data /= factor[:, None, None, None]
            assert written.bias is not None  # folded
            written.bias.data /= factor
        for reader in readers:
            reader.weight.data *= factor[None, :, None, None]
    return even


def _streams(network: MobileNetV2) -> Iterator[tuple[list[InvertedResidual], list[nn.Conv2d]]]:
    """The blocks that write to each residual stream, and the convolutions that read it."""
    blocks = [block for block in network.features if isinstance(block, InvertedResidual)]
    first_layers = [_layer(block.conv, 0) for block in blocks] + [_layer(network.features[-1], 0)]
    starts = [number for number, block in enumerate(blocks) if not block.shortcut]
    for start, end in pairwise([*starts, len(blocks)]):
        yield blocks[start:end], first_layers[start + 1:end + 1]


def _layer(block: nn.Module, place: int) -> nn.Conv2d:
    layer = list(block.children())[place]
    assert isinstance(layer, nn.Conv2d)
    return layer


def _ranges(network: MobileNetV2, inputs: Tensor) -> dict[InvertedResidual, Tensor]:
    """The largest size [C] of each channel that a block writes, alone and in the stream."""
    ranges: dict[InvertedResidual, Tensor] = {}

    def note(block: InvertedResidual, y: Tensor) -> None:
        now = y.abs().amax((0, 2, 3))
        ranges[block] = torch.maximum(ranges.get(block, now), now)

    hooks = [layer.register_forward_hook(lambda _, __, y, block=block: note(block, y))
             for block in network.features if isinstance(block, InvertedResidual)
             for layer in (block, block.conv)]
    with torch.inference_mode():
        for chunk in torch.split(inputs, CHUNK):
            network(chunk[None])
    for hook in hooks:
        hook.remove()
    return ranges
