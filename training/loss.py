"""What a training step asks for: the right label at every frame that is asked, and over a gesture.

Sums are divided by the totals of all processes, so that several processes with a share of the
batch each get the loss of one process with the whole of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.recipe import LossOptions
from training.samples import Batch

Total = Callable[[Tensor], Tensor]  # sums a detached tensor over all processes


@dataclass(frozen=True)
class Losses:
    """`own` is to be differentiated; `total` is the loss of the whole batch, `frames` and
    `sequences` the shares of frames and of sequences that got the right label."""

    own: Tensor
    total: float
    frames: float
    sequences: float


def sequence_loss(logits: Tensor, batch: Batch, idle: int, options: LossOptions, total: Total
                  ) -> Losses:
    """`logits` [N, T, K] against what the batch asks; `idle` is the place of idle time's label."""
    weights, places = batch.weights, batch.places
    by_frame = functional.cross_entropy(
        logits.flatten(0, 1), places.flatten(), reduction="none",
        label_smoothing=options.label_smoothing).reshape(places.shape)
    label, share = gesture_of(batch, idle)
    pooled = (logits * share[..., None]).sum(1)
    asked = (share.sum(1) > 0).float()
    by_sequence = functional.cross_entropy(
        pooled, label, reduction="none", label_smoothing=options.label_smoothing)
    sums = torch.stack([(by_frame * weights).sum(), (by_sequence * asked).sum()])
    right = torch.stack([((logits.argmax(2) == places) * weights).sum(),
                         ((pooled.argmax(1) == label) * asked).sum()])
    amounts = total(torch.stack([weights.sum(), asked.sum()])).clamp(min=1e-6)
    factors = torch.tensor([1.0, options.pooled], device=logits.device)
    whole, right = total(sums.detach()) / amounts, total(right) / amounts
    return Losses(own=(sums / amounts * factors).sum(), total=float((whole * factors).sum()),
                  frames=float(right[0]), sequences=float(right[1]))


def gesture_of(batch: Batch, idle: int) -> tuple[Tensor, Tensor]:
    """For each sequence its label [N], and each frame's share of it [N, T]; shares sum to 1, or 0.

    It is the label of the last frame that is clearly asked for something else than idleness, or
    idle time's where there is no such frame.
    """
    busy = batch.weights * (batch.places != idle)
    order = torch.arange(1, busy.shape[1] + 1, device=busy.device) * (busy >= 0.5)
    last = order.argmax(1, keepdim=True)
    label = torch.where(order.amax(1) > 0, batch.places.gather(1, last)[:, 0],
                        torch.full_like(last[:, 0], idle))
    weight = batch.weights * (batch.places == label[:, None])
    return label, weight / weight.sum(1, keepdim=True).clamp(min=1e-6)
