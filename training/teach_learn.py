"""What is learnt: a new head over frozen features, from the user's views and replayed frames.

Why the head alone, and what else was measured: docs/teach.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

STEPS, BATCH = 240, 128  # frames of the user's in a step, and as many replayed ones
LEARNING_RATE = 2e-3
WARMUP_STEPS = 20
QUIET_SHARE = 0.35  # of a batch is background; the rest is shared by the gestures alike
LABEL_SMOOTHING = 0.05
PULL = 0.3  # towards the start, for each unit of squared distance a row
HESITATION = 1.0  # a new row's bias starts so far below the mean of the old ones


@dataclass(frozen=True)
class Rows:
    """Single frames: `features` [N, D], `places` [N] of their labels, `weights` [N]."""

    features: Tensor
    places: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return len(self.places)


@dataclass(frozen=True)
class Head:
    """`weight` [K, D] and `bias` [K] of the last layer."""

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        return functional.linear(features, self.weight, self.bias)


def fit_head(old: Head, classes: int, own: Rows, replay: Rows | None, *,
             background: Sequence[int], seed: int) -> Head:
    """The head with `classes` rows, of which the first are those of `old`.

    A frame of background is right whichever of the `background` places it gets: a user who sits
    and talks does both. Without `replay` what no recording shows may be forgotten.
    """
    start = widened(old, classes)
    weight = start.weight.clone().requires_grad_(True)
    bias = start.bias.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([weight, bias])
    generator = torch.Generator().manual_seed(seed)
    quiet = torch.tensor(list(background))
    sources = [(rows, _chances(rows, quiet, classes)) for rows in (own, replay) if rows]
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * _rate(step)
        parts = [_drawn(rows, chances, generator) for rows, chances in sources]
        features = torch.cat([features for features, _ in parts])
        loss = frame_loss(functional.linear(features, weight, bias),
                          torch.cat([places for _, places in parts]), quiet)
        loss = loss + PULL * (weight - start.weight).square().sum() / classes
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return Head(weight.detach(), bias.detach())


def widened(old: Head, classes: int) -> Head:
    """`old` with rows of zeros for new classes, which start as unlikely."""
    new = classes - len(old.bias)
    weight = torch.cat([old.weight, torch.zeros(new, old.weight.shape[1])])
    return Head(weight, torch.cat([old.bias, (old.bias.mean() - HESITATION).repeat(new)]))


def frame_loss(logits: Tensor, places: Tensor, quiet: Tensor) -> Tensor:
    """Mean cross entropy of `logits` [N, K]; all background places count as one."""
    own = functional.cross_entropy(logits, places, reduction="none",
                                   label_smoothing=LABEL_SMOOTHING)
    either = -torch.logsumexp(logits.log_softmax(1)[:, quiet], 1)
    return torch.where(torch.isin(places, quiet), either, own).mean()


def _chances(rows: Rows, quiet: Tensor, classes: int) -> Tensor:
    """Of each frame [N] to be drawn: its weight within its class, and its class's share."""
    groups = torch.where(torch.isin(rows.places, quiet), quiet[0], rows.places)
    totals = torch.zeros(classes, dtype=torch.float64)
    totals.index_add_(0, groups, rows.weights.double())
    loud = int((totals > 0).sum()) - int(totals[quiet[0]] > 0)
    share = torch.full((classes,), (1 - QUIET_SHARE) / max(loud, 1), dtype=torch.float64)
    share[quiet[0]] = QUIET_SHARE
    return rows.weights.double() * (share / totals.clamp(min=1e-9))[groups]


def _drawn(rows: Rows, chances: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    picks = torch.multinomial(chances, BATCH, replacement=True, generator=generator)
    return rows.features[picks], rows.places[picks]


def _rate(step: int) -> float:
    """Of the learning rate: a warm-up, then straight down."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * (1 - step / STEPS)
