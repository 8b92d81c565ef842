"""Auxiliary gestures: a network learns to tell them apart in training, and forgets their names.

The more motions its features part, the less is an unknown one taken for a known one, and the more
can be taught later. The last layer has a row for each behind those of the card's labels; what is
published has not.
"""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import Tensor, nn

from models.card import ModelCard
from models.network import OnlineNetwork
from models.weight_files import head_of
from training.loss import Losses, Total, sequence_loss
from training.recipe import LossOptions
from training.samples import Batch


def widen(network: OnlineNetwork, card: ModelCard, rows: int) -> None:
    """Gives the last layer so many more rows, in place."""
    old = _head(network, card)
    wide = nn.Linear(old.in_features, old.out_features + rows)
    with torch.no_grad():
        nn.init.normal_(wide.weight, 0, 0.01)
        wide.bias.fill_(float(old.bias.mean()))
        wide.weight[:old.out_features] = old.weight
        wide.bias[:old.out_features] = old.bias
    network.set_submodule(head_of(card.architecture), wide)


def narrowed(network: OnlineNetwork, card: ModelCard) -> OnlineNetwork:
    """A copy that has rows for the card's labels alone."""
    narrow = copy.deepcopy(network)
    old, rows = _head(narrow, card), len(card.labels)
    layer = nn.Linear(old.in_features, rows).to(old.weight.device)
    with torch.no_grad():
        layer.weight.copy_(old.weight[:rows])
        layer.bias.copy_(old.bias[:rows])
    narrow.set_submodule(head_of(card.architecture), layer)
    return narrow.requires_grad_(False)


def loss_with_auxiliary(logits: Tensor, batch: Batch, card: ModelCard, options: LossOptions,
                        total: Total) -> Losses:
    """The mean of two losses where `logits` [N, T, K] have auxiliary rows: of all rows, and of the
    card's alone, to which an auxiliary gesture is the last of the background labels."""
    known, idle = len(card.labels), card.labels.index(card.background[0])
    other = card.labels.index(card.background[-1])
    places = torch.where(batch.places < known, batch.places, other)
    of_card = sequence_loss(logits[..., :known], dataclasses.replace(batch, places=places), idle,
                            options, total)
    if logits.shape[2] == known:
        return of_card
    of_all = sequence_loss(logits, batch, idle, options, total)
    return dataclasses.replace(of_card, own=(of_card.own + of_all.own) / 2,
                               total=(of_card.total + of_all.total) / 2)


def _head(network: OnlineNetwork, card: ModelCard) -> nn.Linear:
    layer = network.get_submodule(head_of(card.architecture))
    assert isinstance(layer, nn.Linear)
    return layer
