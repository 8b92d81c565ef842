"""The temporal shift (TSM, arXiv 1811.08383). Nothing else in the project slices channels in time.

Channels lie in three groups: the first fold, the second fold (each 1/`fold_div` of the channels,
rounded down) and the rest, which never moves. `Shift.past_fold` says which fold comes from the
previous frame; with direction "both" the other one comes from the next frame. Some special cases:

    the online network   Shift("past", 8, "first")
    the training script  Shift("both", 8, "second")           the first eighth from the future
    a quarter each way   Shift("both", 4, "first", padding)   padding "zero" or "circulant"
"""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import Tensor

from models.card import Direction, Fold, Padding, Shift


def fold_of(channels: int, shift: Shift) -> slice:
    """The channels that come from the previous frame. ValueError where no channel would move."""
    size = channels // shift.fold_div
    start = 0 if shift.past_fold == "first" else size
    if size == 0 or start + size > channels:
        raise ValueError(f"{channels} channels have no {shift.past_fold} fold of "
                         f"1/{shift.fold_div}")
    return slice(start, start + size)


def shift_clip(clip: Tensor, shift: Shift) -> Tensor:
    """`clip` [N, T, C, H, W] with its folds moved by one frame (section 3.2 of the paper).

    Past the ends of the clip there are zeros, or with padding "circulant" its other end.
    Raises ValueError for an unknown direction, fold or padding.
    """
    first, second, rest = _folds(clip, shift)
    by_first, by_second = _moves(shift)
    moved = [_moved(first, by_first, shift.padding), _moved(second, by_second, shift.padding), rest]
    return torch.cat(moved, dim=2)


def shift_frame(x: Tensor, cached: Tensor, past: slice) -> tuple[Tensor, Tensor]:
    """One frame of a stream: `x` [N, C, H, W], `cached` [N, fold, H, W] from the frame before,
    `past` the channels it replaces, as `fold_of` gives them.

    Returns `x` with its past fold taken from the cache, and the cache for the next frame, a copy.
    Over a stream that starts with a cache of zeros this equals `shift_clip` with direction "past"
    and padding "zero" (section 3.4). A stream has no future, so with direction "both" the fold
    trained on the future keeps the current frame: an approximation.
    """
    kept = x[:, past].clone()
    around = [x[:, : past.start]] if past.start else []
    return torch.cat([*around, cached, x[:, past.stop :]], dim=1), kept


def shift_clip_in_place(clip: Tensor, shift: Shift) -> Tensor:
    """`shift_clip` written into `clip` itself: no second copy of the activations is kept.

    Only for placement "block", where nothing reads the unshifted input afterwards; the shortcut
    of "blockres" still needs it, so that placement is refused with ValueError. Autograd refuses it
    too where an earlier operation (a ReLU, say) needs its output for its gradient.
    """
    if shift.placement != "block":
        raise ValueError("the in-place shift needs placement 'block': the shortcut of "
                         f"{shift.placement!r} still reads the unshifted input")
    shifted: Tensor = _InPlaceShift.apply(clip, shift)  # type: ignore[no-untyped-call]
    return shifted


class _InPlaceShift(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, clip: Tensor, shift: Shift) -> Tensor:
        ctx.shift = shift
        ctx.mark_dirty(clip)
        _move_in_place(clip, shift, 1)
        return clip

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        # What moved to the next frame sends its gradient back to the previous one. The incoming
        # gradient may be shared with other branches, hence the copy.
        back = grads[0].clone()
        _move_in_place(back, ctx.shift, -1)
        return back, None


def _move_in_place(clip: Tensor, shift: Shift, sign: int) -> None:
    first, second, _ = _folds(clip, shift)
    for fold, by in zip((first, second), _moves(shift), strict=True):
        if by:
            fold.copy_(_moved(fold, by * sign, shift.padding))


def _folds(clip: Tensor, shift: Shift) -> tuple[Tensor, Tensor, Tensor]:
    """Views of the first fold, the second fold and the rest."""
    size = clip.shape[2] // shift.fold_div
    return clip[:, :, :size], clip[:, :, size : 2 * size], clip[:, :, 2 * size :]


def _moves(shift: Shift) -> tuple[int, int]:
    """By how many frames the first and the second fold move: 1 is later, -1 earlier."""
    for value, kind in ((shift.direction, Direction), (shift.past_fold, Fold),
                        (shift.padding, Padding)):
        if value not in get_args(kind):
            raise ValueError(f"unknown temporal shift {value!r}; "
                             f"known: {', '.join(get_args(kind))}")
    other = -1 if shift.direction == "both" else 0
    return (1, other) if shift.past_fold == "first" else (other, 1)


def _moved(fold: Tensor, by: int, padding: Padding) -> Tensor:
    """`fold` [N, T, c, H, W], each frame `by` frames later (a copy unless `by` is 0)."""
    if by == 0:
        return fold
    moved = fold.roll(by, dims=1)
    if padding == "zero":
        moved[:, 0 if by > 0 else -1] = 0
    return moved
