"""How a network under training does on people it never sees: quick figures, in one process each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.card import ModelCard
from models.network import OnlineNetwork
from online_tsm.preprocess import Preprocessor
from training.data import Clip
from training.events_file import LabelledEvent
from training.sequences import SequenceOptions, Times, frame_numbers, held_until, targets

ALARM = 0.6  # a gesture above this probability in an idle frame is a false alarm
AT_ONCE = 16  # sequences in one pass


@dataclass(frozen=True)
class Case:
    """One event's window: inputs float16 [T, 3, h, w], what is asked of it, and its label."""

    inputs: Tensor
    places: Tensor
    weights: Tensor
    label: int


@dataclass(frozen=True)
class Scores:
    """Shares from 0 to 1. `alarms`: idle frames before the stroke that shout a gesture."""

    top1: float
    top3: float
    alarms: float
    loss: float


def make_cases(clips: Sequence[Clip], card: ModelCard, options: SequenceOptions, most: int,
               seed: int, *, rank: int = 0, world: int = 1) -> list[Case]:
    """A window for each of `most` events, at the card's rate, ending when the gesture was held; of
    these `rank`'s share, for they lie in memory."""
    found = [(clip, event) for clip in clips for event in clip.events]
    order = np.random.default_rng(seed).permutation(len(found))[:most]
    chosen = [found[number] for number in order[rank::world]]
    return [_case(clip, event, card, options) for clip, event in chosen]


def _case(clip: Clip, event: LabelledEvent, card: ModelCard, options: SequenceOptions) -> Case:
    times = event_times(event, card, options.frames)
    asked = targets(clip, times, card, options)
    pre = Preprocessor(card)
    images = clip.read(frame_numbers(clip, times, card.background).tolist())
    inputs = np.stack([pre(image).astype(np.float16) for image in images])
    return Case(torch.from_numpy(inputs), torch.from_numpy(asked.places),
                torch.from_numpy(asked.weights), card.labels.index(event.label))


def event_times(event: LabelledEvent, card: ModelCard, frames: int) -> Times:
    """`frames` times at the card's rate that end when the event's gesture was held (s)."""
    return np.asarray(held_until(event) + np.arange(1 - frames, 1) / card.frame_rate)


@torch.inference_mode()
def tally(network: OnlineNetwork, cases: Sequence[Case], card: ModelCard, bf16: bool) -> Tensor:
    """Sums over the cases [7]: right, right among three, cases, alarms, idle frames, loss, weight.

    Sums of several processes can be added before `scores`.
    """
    device = next(network.parameters()).device
    background = torch.tensor([card.labels.index(name) for name in card.background])
    sums = torch.zeros(7, dtype=torch.float64)
    for start in range(0, len(cases), AT_ONCE):
        part = cases[start:start + AT_ONCE]
        inputs = torch.stack([case.inputs for case in part]).to(device).float()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = network(inputs)
        for case, own in zip(part, logits.float().cpu(), strict=True):
            sums += _sums_of(case, own, background)
    return sums


def _sums_of(case: Case, logits: Tensor, background: Tensor) -> Tensor:
    asked = (case.places == case.label) & (case.weights > 0)
    mean = logits[asked if asked.any() else slice(None)].mean(0)
    best = mean.argsort(descending=True)[:3]
    idle = torch.isin(case.places, background) & (case.weights > 0)
    sure = logits.softmax(1)
    sure[:, background] = 0
    alarms = (sure.amax(1) > ALARM) & idle
    loss = torch.nn.functional.cross_entropy(logits, case.places, reduction="none") * case.weights
    return torch.stack([best[0] == case.label, (best == case.label).any(), torch.tensor(1),
                        alarms.sum(), idle.sum(), loss.sum(), case.weights.sum()]).double()


def scores(sums: Tensor) -> Scores:
    right, three, cases, alarms, idle, loss, weight = sums.tolist()
    return Scores(right / max(cases, 1), three / max(cases, 1), alarms / max(idle, 1),
                  loss / max(weight, 1e-6))
