"""How fast this machine runs a network, beside the anchors, and how far that is from the limit:

    python -m online_tsm.benchmark

Every installed and granted engine, side by side with the official demo's path and with windows
that are computed anew (anchors.py), hot and at a camera's pace (rounds.py), checked against float32
(faithful.py), held against the machine's limit (roofline.py), and started afresh (fresh.py). Then
the model given alone: at other input sizes (sizes.py), and for many cameras (capacity.py).
"""

from __future__ import annotations

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import dataclasses
import functools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from models.card import CardError
from models.checkpoints import DEFAULT_MODEL, CheckpointError, read_card, resolve
from online_tsm import fresh, quiet, suggestion
from online_tsm.anchors import REFERENCE, reference_model
from online_tsm.benchmark_page import fill
from online_tsm.benchmark_report import BenchmarkError, changes, read_report, table
from online_tsm.capacity import capacity
from online_tsm.engine import EngineError, EngineName, open_engine
from online_tsm.frames import FRAME_SIZE, FramesError, read_frames
from online_tsm.graphs import obstacle_to
from online_tsm.machine import machine_info
from online_tsm.measuring import Plan, Runtime, measure, usable
from online_tsm.roofline import measured_peaks
from online_tsm.sizes import measure_sizes, size_of
from online_tsm.stream import StreamError

ROUNDS, BLOCK = 12, 15
COLD_STARTS = 5  # of each engine


def cold_starts(engines: Sequence[Runtime], model: str, repeats: int
                ) -> list[dict[str, Any]]:
    """A fresh demo for each engine, in turns: s to the first prediction, peak memory in bytes."""
    if not repeats:
        return []
    _tell("starting afresh")
    found: dict[Runtime, list[tuple[float, float | None]]] = {e: [] for e in engines}
    for _ in range(repeats):
        for name, device, precision in engines:
            found[name, device, precision].append(fresh.cold_start(
                ["--model", model, "--engine", name, "--device", device,
                 "--precision", precision]))
    return [{"engine": name, "device": device, "precision": precision,
             "median_s": statistics.median(s for s, _ in starts), "min_s": min(starts)[0],
             "peak_memory": starts[-1][1]} for (name, device, precision), starts in found.items()]


def best(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The fastest engine whose logits count as float32: at a camera's pace, if that was measured.
    One stream; an engine that changes a decision is never chosen, nor one that is compiled first,
    for `--engine auto` must not wait for that."""
    fit = [row for row in rows if not row["anchor"] and row["streams"] == 1
           and row["engine"] != "compiled" and row["faithful"]["faithful"]]
    return min(fit, key=lambda row: (row["paced"] or row["hot"])["median_ms"], default=None)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The whole report, as plain values. Raises one of the errors that `main` tells."""
    path = resolve(args.model).absolute()  # for fresh processes, in folders of their own
    _check(args, path)
    frames = read_frames(args.source or str(fresh.SAMPLE), args.frame_size)
    engines = usable(path, args.engines)
    plan = Plan(frames, args.threads, args.streams, engines, [], args.rounds, args.block,
                not args.no_pace)
    peaks = functools.cache(measured_peaks)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    networks = []
    for model in _models(path):
        _tell(f"measuring {model.stem}")
        graphs = [args.int8] if args.int8 and model == path else []
        networks.append(measure(model, dataclasses.replace(plan, graphs=graphs), peaks))
    report = {
        "date": time.strftime("%Y-%m-%d %H:%M:%S"), "machine": machine_info(), "load": load,
        "frame_size": list(args.frame_size), "source": Path(args.source or fresh.SAMPLE).name,
        "rounds": args.rounds, "block": args.block, "networks": networks,
        "sizes": _sizes(path, args, plan), "capacity": _capacities(path, args, plan),
        "accuracy": _accuracy(path, args),
        "cold_starts": cold_starts(engines, str(path), args.cold_starts),
        "demo": _demo(path, args),
    }
    return {**report, "warnings": warnings(report)}


def _check(args: argparse.Namespace, path: Path) -> None:
    """Says now what would end the work after a quarter of an hour."""
    if path.suffix.lower() == ".onnx":
        raise BenchmarkError(f"{path.name} is a graph; give the checkpoint it was exported from, "
                             "which the others are compared with")
    if args.int8:
        open_engine(args.int8, "onnxruntime", "cpu", 1)
    if args.evaluate and not args.evaluate.exists():
        raise BenchmarkError(f"{args.evaluate} is not there; --evaluate takes a folder of clips, "
                             "or a CSV")
    for out in filter(None, (args.json, args.plot)):
        obstacle = "it is a folder" if out.is_dir() else obstacle_to(out.parent)
        if obstacle:
            raise BenchmarkError(f"{out} cannot be written: {obstacle}")
    if args.plot:
        _drawer(args.plot)


def _tell(words: str) -> None:
    print(f"{words} ...", file=sys.stderr, flush=True)


def _sizes(path: Path, args: argparse.Namespace, plan: Plan) -> list[dict[str, Any]]:
    if not args.sizes:
        return []
    _tell("measuring other input sizes")
    return measure_sizes(path, args.sizes, plan)


def _capacities(path: Path, args: argparse.Namespace, plan: Plan) -> list[dict[str, Any]]:
    found = []
    for name, device, precision in plan.engines if args.capacity else []:
        _tell(f"finding how many cameras {name} {precision} serves")
        engine = open_engine(path, name, device, args.threads[0], precision=precision)
        found.append(capacity(engine, plan.frames))
    return found


def _demo(path: Path, args: argparse.Namespace) -> dict[str, Any] | None:
    if args.source is None:
        return None
    file = Path(args.source).absolute()
    return fresh.demo_stages(str(file) if file.exists() else args.source, ["--model", str(path)])


def _accuracy(path: Path, args: argparse.Namespace) -> dict[str, Any] | None:
    if args.evaluate is None:
        return None
    _tell(f"judging on {args.evaluate.name}")
    return fresh.accuracy(args.evaluate, _judging(path, args))


def _judging(path: Path, args: argparse.Namespace) -> list[str]:
    """The flags of training.accuracy."""
    return ["--model", str(path),
            *(["--sizes", *(f"{h}x{w}" for h, w in args.sizes)] if args.sizes else []),
            *(["--int8", str(args.int8.resolve())] if args.int8 else []),
            *(["--most", str(args.most)] if args.most else [])]


def _models(path: Path) -> list[Path]:
    """The model, after the full-width network of 224 x 224 that every report holds."""
    card = read_card(path)
    same = (card.architecture, card.width_multiplier, card.input_size) == (
        REFERENCE.architecture, REFERENCE.width_multiplier, REFERENCE.input_size)
    return [path] if same else [reference_model(), path]


def warnings(report: Mapping[str, Any]) -> list[str]:
    """What a reader of the figures should know."""
    if quiet.waited_s() is None:
        return ["warning: this system does not tell whether other programs competed for the "
                "processor; close them, and look at the spread of the percentiles"]
    figures = [row[kind] for network in report["networks"] for row in network["rows"]
               for kind in ("hot", "paced") if row[kind]]
    clean, blocks = (sum(f[key] for f in figures) for key in ("clean_blocks", "blocks"))
    return [f"{clean} of {blocks} blocks had the cores for themselves; the others are left out "
            "where there are enough"] + (
        ["warning: other programs competed for the processor most of the time; times are too "
         "high, ratios may be off"] if clean < blocks / 2 else [])


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.pages and not args.json:
        parser.error("--pages needs --json: pages say which report their figures are from")
    report = None
    try:
        old = read_report(args.compare) if args.compare else None
        report = run(args)
        print(table(report))
        if old is not None:
            print(changes(old, report))
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
            for page in args.pages:
                fill(page, report, args.json.name)
        if args.plot:
            args.plot.parent.mkdir(parents=True, exist_ok=True)
            _drawer(args.plot)(report, args.plot)
        if args.suggest:
            _suggest(report)
    except (BenchmarkError, CardError, CheckpointError, EngineError, FramesError, StreamError,
            RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped" if report else "stopped; nothing was written", file=sys.stderr)
        return 130
    return 0


def _drawer(path: Path) -> Callable[[Mapping[str, Any], Path], None]:
    """What draws a report. Raises BenchmarkError where nothing can be drawn, or not as `path`."""
    try:
        from matplotlib.figure import Figure

        from online_tsm.benchmark_plot import draw
    except ImportError as error:
        raise BenchmarkError(f"{path}: a plot needs matplotlib: pip install matplotlib") from error
    known = Figure().canvas.get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in known:
        raise BenchmarkError(f"{path}: no plot is of this kind; known: {', '.join(known)}")
    return draw


def _suggest(report: Mapping[str, Any]) -> None:
    row = best(report["networks"][-1]["rows"])
    if row is None:
        print("no engine is faithful enough to be suggested; nothing is kept")
        return
    path = suggestion.keep(suggestion.suggestion_of(row["engine"], row["device"], row["threads"]))
    threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"
    print(f"fastest faithful engine: {row['name']}. --engine auto takes it from now on "
          f"({row['engine']}, {row['device']}, {threads}; {path})")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m online_tsm.benchmark",
        description="Time every engine beside the official demo's path, and hold them against "
                    "the machine's limit.")
    add = parser.add_argument
    add("--model", default=DEFAULT_MODEL, help="a model's name or checkpoint (default: the "
                                               "shipped one)")
    add("--engines", nargs="+", choices=get_args(EngineName)[1:],
        help="only these (default: all that are installed and granted; compiled on a GPU alone)")
    add("--int8", type=Path, metavar="FILE.onnx",
        help="the model's INT8 form (python -m online_tsm.quantize), to be timed beside it")
    add("--threads", nargs="+", type=_positive, default=[1, 2], metavar="N",
        help="threads of the network on a CPU (default: 1 2)")
    add("--streams", nargs="+", type=_positive, default=[1], metavar="N",
        help="streams in one pass (default: 1)")
    add("--source", metavar="VIDEO", help="real frames from here; the whole demo is timed on it, "
                                          "too (default: the sample)")
    add("--frame-size", type=size_of, default=FRAME_SIZE, metavar="WxH",
        help="scale the frames to this (default: 640x480)")
    add("--sizes", nargs="+", type=size_of, default=[], metavar="HxW",
        help="time the model at these input sizes, too (height x width)")
    add("--capacity", action="store_true",
        help="find the most streams that each engine serves thirty times a second")
    add("--evaluate", type=Path, metavar="CLIPS",
        help="judge what faster settings and other sizes cost in accuracy: a folder of shards, "
             "one with a folder a class, or a CSV with file and label (needs training/)")
    add("--most", type=_positive, metavar="N", help="judge on at most so many clips")
    add("--rounds", type=_positive, default=ROUNDS, help="blocks of each candidate")
    add("--block", type=_positive, default=BLOCK, help="frames in a block, at most")
    add("--no-pace", action="store_true", help="leave out the frames at a camera's pace")
    add("--cold-starts", type=int, default=COLD_STARTS, metavar="N",
        help="fresh processes of each engine; 0: none")
    add("--json", type=Path, metavar="FILE", help="write the report")
    add("--pages", type=Path, nargs="+", default=[], metavar="FILE.md",
        help="write the figures into these pages, where they have a place for them "
             "(see online_tsm/benchmark_page.py)")
    add("--plot", type=Path, metavar="FILE", help="draw the report")
    add("--compare", type=Path, metavar="OLD.json", help="show what changed since a report")
    add("--suggest", action="store_true",
        help="let --engine auto take the fastest engine that decides as float32 does")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


if __name__ == "__main__":
    command_line.run(main)
