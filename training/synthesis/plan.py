"""Which clips a set is made of: a pure function of seed, split and number."""

from dataclasses import dataclass

import numpy as np

from training.synthesis.cast import SPLITS, Person, people
from training.synthesis.clip import choose
from training.synthesis.language import Gesture, Style

CLIPS_A_SHARD = 32
CLIPS_A_PERSON = 4  # in a row, since loading a person takes as long as drawing a few frames
# Background decides about false alarms, so it comes this often for each time of a gesture.
BACKGROUND_WEIGHT = 3
SEQUENCE_SHARE = 0.25  # clips that show two performances, background between or beside them


@dataclass(frozen=True)
class Job:
    """One clip to render: who, what (gesture, style, hand), and the seed of all the rest."""

    person: Person
    gestures: tuple[tuple[Gesture, Style, str], ...]
    seed: int


def shard_jobs(
    number: int, clips: int, seed: int, split: str, gestures: dict[str, Gesture]
) -> list[Job]:
    """The jobs of one shard of a set of some clips."""
    first = number * CLIPS_A_SHARD
    return [_job(i, seed, split, gestures)
            for i in range(first, first + shard_size(number, clips))]


def shard_count(clips: int) -> int:
    return -(-clips // CLIPS_A_SHARD)


def shard_size(number: int, clips: int) -> int:
    """How many clips a shard of a set of some clips holds; the last one may be a short one."""
    return min(CLIPS_A_SHARD, clips - number * CLIPS_A_SHARD)


def _job(number: int, seed: int, split: str, gestures: dict[str, Gesture]) -> Job:
    cast = people(split)
    root = (seed, SPLITS.index(split))
    block = np.random.default_rng((*root, 1, number // CLIPS_A_PERSON))
    person = cast[int(block.integers(len(cast)))]
    rng = np.random.default_rng((*root, 2, number))
    labels = [_label(number, seed, gestures)]
    if rng.random() < SEQUENCE_SHARE:
        labels.append(list(gestures)[int(rng.integers(len(gestures)))])
        rng.shuffle(labels)
    chosen = tuple(choose(rng, gestures[label], gestures, split) for label in labels)
    # A cup or a phone stays in the hand for a whole clip, so it does not share one.
    chosen = tuple(c for c in chosen if c[1].prop)[:1] or chosen
    return Job(person, chosen, int(rng.integers(1 << 62)))


def _label(number: int, seed: int, gestures: dict[str, Gesture]) -> str:
    """Every label equally often: a fresh shuffle of all labels for each round."""
    deck = [
        label
        for label, gesture in gestures.items()
        for _ in range(BACKGROUND_WEIGHT if gesture.background else 1)
    ]
    order = np.random.default_rng((seed, 3, number // len(deck))).permutation(len(deck))
    return deck[int(order[number % len(deck)])]
