"""One teaching from lessons to a network: features once, a head for each fold, the final head."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.card import ModelCard
from models.network import OnlineNetwork
from models.weight_files import head_of
from training.replay import Replay
from training.teach_data import Lesson
from training.teach_judge import Judged, fitted, judge
from training.teach_learn import Head, Rows, fit_head
from training.teach_views import VIEWS, Body, Memory, Views, make_views, play

Told = Callable[[float, str], None]  # the share that is done, and what is done now

FOLDS = 5  # at most; so up to five recordings of a gesture are left out one at a time
CLEAR = 0.1  # frames that weigh less are not learnt from


@dataclass(frozen=True)
class Taught:
    """The network that learnt, its card with thresholds, and how each lesson was judged by a head
    that had not seen it (nothing, where nobody asked).

    `remembered` [N, 3] are the replayed frames, each left out once as well: its label's place, what
    the old head answers, and what a head that learnt without the frame does.
    """

    network: OnlineNetwork
    card: ModelCard
    judged: tuple[Judged, ...]
    remembered: NDArray[np.int64]


def learn(network: OnlineNetwork, card: ModelCard, lessons: Sequence[Lesson],
          replay: Replay | None, *, seed: int, told: Told = lambda *_: None,
          judging: bool = True, workers: int = 1, views: int = VIEWS,
          memory: Memory | None = None) -> Taught:
    """Teaches a copy of `network`. `card` is its own; labels that it lacks are added at the end.

    `judging` False leaves out the folds, and the thresholds stay as they were.
    """
    wide = widened_card(card, lessons)
    body = Body(network, card)
    seen = make_views(
        lessons, wide, body, seed, views=views, workers=workers, memory=memory,
        told=lambda share: told(0.05 + 0.55 * share, "looking at the recordings"))
    old = head_at(network, card)
    memories = _memories(replay)
    remembered = np.zeros((0, 3), np.int64)
    background = [wide.labels.index(name) for name in card.background]

    def fit(kept: NDArray[np.bool_], replayed: Rows | None) -> Head:
        return fit_head(old, len(wide.labels), _rows(seen, kept), replayed,
                        background=background, seed=seed)

    judged: list[Judged] = []
    if judging:
        told(0.6, "watching them as a stream")
        with ThreadPoolExecutor(workers) as pool:
            played = list(pool.map(lambda lesson: play(lesson, wide, body), lessons))
        folds = _folds(lessons)
        for fold in np.unique(folds):
            told(0.72 + 0.2 * float(fold) / (folds.max() + 1), "judging what was left out")
            others, left_out = _divided(memories, int(fold), int(folds.max()) + 1)
            head = fit(folds != fold, others)
            if left_out is not None:
                remembered = np.concatenate([remembered, _answers(left_out, old, head)])
            judged += [judge(lessons[n], played[n], head, wide)
                       for n in np.flatnonzero(folds == fold).tolist()]
        labels = sorted({lesson.label for lesson in lessons if not lesson.background})
        wide = fitted(judged, wide, labels)
    told(0.93, "learning from all recordings")
    head = fit(np.ones(len(lessons), bool), memories)
    return Taught(with_head(network, card, head), wide, tuple(judged), remembered)


def widened_card(card: ModelCard, lessons: Sequence[Lesson]) -> ModelCard:
    """The card with the labels of all lessons, new ones at the end in alphabetical order. The
    others' thresholds hold on: the event detector knows which labels were added."""
    new = sorted({lesson.label for lesson in lessons} - set(card.labels))
    return card.replace(labels=(*card.labels, *new),
                        smoothing={"added": (*card.smoothing.added, *new)})


def head_at(network: OnlineNetwork, card: ModelCard) -> Head:
    """A copy of the network's last layer."""
    layer = network.get_submodule(head_of(card.architecture))
    assert isinstance(layer, nn.Linear)
    return Head(layer.weight.detach().clone(), layer.bias.detach().clone())


def with_head(network: OnlineNetwork, card: ModelCard, head: Head) -> OnlineNetwork:
    """A copy of the network with another last layer."""
    taught = copy.deepcopy(network).eval()
    layer = nn.Linear(head.weight.shape[1], head.weight.shape[0])
    layer.weight.data.copy_(head.weight)
    layer.bias.data.copy_(head.bias)
    taught.set_submodule(head_of(card.architecture), layer)
    return taught


def _folds(lessons: Sequence[Lesson]) -> NDArray[np.int64]:
    """Which fold leaves each lesson out [L]. The pieces of a background recording go together,
    unless it is the only one: then nothing else shows background."""
    most = max(lesson.turn for lesson in lessons if not lesson.background) + 1
    places = {source: place for place, source in enumerate(
        dict.fromkeys(lesson.source for lesson in lessons if lesson.background))}
    whole = len(places) > 1
    return np.array([(places[lesson.source] if whole and lesson.background else lesson.turn)
                     % min(FOLDS, max(most, 2)) for lesson in lessons])


def _rows(views: Views, kept: NDArray[np.bool_]) -> Rows:
    """The clear frames of the lessons that are kept [L]."""
    chosen = torch.from_numpy(kept[views.lesson])
    weights = views.weights[chosen].flatten()
    clear = weights > CLEAR
    return Rows(views.features[chosen].flatten(0, 1)[clear],
                views.places[chosen].flatten()[clear], weights[clear])


def _memories(replay: Replay | None) -> Rows | None:
    if replay is None:
        return None
    return Rows(replay.features, replay.places, torch.ones(len(replay.places)))


def _divided(rows: Rows | None, fold: int, folds: int) -> tuple[Rows | None, Rows | None]:
    """All but every `folds`-th of the rows, and those."""
    if rows is None:
        return None, None
    left_out = torch.arange(len(rows)) % folds == fold
    kept, gone = (Rows(rows.features[part], rows.places[part], rows.weights[part])
                  for part in (~left_out, left_out))
    return kept, gone


def _answers(rows: Rows, old: Head, head: Head) -> NDArray[np.int64]:
    """Each row's label, and what two heads answer [N, 3]."""
    return torch.stack([rows.places, old(rows.features).argmax(1),
                        head(rows.features).argmax(1)], 1).numpy()
