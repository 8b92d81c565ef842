"""Online TSM-MobileNetV2 (arXiv 1801.04381, shifted as in arXiv 1811.08383, section 4).

Ten blocks shift: those with an expansion and a shortcut (features 3, 5, 6, 8, 9, 10, 12, 13, 15,
16). At 224 x 224 and a fold of 1/8 their caches hold 27,048 floats. Parameters are named as in the
official online demo: features.N.conv.K and classifier.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

from torch import Tensor, nn

from models.card import Shift
from models.network import OnlineNetwork, ShiftFunction, ShiftPoint

STEM_CHANNELS = 32  # whatever the width multiplier
HEAD_CHANNELS = 1280  # at least
STAGES = (  # expansion, channels, blocks, stride of the first block
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def widths(width_multiplier: float) -> list[int]:
    """Output channels of features 0 to 18, rounded up to eights as in the official demo."""
    blocks = [
        _eights(channels * width_multiplier) if expansion > 1 else channels
        for expansion, channels, count, _ in STAGES
        for _ in range(count)
    ]
    head = _eights(HEAD_CHANNELS * max(width_multiplier, 1.0))
    return [STEM_CHANNELS, *blocks, head]


def _eights(channels: float) -> int:
    return math.ceil(channels / 8) * 8


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
          ) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, 1x1 projection; a shortcut where the shapes allow one."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, shift: Shift
                 ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.inputs = inputs
        self.stride = stride
        self.shortcut = stride == 1 and inputs == outputs
        self.shifted = self.shortcut and expansion > 1
        self.before_shortcut = shift.placement == "block"
        expand = [*_conv(inputs, hidden, 1), nn.ReLU6(inplace=True)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *expand,
            *_conv(hidden, hidden, 3, stride, groups=hidden),
            nn.ReLU6(inplace=True),
            *_conv(hidden, outputs, 1),
        )

    def forward(self, x: Tensor, shift: ShiftFunction) -> Tensor:
        shifted = shift(x) if self.shifted else x
        if self.before_shortcut:
            x = shifted
        y: Tensor = self.conv(shifted)
        return x + y if self.shortcut else y


class MobileNetV2(OnlineNetwork):
    """`classes` logits; `width_multiplier` scales the channels of all blocks but the first."""

    def __init__(self, classes: int, width_multiplier: float = 1.0, shift: Shift | None = None
                 ) -> None:
        shift = shift or Shift()
        super().__init__(shift, in_place=shift.placement == "block")
        channels = iter(widths(width_multiplier))
        width = next(channels)
        self.features = nn.ModuleList(
            [nn.Sequential(*_conv(3, width, 3, stride=2), nn.ReLU6(inplace=True))])
        for expansion, _, count, first_stride in STAGES:
            for i in range(count):
                stride, outputs = (first_stride if i == 0 else 1), next(channels)
                self.features.append(InvertedResidual(width, outputs, stride, expansion, shift))
                width = outputs
        head = next(channels)
        self.features.append(nn.Sequential(*_conv(width, head, 1), nn.ReLU6(inplace=True)))
        self.classifier = nn.Linear(head, classes)

    def walk(self, x: Tensor, shift: ShiftFunction, start: int = 0, stop: int | None = None
             ) -> Tensor:
        for feature in islice(self.features, start, stop):
            x = feature(x, shift) if isinstance(feature, InvertedResidual) else feature(x)
        return x if stop is not None else self.classifier(x.mean((2, 3)))

    def shift_points(self) -> Iterator[ShiftPoint]:
        stride = 2  # after the stem
        for feature in self.features:
            if isinstance(feature, InvertedResidual):
                if feature.shifted:
                    yield ShiftPoint(feature.inputs, stride)
                stride *= feature.stride
