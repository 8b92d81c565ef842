"""Fits the event thresholds of a model, class by class, and writes them into its card.

    python -m training.thresholds --model M.safetensors --shards HELD_OUT --out M2.safetensors

Only rendered streams of held-out people may be used. Each of them is judged by what the others fit;
classes whose precision does not hold there get the highest threshold that does as well; if it does
not hold then, they must lead for half a second before they fire; and if it does not hold even then,
they are disabled, and can be switched on again. Then all people together fit the thresholds of the
other classes.
"""

from __future__ import annotations

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from models.card import ModelCard
from models.checkpoints import load_model, save_model
from online_tsm.engine import open_engine
from training.data import Clip, open_clips
from training.evaluate import USER_ERRORS, check_labels, sample
from training.events_file import DataError
from training.scoring import StreamCase, as_json, class_counts, f1, stream_figures
from training.streams import Recording, detected, record, replay, smoothed
from training.synthesis.cast import SPLITS
from training.targets import check_file

GRID = tuple(step / 20 for step in range(7, 20))  # thresholds tried: 0.35 to 0.95
FEWEST = 5  # events of a class, or its threshold is left as it is
FEWEST_PEOPLE = 2  # each is judged by what the others fit
PRECISION = 0.8  # of a class that stays on
LONG_HOLD_S = 0.5  # what other gestures begin with, an open palm say, is gone by then
PRIOR = 20  # events of the other classes, on average, that count with a class's own
NONE = (0, 0, 0)
TRAINING_CAST = SPLITS[0]  # how the names of its people begin

Counts = dict[str, tuple[int, int, int]]  # by label: found, invented, missed
Tried = dict[float, list[Counts]]  # by threshold, recording by recording


def fitted(recordings: Sequence[Recording], card: ModelCard, careful: Sequence[str] = (),
           tried: Tried | None = None) -> ModelCard:
    """The card with the thresholds that give each class its best F1 on these recordings, of those
    that hold its precision, if any does. `tried`: what `try_all` found, where that is known.

    A class has few events, so PRIOR events of the other classes count with its own. Of thresholds
    that do equally well, or differ by what one event makes, the lowest one is taken, for on real
    video probabilities are flatter than on rendered people. The classes of `careful` go by their
    own events and take the highest one.
    """
    tried = tried or try_all(recordings, card)
    return _best(tried, range(len(recordings)), card, careful)


def crossed(recordings: Sequence[Recording], card: ModelCard, careful: Sequence[str] = (),
            tried: Tried | None = None) -> list[StreamCase]:
    """Every recording, judged with thresholds that all other people fitted."""
    people = sorted({recording.person for recording in recordings})
    tried, cases = tried or try_all(recordings, card), []
    for person in people:
        others = [i for i, r in enumerate(recordings) if r.person != person]
        cases += cases_of([r for r in recordings if r.person == person],
                          _best(tried, others, card, careful))
    return cases


def try_all(recordings: Sequence[Recording], card: ModelCard) -> Tried:
    """Each threshold for all classes at once, on each recording."""
    cards = {rise: with_thresholds(card, {label: rise for label in card.labels
                                          if label not in card.background}) for rise in GRID}
    tried: Tried = {rise: [] for rise in GRID}
    for recording in recordings:
        probabilities = smoothed(recording, card)
        for rise, trial in cards.items():
            found = detected(recording, probabilities, trial)
            tried[rise].append(class_counts([StreamCase(recording.truth, found, recording.span)]))
    return tried


def _best(tried: Tried, numbers: Sequence[int], card: ModelCard, careful: Sequence[str]
          ) -> ModelCard:
    """The card with the thresholds that do best on the recordings of these numbers."""
    sums = {rise: {label: tuple(sum(rows[i].get(label, NONE)[k] for i in numbers)
                                for k in range(3)) for label in card.labels}
            for rise, rows in tried.items()}
    off = {*card.background, *card.smoothing.disabled}
    best = {}
    for label in card.labels:
        events = sums[GRID[0]][label][0] + sums[GRID[0]][label][2]
        if label in off or events < FEWEST:
            continue
        prior = 0 if label in careful else PRIOR
        marks, amount = {}, 0.0
        for rise, of in sums.items():
            other = _average([counts for name, counts in of.items() if name not in {label, *off}])
            pooled = [own + prior * rate for own, rate in zip(of[label], other, strict=True)]
            marks[rise], amount = (holds(*of[label][:2]), f1(*pooled)), pooled[0] + pooled[2]
        holding, best_f1 = max(marks.values())
        least = best_f1 - 1 / amount  # one event more or less is chance
        top = [rise for rise in GRID if marks[rise][0] == holding and marks[rise][1] >= least]
        best[label] = top[-1] if label in careful else top[0]
    return with_thresholds(card, best)


def _average(counts: Sequence[tuple[int, ...]]) -> tuple[float, ...]:
    """Found, invented, missed of one event of these classes; all 0 where they have none."""
    sums = [sum(column) for column in zip(*counts, strict=True)] or [0, 0, 0]
    return tuple(value / max(sums[0] + sums[2], 1) for value in sums)


def held_back(recordings: Sequence[Recording], card: ModelCard) -> tuple[ModelCard, list[str]]:
    """The card with what is done about classes whose precision does not hold across people, and
    the names of these.

    They get the highest threshold that does as well. Where that is not enough a longer hold, and
    where that is not enough either they are off, and keep both for whoever switches them on.
    """
    tried = try_all(recordings, card)
    careful = unreliable(crossed(recordings, card, tried=tried), card)
    weak = unreliable(crossed(recordings, card, careful, tried), card)
    if not weak:
        return card, careful
    card = card.replace(smoothing={"holds": dict.fromkeys(weak, LONG_HOLD_S)})
    tried = try_all(recordings, card)
    thresholds = fitted(recordings, card, weak, tried).smoothing.thresholds
    off = {*weak} & {*unreliable(crossed(recordings, card, [*careful, *weak], tried), card)}
    disabled = [label for label in card.labels if label in off]
    kept = {label: thresholds[label] for label in disabled if label in thresholds}
    return with_thresholds(card.replace(smoothing={"disabled": disabled}), kept), careful


def unreliable(cases: Sequence[StreamCase], card: ModelCard) -> list[str]:
    """The gestures whose precision in these cases is under 0.8, or that were never found."""
    counts = class_counts(cases)
    return [label for label in card.labels if label not in card.background
            and not holds(*counts.get(label, NONE)[:2])]


def holds(right: int, invented: int) -> bool:
    return right > 0 and right >= PRECISION * (right + invented)


def cases_of(recordings: Sequence[Recording], card: ModelCard) -> list[StreamCase]:
    """What the card's smoothing makes of the recordings."""
    return [StreamCase(r.truth, replay(r, card), r.span, r.person) for r in recordings]


def with_thresholds(card: ModelCard, thresholds: dict[str, float]) -> ModelCard:
    return card.replace(smoothing={"thresholds": {**card.smoothing.thresholds, **thresholds}})


def check_held_out(clips: Sequence[Clip], shards: Path) -> None:
    """Raises DataError for a person of the cast that training sees, and where there is but one."""
    for clip in clips:
        if clip.person.startswith(TRAINING_CAST):
            raise DataError(f"{shards} shows {clip.person}, whom training sees; thresholds need "
                            "people held out (`python -m training.synthesize render --split "
                            "heldout`)")
    if len({clip.person for clip in clips}) < FEWEST_PEOPLE:
        raise DataError(f"{shards} shows fewer than two people, and thresholds are judged on each "
                        "by what the others fit; render more clips")


def fit(model: str, shards: Path, out: Path, most: int | None) -> list[str]:
    """Fits, judges and writes; the lines of a report. Raises evaluate.USER_ERRORS."""
    check_file(out, suffix=".safetensors")
    network, card = load_model(model)
    card = card.replace(smoothing={"thresholds": {}, "holds": {}, "disabled": []})
    engine = open_engine(model)
    clips = sample(open_clips("shards", shards), most)
    check_held_out(clips, shards)
    check_labels(clips, card)
    recordings = [record(clip, engine, padded=True, allow=("all",))
                  for clip in tqdm(clips, unit="stream", leave=False)]
    card, careful = held_back(recordings, card)
    tried = try_all(recordings, card)  # what is off takes no event from the others
    figures = stream_figures(crossed(recordings, card, careful, tried))
    new = fitted(recordings, card, careful, tried)
    told = {"figures": as_json(figures), "how": (
        f"{len(recordings)} rendered streams of held-out people, each with thresholds that the "
        "others fitted; together they chose the classes that are on")}
    new = new.replace(measured={**new.measured, "rendered streams": told})
    save_model(network, new, out)
    return [*(f"{name:38} {figure}" for name, figure in figures.items()),
            "", "thresholds: " + ", ".join(f"{label} {rise:.2f}" for label, rise
                                           in new.smoothing.thresholds.items()),
            f"must lead for {LONG_HOLD_S} s: {', '.join(new.smoothing.holds) or 'none'}",
            f"disabled (precision under {PRECISION}, or never found): "
            f"{', '.join(new.smoothing.disabled) or 'none'}"]


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
    command_line.run(main)
