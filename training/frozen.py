"""The first blocks of a network while they learn nothing: run apart, fast, without gradients."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.network import OnlineNetwork


class FrozenFront:
    """Blocks 0 to `blocks` of `network` as they are now, in a copy whose batch norms are folded.

    What freezing a pretrained front does for training on rendered pictures: arXiv 1710.10710.
    """

    def __init__(self, network: OnlineNetwork, blocks: int) -> None:
        self.network, self.blocks = _folded(copy.deepcopy(network).eval()), blocks

    @torch.no_grad()
    def __call__(self, clips: Tensor) -> Tensor:
        """Clips [N, T, 3, H, W] to maps [N, T, C, h, w]. On a CPU one clip after the other: what a
        block gives then still lies in the cache when the next one reads it."""
        at_once = len(clips) if clips.is_cuda else 1
        return torch.cat([self.network(part, stop=self.blocks) for part in clips.split(at_once)])


def _folded(network: OnlineNetwork) -> OnlineNetwork:
    """Every batch norm that follows a convolution in a Sequential goes into it, in place."""
    for parent in list(network.modules()):
        if not isinstance(parent, nn.Sequential):
            continue
        for number in range(1, len(parent)):
            before, norm = parent[number - 1], parent[number]
            if isinstance(before, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                parent[number - 1] = fuse_conv_bn_eval(before, norm)
                parent[number] = nn.Identity()
    return network
