"""Fits the event thresholds of a model, class by class, and writes them into its card.

    python -m training.thresholds --model M.safetensors --shards HELD_OUT --out M2.safetensors

Only rendered streams of held-out people may be used: a half of the people fits, the other half
judges. Classes whose precision does not hold there are disabled: they can be switched on again.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from models.card import ModelCard
from models.checkpoints import load_model, save_model
from online_tsm.engine import open_engine
from training.data import read_shards
from training.evaluate import USER_ERRORS
from training.events_file import DataError
from training.scoring import StreamCase, as_json, class_counts, stream_figures
from training.streams import Recording, record, replay

GRID = tuple(step / 20 for step in range(7, 20))  # thresholds tried: 0.35 to 0.95
FEWEST = 5  # events of a class, or its threshold is left as it is
PRECISION = 0.8  # of a class that stays on
ROUNDS = 2  # thresholds shape each other: what one class does not say another one may


def fitted(recordings: Sequence[Recording], card: ModelCard) -> ModelCard:
    """The card with the thresholds that give each class its best F1 on these recordings.

    Of thresholds that do equally well the middle one is taken.
    """
    happened = [event.label for recording in recordings for event in recording.truth]
    for _ in range(ROUNDS):
        tried = {rise: cases_of(recordings, with_thresholds(
            card, {label: rise for label in card.labels if label not in card.background}))
            for rise in GRID}
        counts = {rise: class_counts(cases) for rise, cases in tried.items()}
        best = {}
        for label in card.labels:
            if label in card.background or happened.count(label) < FEWEST:
                continue
            marks = {rise: f1(*counts[rise].get(label, (0, 0, 0))) for rise in GRID}
            top = [rise for rise in GRID if marks[rise] >= max(marks.values()) - 1e-9]
            best[label] = top[len(top) // 2]
        card = with_thresholds(card, best)
    return card


def unreliable(recordings: Sequence[Recording], card: ModelCard) -> list[str]:
    """The gestures whose precision on these recordings is under 0.8, or that were never found."""
    counts = class_counts(cases_of(recordings, card))
    found = []
    for label in card.labels:
        right, invented, _ = counts.get(label, (0, 0, 0))
        if label not in card.background and right < PRECISION * max(right + invented, 1):
            found.append(label)
    return found


def cases_of(recordings: Sequence[Recording], card: ModelCard) -> list[StreamCase]:
    """What the card's smoothing makes of the recordings."""
    return [StreamCase(r.truth, replay(r, card), r.span) for r in recordings]


def with_thresholds(card: ModelCard, thresholds: dict[str, float]) -> ModelCard:
    return card.replace(smoothing={"thresholds": {**card.smoothing.thresholds, **thresholds}})


def f1(right: int, invented: int, missed: int) -> float:
    return 2 * right / max(2 * right + invented + missed, 1)


def split_by_person(recordings: Sequence[Recording]) -> tuple[list[Recording], list[Recording]]:
    """Every other person, in the order of their names. Raises DataError for a single person."""
    people = sorted({recording.person for recording in recordings})
    if len(people) < 2:
        raise DataError("thresholds need held-out streams of at least two people: one half fits, "
                        "the other half judges")
    first = set(people[::2])
    return ([r for r in recordings if r.person in first],
            [r for r in recordings if r.person not in first])


def fit(model: str, shards: Path, out: Path, most: int | None) -> list[str]:
    """Fits, judges and writes; the lines of a report. Raises evaluate.USER_ERRORS."""
    network, card = load_model(model)
    card = card.replace(smoothing={"thresholds": {}, "disabled": []})
    engine = open_engine(model)
    clips = read_shards(shards)[:most]
    recordings = [record(clip, engine, padded=True, allow=("all",))
                  for clip in tqdm(clips, unit="stream", leave=False)]
    fitting, judging = split_by_person(recordings)
    new = fitted(fitting, card)
    disabled = unreliable(judging, new)
    new = new.replace(smoothing={"disabled": disabled})
    figures = stream_figures(cases_of(judging, new))
    told = {"figures": as_json(figures), "how": (
        f"{len(judging)} rendered streams of held-out people that fitted no threshold, though they "
        f"chose the classes that are on; {len(fitting)} streams of others fitted")}
    new = new.replace(measured={**new.measured, "rendered streams": told})
    save_model(network, new, out)
    return [*(f"{name:38} {figure}" for name, figure in figures.items()),
            "", "thresholds: " + ", ".join(f"{label} {rise:.2f}" for label, rise
                                           in new.smoothing.thresholds.items()),
            f"disabled (precision under {PRECISION}): {', '.join(disabled) or 'none'}"]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.thresholds", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="name or file")
    parser.add_argument("--shards", type=Path, required=True,
                        help="a folder of rendered shards of held-out people")
    parser.add_argument("--out", type=Path, required=True, help="the model with the new card")
    parser.add_argument("--most", type=int, help="take at most so many clips")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING)
    try:
        lines = fit(args.model, args.shards, args.out, args.most)
    except USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
