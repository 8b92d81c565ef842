"""What scores of taught users come to: shares with intervals, as text, numbers and a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from online_tsm.graphs import write_atomically
from training.intervals import Figure, bootstrap, mean, rate, share
from training.plots import plot_curves

Clips = tuple[bool, ...]  # of each clip whether it was answered rightly
SHARES = {"new": "new gestures", "known_before": "known, without teaching", "known": "known",
          "own_before": "known and taught, without teaching", "own": "known and taught",
          "found_before": "known as events, without teaching", "found": "known as events"}
GAINS = {"known": "known", "own": "known and taught", "found": "known as events"}
RATES = {"false_before": "false events a minute, without teaching",
         "false": "false events a minute"}
DRAWN = ("new", "known_before", "known", "own_before", "own")


@dataclass(frozen=True)
class Score:
    """One user, one number of recordings; all clips are of the test room.

    `new` gestures, `known` ones before and after, and of these the ones that were `taught` (their
    labels) because the model got one of their recordings wrong (`own`); clips come in one order
    before and after. `found`: known gestures that fire as events. `false`: events on background,
    and its minutes.
    """

    user: str
    recordings: int
    taught: tuple[str, ...]
    new: Clips
    known_before: Clips
    known: Clips
    own_before: Clips
    own: Clips
    found_before: Clips
    found: Clips
    false_before: tuple[float, float]
    false: tuple[float, float]


def pooled(scores: Sequence[Score]) -> dict[str, Figure]:
    """All users' clips as one, with 95 % intervals over users (one user: over clips): each of
    `SHARES`, what it gained (`gained_...`), and each of `RATES`."""
    figures = {name: share(_parts(scores, name), mean, _people(scores, name)) for name in SHARES}
    for name in GAINS:
        gained = _parts(scores, name) - _parts(scores, f"{name}_before")
        figures[f"gained_{name}"] = bootstrap(gained, mean, _people(scores, name))
    for name in RATES:
        figures[name] = rate(np.array([getattr(one, name) for one in scores]),
                             [one.user for one in scores])
    return figures


def _parts(scores: Sequence[Score], name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([right for one in scores for right in getattr(one, name)], np.float64)


def _people(scores: Sequence[Score], name: str) -> list[str]:
    return [one.user for one in scores for _ in getattr(one, name)]


def write_scores(out: Path, scores: Sequence[Score], model: str) -> list[str]:
    """teaching.json, teaching.txt and teaching.png in `out`; the lines of the text."""
    users = len({one.user for one in scores})
    lines = [f"model {model}, {users} rendered users; shares of clips in another room than the one "
             "of the recordings,", "with 95 % intervals over users (of one user: over clips); n "
             "counts clips, of false events users"]
    amounts = sorted({one.recordings for one in scores})
    figures = []
    for amount in amounts:
        rows = [one for one in scores if one.recordings == amount]
        figures.append(pooled(rows))
        lines += ["", f"{amount} recordings of each gesture", *_table(rows, figures[-1])]
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "teaching.json", json.dumps(
        {"model": model, "users": [_counted(one) for one in scores],
         "pooled": [{"recordings": amount} | {name: asdict(one) for name, one in found.items()}
                    for amount, found in zip(amounts, figures, strict=True)]}, indent=1).encode())
    write_atomically(out / "teaching.txt", "\n".join([*lines, ""]).encode())
    _plot(out / "teaching.png", amounts, figures)
    return lines


def _table(rows: Sequence[Score], figures: dict[str, Figure]) -> list[str]:
    names = SHARES | {f"gained_{name}": f"{words}, gained" for name, words in GAINS.items()} | RATES
    minutes = sum(one.false[1] for one in rows)
    lines = [f"  {names[name]:42} {figures[name]}" for name in names]
    lines[-1] += f", {minutes:.1f} minutes"
    return lines + [
        f"  {one.user}: {sum(one.new)} of {len(one.new)} new; {sum(one.own_before)}, then "
        f"{sum(one.own)} of {len(one.own)} of the {len(one.taught)} known gestures that were taught"
        for one in rows]


def _counted(one: Score) -> dict[str, object]:
    """A user's score with counts instead of clips."""
    counts = {name: {"right": sum(getattr(one, name)), "clips": len(getattr(one, name))}
              for name in SHARES}
    rates = {name: dict(zip(("events", "minutes"), getattr(one, name), strict=True))
             for name in RATES}
    return {"user": one.user, "recordings": one.recordings, "taught": one.taught} | counts | rates


def _plot(path: Path, amounts: Sequence[int], figures: Sequence[dict[str, Figure]]) -> None:
    curves, ranges = {}, {}
    for name in DRAWN:
        known = [(amount, found[name]) for amount, found in zip(amounts, figures, strict=True)
                 if found[name].value is not None]
        if not known:
            continue
        counts = sorted({figure.n for _, figure in known})
        clips = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        title = f"{SHARES[name]} ({clips} clips)"
        x = [amount for amount, _ in known]
        curves[title] = x, [figure.value or 0.0 for _, figure in known]
        ranges[title] = ([figure.low or 0.0 for _, figure in known],
                         [1.0 if figure.high is None else figure.high for _, figure in known])
    plot_curves(path, {"share of clips answered rightly in another room, 95 % intervals": curves},
                "recordings of each gesture", ranges)
