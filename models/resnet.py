"""Online TSM-ResNet (arXiv 1512.03385, shifted as in arXiv 1811.08383, section 5.1).

Placement "blockres" shifts the input of every block's first convolution (ResNet-101: of every
second block of a stage, as the paper's code does); "block" shifts the input of every whole block.
Parameters are named as in torchvision: conv1, bn1, layerS.B.convK, fc.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from torch import Tensor, nn
from torch.nn import functional

from models.card import Shift
from models.network import OnlineNetwork, ShiftFunction, ShiftPoint

BLOCKS = {  # by depth: blocks of the four stages
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}
BOTTLENECK_FROM = 50  # this depth and deeper ones have blocks of three convolutions
STEM_CHANNELS = 64


def shifts(depth: int, block: int, shift: Shift) -> bool:
    """Whether block number `block` of a stage (from 0) shifts."""
    return depth < 101 or shift.placement == "block" or block % 2 == 0


class Block(nn.Module):
    """Two 3x3 convolutions, or with `bottleneck` 1x1, 3x3 and 1x1, and a shortcut around them.

    `shift` is None where the block does not shift.
    """

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool,
                 shift: Shift | None) -> None:
        super().__init__()
        outputs = width * 4 if bottleneck else width
        self.inputs, self.stride = inputs, stride
        self.shifted = shift is not None
        self.before_shortcut = shift is not None and shift.placement == "block"
        self.conv3: nn.Module | None = None
        self.downsample: nn.Module | None = None
        if bottleneck:
            self.conv1 = _conv(inputs, width, 1)
            self.conv2 = _conv(width, width, 3, stride)
            self.conv3, self.bn3 = _conv(width, outputs, 1), nn.BatchNorm2d(outputs)
        else:
            self.conv1 = _conv(inputs, width, 3, stride)
            self.conv2 = _conv(width, width, 3)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                _conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor, shift: ShiftFunction) -> Tensor:
        shifted = shift(x) if self.shifted else x
        if self.before_shortcut:
            x = shifted
        y = functional.relu(self.bn1(self.conv1(shifted)))
        y = self.bn2(self.conv2(y))
        if self.conv3 is not None:
            y = self.bn3(self.conv3(functional.relu(y)))
        shortcut = self.downsample(x) if self.downsample is not None else x
        return functional.relu(y + shortcut)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class ResNet(OnlineNetwork):
    """`classes` logits; `depth` is 18, 34, 50 or 101."""

    def __init__(self, depth: int, classes: int, shift: Shift | None = None) -> None:
        shift = shift or Shift()
        # Never in place: the ReLU that ends a block needs its output for its gradient.
        super().__init__(shift, in_place=False)
        bottleneck = depth >= BOTTLENECK_FROM
        self.conv1 = _conv(3, STEM_CHANNELS, 7, 2)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        channels = STEM_CHANNELS
        for stage, count in enumerate(BLOCKS[depth]):
            width = STEM_CHANNELS * 2**stage
            blocks = nn.ModuleList()
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                here = shift if shifts(depth, i, shift) else None
                blocks.append(Block(channels, width, stride, bottleneck, here))
                channels = width * 4 if bottleneck else width
            self.add_module(f"layer{stage + 1}", blocks)
        self.fc = nn.Linear(channels, classes)

    def walk(self, x: Tensor, shift: ShiftFunction, start: int = 0, stop: int | None = None
             ) -> Tensor:
        if start == 0:
            x = functional.relu(self.bn1(self.conv1(x)))
            x = functional.max_pool2d(x, 3, stride=2, padding=1)
        after_stem = None if stop is None else stop - 1
        for block in islice(self._blocks(), max(start - 1, 0), after_stem):
            x = block(x, shift)
        return x if stop is not None else self.fc(x.mean((2, 3)))

    def shift_points(self) -> Iterator[ShiftPoint]:
        stride = 4  # after the stem and its pooling
        for block in self._blocks():
            if block.shifted:
                yield ShiftPoint(block.inputs, stride)
            stride *= block.stride

    def _blocks(self) -> Iterator[Block]:
        for stage in range(1, 5):
            for block in self.get_submodule(f"layer{stage}").children():
                assert isinstance(block, Block)
                yield block
