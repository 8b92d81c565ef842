"""What a teaching tells its user: a page of text, the same for programs, and a picture."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.card import ModelCard
from online_tsm.graphs import write_atomically
from training.plots import plot_confusion
from training.teach_data import Lesson
from training.teach_judge import advice, background_events, confusion, kept, marks
from training.teach_run import FOLDS, Taught

HOW = ("leave-one-recording-out: each recording was judged by a head that learnt from the others "
       f"(of a gesture with more than {FOLDS}, several were left out together); "
       "the same recordings chose the thresholds, so events are a little flattered")


def results_of(taught: Taught, lessons: Sequence[Lesson]) -> dict[str, Any]:
    """Plain values for the card and the report."""
    card, judged = taught.card, taught.judged
    labels = sorted({lesson.label for lesson in lessons if not lesson.background})
    found = marks(judged, card, labels)
    events, minutes = background_events(judged, card)
    known = kept(taught.remembered, card, labels)
    own = [event for event in events if event.label in labels]
    return {
        "how": HOW,
        "gestures": {label: {
            "recordings": mark.recordings, "right": mark.right, "found as event": mark.found,
            "wrong events": mark.wrong, "threshold": mark.threshold}
            for label, mark in found.items()},
        "background minutes": round(minutes, 2),
        "false events a minute": round(len(events) / max(minutes, 1e-6), 2),
        "of taught gestures": round(len(own) / max(minutes, 1e-6), 2),
        "false events": dict(Counter(event.label for event in events)),
        "known": {"frames": known.frames, "right before": round(known.before, 3),
                  "right": round(known.after, 3), "taken for taught ones": {
                      f"{one} for {other}": round(share, 2)
                      for (one, other), share in known.taken.items()}},
        "advice": advice(judged, found, card, known.taken),
    }


def text_of(results: dict[str, Any], card: ModelCard, parent: str) -> str:
    """The page of text."""
    lines = [f"{card.name}, taught on top of {parent}", "",
             f"{'gesture':28} recordings  right  as event  wrong events  threshold"]
    for label, mark in results["gestures"].items():
        lines.append(f"{label:28} {mark['recordings']:10} {mark['right']:6} "
                     f"{mark['found as event']:9} {mark['wrong events']:13} "
                     f"{mark['threshold']:10.2f}")
    lines += ["", f"background: {results['false events a minute']:g} false events a minute over "
              f"{results['background minutes']:g} minutes, of taught gestures "
              f"{results['of taught gestures']:g}"]
    lines += [f"  {label}: {count}" for label, count in results["false events"].items()]
    known = results["known"]
    if known["frames"]:
        lines += ["", f"known gestures: {known['right']:.0%} of {known['frames']} single frames "
                  f"are answered rightly, {known['right before']:.0%} before"]
        lines += [f"  {pair}: {share:.0%}"
                  for pair, share in known["taken for taught ones"].items()]
    lines += ["", *(results["advice"] or ["Every gesture can be told from all others."])]
    return "\n".join([*lines, "", f"How: {results['how']}.", ""])


def write_report(folder: Path, taught: Taught, results: dict[str, Any], parent: str) -> None:
    """report.txt, report.json and confusion.png in `folder`. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "report.txt", text_of(results, taught.card, parent).encode())
    write_atomically(folder / "report.json", json.dumps(results, indent=1).encode())
    plot_confusion(folder / "confusion.png", confusion(taught.judged, taught.card),
                   taught.card.labels, "taught gestures, each recording left out once")
