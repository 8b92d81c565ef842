"""How well a model does: single clips, and streams as the demo runs them, with 95 % intervals.

    python -m training.evaluate --model M --clips FOLDER/labels.csv
    python -m training.evaluate --model M --video V.mp4 --events E.csv
    python -m training.evaluate --model M --shards FOLDER
"""

from __future__ import annotations

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from tqdm import tqdm

from models.card import CardError, ModelCard
from models.checkpoints import DEFAULT_MODEL, load_model
from models.errors import CheckpointError
from models.network import OnlineNetwork
from online_tsm.engine import DeviceName, Engine, EngineError, EngineName, open_engine
from online_tsm.labels import LabelError, restricted
from online_tsm.preprocess import FrameError
from online_tsm.stream import StreamError
from training.answers import REDUCTIONS, Reduction, clip_answers, read_answers, write_answers
from training.backwards import only_backwards
from training.data import Clip, kind_of, open_clips, recording
from training.events_file import DataError, read_event_list
from training.intervals import Figure
from training.plots import plot_confusion
from training.scoring import (
    Answer,
    StreamCase,
    as_json,
    by_class,
    class_counts,
    clip_figures,
    confusion,
    stream_figures,
)
from training.streams import record
from training.targets import check_folder

USER_ERRORS = (DataError, CheckpointError, CardError, LabelError, EngineError, StreamError,
               FrameError)


@dataclass
class Report:
    """Lines for people, values for programs, and the folder they go to."""

    out: Path
    lines: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def table(self, title: str, figures: dict[str, Figure], key: str) -> None:
        self.lines += ["", title, *(f"  {name:38} {figure}" for name, figure in figures.items())]
        self.values[key] = as_json(figures)

    def counts(self, header: str, rows: dict[str, tuple[int, int, int]], key: str) -> None:
        self.lines += [f"  {header}", *(f"    {label:34} {a:4} {b:4} {c:4}"
                                        for label, (a, b, c) in rows.items())]
        self.values[f"{key}, by class"] = rows

    def side_by_side(self) -> None:
        """One table of all single-clip accuracies, those of other recognisers among them."""
        rows = {title: value for title, value in self.values.items()
                if isinstance(value, dict) and "top-1" in value}
        if len(rows) < 2:
            return
        self.lines += ["", f"{'side by side':50} {'n':>5} {'top-1':>20} {'top-3':>20}"]
        for title, value in rows.items():
            told = [str(Figure(**value[name])).split(" (n")[0] for name in ("top-1", "top-3")]
            self.lines.append(f"  {title:48} {value['top-1']['n']:5} {told[0]:>20} {told[1]:>20}")

    def write(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        text = "\n".join(self.lines).strip() + "\n"
        (self.out / "evaluation.txt").write_text(text, encoding="utf-8")
        (self.out / "evaluation.json").write_text(json.dumps(self.values, indent=1))


def report_clips(report: Report, answers: Sequence[Answer], card: ModelCard, title: str) -> None:
    """Adds the figures of single clips, the classes one by one, and the confusion matrix."""
    report.table(title, clip_figures(answers), title)
    report.counts("class: clips, right, right among three", by_class(answers), title)
    name = "".join(letter if letter.isalnum() else "_" for letter in title)
    counts, picture = confusion(answers, card), f"confusion_{name}.png"
    plot_confusion(report.out / picture, counts, card.labels, title)
    report.values[f"{title}, confusion"] = {"picture": picture, "counts": counts.tolist()}


@dataclass(frozen=True)
class Subject:
    """A model under evaluation, with the user's lists in force."""

    network: OnlineNetwork
    card: ModelCard
    engine: Engine
    allow: Sequence[str] = ()
    deny: Sequence[str] = ()

    @property
    def left_out(self) -> tuple[str, ...]:
        return restricted(self.card, self.allow, self.deny).smoothing.disabled

    def answers(self, clips: Sequence[Clip], reduction: Reduction) -> list[Answer]:
        bar = tqdm(clips, unit="clip", desc=reduction, leave=False)
        return clip_answers(bar, self.network, self.card, reduction, self.left_out)


def report_streams(report: Report, subject: Subject, clips: Sequence[Clip], *, padded: bool,
                   title: str) -> None:
    """Runs the clips as streams and adds the figures."""
    recordings = [record(clip, subject.engine, padded=padded, allow=subject.allow,
                         deny=subject.deny)
                  for clip in tqdm(clips, unit="stream", desc=title, leave=False)]
    cases = [StreamCase(r.truth, r.events, r.span, r.person) for r in recordings]
    minutes = sum(case.duration_s for case in cases) / 60
    report.table(f"{title}, {len(cases)} streams, {minutes:.1f} minutes", stream_figures(cases),
                 title)
    report.values[f"{title}, minutes"] = minutes
    report.counts("gesture: found, invented, missed", class_counts(cases), title)
    report.values[f"{title}, events"] = {
        r.name: [{"label": e.label, "time": round(e.time, 3), "confidence": round(e.confidence, 3)}
                 for e in r.events] for r in recordings}


def evaluate(args: argparse.Namespace) -> Report:
    """Everything the flags ask for. Raises USER_ERRORS."""
    check_folder(args.out)
    subject = Subject(*load_model(args.model), open_engine(args.model, args.engine, args.device),
                      args.allow, args.deny)
    card, left_out = subject.card, subject.left_out
    report = Report(args.out)
    report.lines.append(f"model {card.name}, {len(card.labels)} labels, {len(left_out)} left out: "
                        f"{', '.join(left_out) or 'none'}")
    report.values |= {"model": card.name, "left out": list(left_out), "labels": list(card.labels),
                      "set": args.name or args.out.name,
                      "others": [name for name, _ in args.compare]}
    if args.clips:
        on_clips(report, subject, args)
    if args.video:
        clip = recording(args.video, tuple(read_event_list(args.events)))
        check_labels([clip], card)
        report_streams(report, subject, [clip], padded=False, title=f"stream {args.video.name}")
    if args.shards:
        clips = open_clips("shards", args.shards)
        told = f"{REDUCTIONS[args.reduction]}; judged while the gesture is shown"
        if args.backwards:
            clips, told = only_backwards(clips), f"played backwards; {told}"
        clips = sample(clips, args.most)
        check_labels(clips, card)
        report.lines.append(f"rendered clips: {told}")
        report.values["rendered clips"] = told
        for title, part in _styles(clips).items():
            if part:
                report_clips(report, subject.answers(part, args.reduction), card,
                             f"rendered clips, {title}")
                report_streams(report, subject, part, padded=True,
                               title=f"rendered streams, {title}")
                for name, table in args.compare:
                    report_clips(report, read_answers(Path(table), part), card,
                                 f"rendered clips, {title}: {name}")
    report.side_by_side()
    return report


def on_clips(report: Report, subject: Subject, args: argparse.Namespace) -> None:
    """Adds the figures of a folder or a table of clips, and those of other recognisers."""
    clips = sample(open_clips(kind_of(args.clips, shards=False), args.clips), args.most)
    check_labels(clips, subject.card)
    args.out.mkdir(parents=True, exist_ok=True)
    for reduction, told in REDUCTIONS.items():
        answers = subject.answers(clips, reduction)
        if reduction == args.reduction:
            report_clips(report, answers, subject.card, f"clips: {told}")
            write_answers(args.out / "answers.csv", answers)
        else:
            report.table(f"clips: {told}", clip_figures(answers), f"clips: {told}")
    for name, table in args.compare:
        report_clips(report, read_answers(Path(table), clips), subject.card, f"clips: {name}")


def _styles(clips: Sequence[Clip]) -> dict[str, list[Clip]]:
    """Clips whose styles of performing training has seen, and the others."""
    unseen = [any(event.held_out_style for event in clip.events) for clip in clips]
    return {"seen styles": [clip for clip, new in zip(clips, unseen, strict=True) if not new],
            "unseen styles": [clip for clip, new in zip(clips, unseen, strict=True) if new]}


def check_labels(clips: Sequence[Clip], card: ModelCard) -> None:
    """Raises DataError for a label that the model does not know."""
    for clip in clips:
        for label in clip.labels:
            if label not in card.labels:
                raise DataError(f"{clip.name} is labelled {label!r}, which model {card.name!r} "
                                f"does not know; it knows {', '.join(card.labels)}")


def sample(clips: list[Clip], most: int | None) -> list[Clip]:
    """At most so many, always the same ones. Raises DataError for less than one."""
    if most is not None and most < 1:
        raise DataError(f"--most is {most}; it must be at least 1")
    if most is None or len(clips) <= most:
        return clips
    return [clips[i] for i in sorted(np.random.default_rng(0).permutation(len(clips))[:most])]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or file")
    parser.add_argument("--clips", type=Path,
                        help="a CSV with file and label, or a folder with a folder a class")
    parser.add_argument("--reduction", choices=get_args(Reduction), default="mean",
                        help="how a clip's logits become its answer by class (default: mean)")
    parser.add_argument("--compare", nargs=2, action="append", default=[],
                        metavar=("NAME", "CSV"),
                        help="another recogniser's answers: file, first, second, third")
    parser.add_argument("--video", type=Path, help="a long video; needs --events")
    parser.add_argument("--events", type=Path,
                        help="CSV or YAML with label, start, end and perhaps happened (s)")
    parser.add_argument("--shards", type=Path, help="a folder of rendered shards")
    parser.add_argument("--backwards", action="store_true",
                        help="play shards backwards, as the gestures that they are then")
    parser.add_argument("--most", type=int, help="take at most so many clips")
    parser.add_argument("--allow", nargs="+", default=[], metavar="LABEL",
                        help="only these classes and the background, or: all")
    parser.add_argument("--deny", nargs="+", default=[], metavar="LABEL")
    parser.add_argument("--engine", choices=get_args(EngineName), default="auto")
    parser.add_argument("--device", choices=get_args(DeviceName), default="auto")
    parser.add_argument("--name", help="what the reports call these clips")
    parser.add_argument("--out", type=Path, default=Path("runs/evaluation"))
    args = parser.parse_args(argv)
    if not (args.clips or args.video or args.shards):
        parser.error("nothing to evaluate on; give --clips, --video with --events, or --shards")
    if bool(args.video) != bool(args.events):
        parser.error("--video and --events belong together")
    if args.compare and not (args.clips or args.shards):
        parser.error("--compare needs --clips or --shards")
    if args.backwards and not args.shards:
        parser.error("--backwards needs --shards")
    logging.basicConfig(level=logging.WARNING)
    try:
        report = evaluate(args)
    except USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    report.write()
    print("\n".join(report.lines))
    print(f"\nwritten to {args.out}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
