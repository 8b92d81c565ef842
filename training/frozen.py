"""The first blocks of a network while they learn nothing: run apart, fast, without gradients."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from models.folding import fold_batch_norm
from models.network import OnlineNetwork


class FrozenFront:
    """Blocks 0 to `blocks` of `network` as they are now, in a copy whose batch norms are folded.

    What freezing a pretrained front does for training on rendered pictures: arXiv 1710.10710.
    """

    def __init__(self, network: OnlineNetwork, blocks: int) -> None:
        self.network, self.blocks = copy.deepcopy(network).eval(), blocks
        fold_batch_norm(self.network)

    @torch.no_grad()
    def __call__(self, clips: Tensor) -> Tensor:
        """Clips [N, T, 3, H, W] to maps [N, T, C, h, w]. On a CPU one clip after the other: what a
        block gives then still lies in the cache when the next one reads it."""
        at_once = len(clips) if clips.is_cuda else 1
        return torch.cat([self.network(part, stop=self.blocks) for part in clips.split(at_once)])
