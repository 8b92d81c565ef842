"""Batch normalisation folded into the convolutions before it: fewer, larger kernels."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class NormPair(NamedTuple):
    """A convolution and the batch normalisation that follows it, with their dotted names."""

    conv_name: str
    conv: nn.Conv2d
    norm_name: str
    norm: nn.BatchNorm2d


def norm_pairs(network: nn.Module) -> list[NormPair]:
    """Every convolution of a network that a batch normalisation follows.

    They are told by their names: neighbours in a Sequential ("3", "4"), or "conv2" and "bn2".
    """
    pairs = []
    for parent_name, parent in network.named_modules():
        children = dict(parent.named_children())
        for name, conv in children.items():
            follower = str(int(name) + 1) if name.isdigit() else name.replace("conv", "bn")
            norm = children.get(follower)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                prefix = f"{parent_name}." if parent_name else ""
                pairs.append(NormPair(prefix + name, conv, prefix + follower, norm))
    return pairs


def fold_batch_norm(network: nn.Module) -> None:
    """Folds each convolution with its normalisation, in place; for a network in eval mode alone."""
    for pair in norm_pairs(network):
        network.set_submodule(pair.conv_name, fuse_conv_bn_eval(pair.conv, pair.norm))
        network.set_submodule(pair.norm_name, nn.Identity())
