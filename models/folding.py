"""Batch normalisation folded into the convolutions before it: fewer, larger kernels."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(network: nn.Module) -> None:
    """Folds every convolution with its normalisation, in place; for a network in eval mode alone.

    They are told by their names: neighbours in a Sequential ("3", "4"), or "conv2" and "bn2".
    """
    for parent in list(network.modules()):
        children = dict(parent.named_children())
        for name, conv in children.items():
            follower = str(int(name) + 1) if name.isdigit() else name.replace("conv", "bn")
            norm = children.get(follower)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, follower, nn.Identity())
