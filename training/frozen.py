"""Parts of a network that learn less, run faster: frozen first blocks, still batch norms."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.folding import fold_batch_norm, norm_pairs
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
        parts = torch.split(clips, at_once)
        return torch.cat([self.network(part, stop=self.blocks) for part in parts])


class StillNorms(nn.Module):
    """`network` with batch norms that keep their statistics: they are folded into the convolutions
    before them, anew at every call, and all weights learn through that.

    For a network that was trained before: it gives what the network gives in eval mode. On a CPU
    its step is faster, since normalisation is gone and bf16 pays.
    """

    def __init__(self, network: OnlineNetwork) -> None:
        super().__init__()
        self.network = network
        folded = copy.deepcopy(network).eval()
        fold_batch_norm(folded)
        for name, module in list(folded.named_modules()):
            if isinstance(module, nn.Conv2d) and module.groups > 1 and max(module.stride) > 1:
                folded.set_submodule(name, _FloatConv2d.like(module))
        self._folded = (folded,)  # in a tuple: its weights are no parameters of this module

    def forward(self, inputs: Tensor, start: int = 0) -> Tensor:
        """As the network's own; `start` is the block that takes `inputs`."""
        folded = self._folded[0]
        own = dict(self.network.named_parameters())
        weights = {name: own[name] for name, _ in folded.named_parameters() if name in own}
        logits: Tensor = functional_call(folded, weights | self._scaled(), (inputs, start))
        return logits

    def _scaled(self) -> dict[str, Tensor]:
        """Weights and biases of all convolutions that a batch norm follows."""
        scaled: dict[str, Tensor] = {}
        for conv_name, conv, _, norm in norm_pairs(self.network):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
            mean = norm.running_mean if conv.bias is None else norm.running_mean - conv.bias
            scaled[f"{conv_name}.weight"] = conv.weight * factor[:, None, None, None]
            scaled[f"{conv_name}.bias"] = norm.bias - mean * factor
        return scaled


class _FloatConv2d(nn.Conv2d):
    """Computes in float32 even where the rest is in bf16: in that PyTorch 2.13 takes many times
    as long on a CPU to differentiate a depthwise convolution with a stride."""

    @classmethod
    def like(cls, conv: nn.Conv2d) -> _FloatConv2d:
        return cls(conv.in_channels, conv.out_channels, conv.kernel_size,  # type: ignore[arg-type]
                   conv.stride, conv.padding, conv.dilation, conv.groups)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())
