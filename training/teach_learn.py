"""What is learnt: a new head over frozen features, from the user's views and replayed frames.

Why the head alone, and what else was measured: docs/teach.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

STEPS = 240
EACH = 8  # frames of each gesture in a step, of the user's as of the replayed: so no class is
QUIET_SHARE = 0.35  # likelier than another by its mere number; this share more is background
LEARNING_RATE = 6e-3
WARMUP_STEPS = 20
PULL = 0.05  # towards the start, for each unit of squared distance a row
DISTIL = 2.0  # weight of saying what the old head said to replayed frames
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
    sources = [(rows, _chances(rows, quiet, classes), _batch(rows, quiet))
               for rows in (own, replay) if rows]
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * _rate(step)
        picks = [torch.multinomial(chances, count, replacement=True, generator=generator)
                 for _, chances, count in sources]
        features = torch.cat([rows.features[pick] for (rows, _, _), pick
                              in zip(sources, picks, strict=True)])
        places = torch.cat([rows.places[pick] for (rows, _, _), pick
                            in zip(sources, picks, strict=True)])
        logits = functional.linear(features, weight, bias)
        loss = frame_loss(logits, places, quiet)
        loss = loss + PULL * (weight - start.weight).square().sum() / classes
        if replay:
            loss = loss + DISTIL * _forgotten(logits, features, old, len(picks[-1]))
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
    own = functional.cross_entropy(logits, places, reduction="none")
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


def _batch(rows: Rows, quiet: Tensor) -> int:
    """How many frames of a source make a step."""
    gestures = len(set(rows.places[~torch.isin(rows.places, quiet)].tolist()))
    return max(2, round(EACH * max(gestures, 1) / (1 - QUIET_SHARE)))


def _forgotten(logits: Tensor, features: Tensor, old: Head, replayed: int) -> Tensor:
    """How far the old classes' part of the last rows is from what the old head said to them
    (learning without forgetting, arXiv 1606.09282)."""
    now = functional.log_softmax(logits[-replayed:, :len(old.bias)], 1)
    before = functional.log_softmax(old(features[-replayed:]), 1)
    return functional.kl_div(now, before, log_target=True, reduction="batchmean")


def _rate(step: int) -> float:
    """Of the learning rate: a warm-up, then straight down."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * (1 - step / STEPS)
