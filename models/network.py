"""What every network of this package can do: read a clip, or one frame and a state."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.card import Shift
from models.temporal_shift import fold_of, shift_clip, shift_clip_in_place, shift_frame

ShiftFunction = Callable[[Tensor], Tensor]
State = tuple[Tensor, ...]


class ShiftPoint(NamedTuple):
    """Where a block shifts: `channels` wide, on a map 1/`stride` as high and wide as the input."""

    channels: int
    stride: int


class OnlineNetwork(nn.Module):
    """A 2D network whose blocks call `shift(x)`; what is injected looks along a clip or into a
    cache. It has one walk through its blocks, `walk`, for both.

    `in_place` says that nothing needs a block's unshifted input (placement "block" only).
    """

    def __init__(self, shift: Shift, in_place: bool = False) -> None:
        super().__init__()
        self.shift = shift
        self._in_place = in_place
        self._shift_clip = shift_clip_in_place if in_place else shift_clip

    @abstractmethod
    def walk(self, x: Tensor, shift: ShiftFunction, start: int = 0, stop: int | None = None
             ) -> Tensor:
        """Blocks `start` to `stop` of the walk, the stem being block 0, with `shift` called at
        shifted blocks. Images [N, 3, H, W], or what the block before `start` gave, to the maps
        [N, C, h, w] that block `stop` would take, or with None to logits [N, K]."""

    @abstractmethod
    def shift_points(self) -> Iterator[ShiftPoint]:
        """The shifted blocks in the order of the walk."""

    def forward(self, clip: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Clips [N, T, 3, H, W] to logits of every frame [N, T, K], shifted as in training; or a
        part of the walk, with maps [N, T, C, h, w] in, out, or both."""
        n, t = clip.shape[:2]
        if start and self._in_place:
            clip = clip.clone()  # the caller's maps, which the first block may shift

        def shift(x: Tensor) -> Tensor:
            return self._shift_clip(x.reshape(n, t, *x.shape[1:]), self.shift).flatten(0, 1)

        y = self.walk(clip.flatten(0, 1), shift, start, stop)
        return y.reshape(n, t, *y.shape[1:])

    def step(self, frame: Tensor, state: State) -> tuple[Tensor, State]:
        """One frame of N streams [N, 3, H, W] and what the frame before left, to logits [N, K]
        and the state for the next frame. `state` itself is not changed."""
        folds = self.folds()  # plain numbers, so that an exported graph has fixed slices
        after: list[Tensor] = []

        def shift(x: Tensor) -> Tensor:
            i = len(after)
            shifted, kept = shift_frame(x, state[i], folds[i])
            after.append(kept)
            return shifted

        return self.walk(frame, shift), tuple(after)

    def open_state(self, batch: int, height: int, width: int) -> State:
        """The state before the first frame: zeros, one [batch, fold, h, w] a shifted block."""
        like = next(self.parameters())
        return tuple(
            torch.zeros(batch, fold.stop - fold.start,
                        -(-height // point.stride), -(-width // point.stride),
                        device=like.device, dtype=like.dtype)
            for point, fold in zip(self.shift_points(), self.folds(), strict=True)
        )

    def folds(self) -> list[slice]:
        """The channels that come from the previous frame, a slice a shifted block. Raises
        ValueError where a block is too narrow for its fold."""
        return [fold_of(point.channels, self.shift) for point in self.shift_points()]
