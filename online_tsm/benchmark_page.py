"""Puts the figures of a report into pages, so that nobody types one:

    python -m online_tsm.benchmark_page docs/benchmarks/cpu.json README.md docs/benchmarks.md

In each page the lines between `<!-- figures: cpu.json KIND -->` and `<!-- end -->` are written
anew. KIND is "ratios", "stages", "sizes", "accuracy", "cameras", "starts" or "machine". Without
pages, every table is printed.
"""

from __future__ import annotations

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from online_tsm.benchmark_report import BenchmarkError, accuracy_of, read_report

Report = Mapping[str, Any]
BLOCK = re.compile(r"(<!-- figures: (\S+) (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def ratios(report: Report) -> str:
    """What the README shows: each network on one thread, beside the anchors."""
    rows = [["network", "what runs it", "ms a frame", "at 30 fps", "times (a)", "times (b)",
             "times (c)", "over the limit"]]
    for network in report["networks"]:
        for row in network["rows"]:
            if row["streams"] == 1 and (row["threads"] == 1 or row["device"] != "cpu"):
                rows.append([_size(network), _called(row), _ms(row["hot"]["median_ms"]),
                             _ms(row["paced"]["median_ms"]) if row["paced"] else "-",
                             *(_times(row["ratios"].get(kind)) for kind in
                               ("eager", "window", "window without shift")),
                             _times(row["limit"]["times_roofline"]) if row["limit"] else "-"])
    return _markdown(rows)


def stages(report: Report) -> str:
    """Everything that was timed of the networks."""
    rows = [["network", "what runs it", "preprocess", "network", "smoothing", "whole: median",
             "p90", "p99", "at 30 fps: median", "p99", "CPU ms", "logits off by", "same labels"]]
    for network in report["networks"]:
        for row in network["rows"]:
            hot, paced, faithful = row["hot"], row["paced"], row["faithful"]
            rows.append([_size(network), row["name"],
                         *(_ms(hot["stages_ms"].get(stage)) for stage in
                           ("preprocess", "network", "smoothing")),
                         *(_ms(hot[key]) for key in ("median_ms", "p90_ms", "p99_ms")),
                         *((_ms(paced[key]) for key in ("median_ms", "p99_ms")) if paced
                           else "--"), _ms((paced or hot)["cpu_ms"]),
                         f"{faithful['difference']:.0e}" if faithful else "-",
                         f"{faithful['agreement']:.1%}" if faithful else "-"])
    return _markdown(rows)


def sizes(report: Report) -> str:
    """The model at other input sizes: accuracy against ms."""
    rows = [["input", "what runs it", "M MACs", "ms a frame", "at 30 fps", "top-1"]]
    for row in report.get("sizes") or []:
        rows.append([f"{row['input_size'][0]} x {row['input_size'][1]}", _called(row),
                     f"{row['macs'] / 1e6:.0f}", _ms(row["hot"]["median_ms"]),
                     _ms(row["paced"]["median_ms"]) if row["paced"] else "-",
                     _top1(accuracy_of(report, row))])
    return _markdown(rows)


def accuracy(report: Report) -> str:
    """What each faster setting costs."""
    judged = report.get("accuracy")
    if not judged:
        return ""
    rows = [["setting", "top-1 (95 % interval)", "decides as float32"]]
    rows += [[f"{row['input_size'][0]} x {row['input_size'][1]}, {_called(row)}", _top1(row),
              f"{row['agreement']:.2%} of frames" if row["agreement"] else "other frames"]
             for row in judged["rows"]]
    return f"{judged['clips']} clips of {judged['set']}.\n\n{_markdown(rows)}"


def cameras(report: Report) -> str:
    """How many streams an engine serves."""
    rows = [["what runs it", "cameras", "the curve bends at", "network alone", "bends at"]]
    for found in report.get("capacity") or []:
        network = found["network"] or {"largest": "-", "bend": "-"}
        rows.append([_called(found), *(str(part[key]) for part in (found["whole"], network)
                                       for key in ("largest", "bend"))])
    return _markdown(rows)


def starts(report: Report) -> str:
    """From the start of a fresh process to its first prediction."""
    rows = [["what runs it", "first prediction, s", "best", "peak memory, MB"]]
    rows += [[_called(start), f"{start['median_s']:.2f}", f"{start['min_s']:.2f}",
              f"{start['peak_memory'] / 1e6:.0f}" if start["peak_memory"] else "-"]
             for start in report["cold_starts"]]
    return _markdown(rows)


def machine(report: Report) -> str:
    """What all that ran on."""
    found = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return "\n".join([
        f"{found['cpu']}, {found['cores']} cores; GPU: {'; '.join(found['gpus']) or 'none'}; "
        f"{found['system']}; {versions}; {report['date'][:10]}; frames {report['frame_size'][0]} x "
        f"{report['frame_size'][1]}.", "", *report["warnings"], ""])


KINDS: Mapping[str, Callable[[Report], str]] = {
    "ratios": ratios, "stages": stages, "sizes": sizes, "accuracy": accuracy, "cameras": cameras,
    "starts": starts, "machine": machine}


def filled(page: str, report: Report, name: str) -> str:
    """The page with the figures of the report called `name` written anew. Raises BenchmarkError
    for an unknown kind, and for a page without a place for figures of that report."""
    places = 0

    def write(found: re.Match[str]) -> str:
        nonlocal places
        if found[2] != name:
            return found[0]
        if found[3] not in KINDS:
            raise BenchmarkError(f"unknown figures {found[3]!r}; known: {', '.join(KINDS)}")
        places += 1
        return f"{found[1]}{KINDS[found[3]](report)}{found[4]}"

    page = BLOCK.sub(write, page)
    if not places:
        raise BenchmarkError(f"no lines <!-- figures: {name} ratios --> and <!-- end -->")
    return page


def fill(path: Path, report: Report, name: str) -> None:
    """Writes the figures into a page. Raises BenchmarkError or OSError."""
    try:
        page = filled(path.read_text(encoding="utf-8"), report, name)
    except BenchmarkError as error:
        raise BenchmarkError(f"{path}: {error}") from error
    path.write_text(page, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m online_tsm.benchmark_page", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="what the benchmark wrote with --json")
    parser.add_argument("pages", type=Path, nargs="*", help="Markdown files to write into")
    args = parser.parse_args(arguments)
    try:
        report = read_report(args.report)
        for path in args.pages:
            fill(path, report, args.report.name)
    except (BenchmarkError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not args.pages:
        print("\n".join(f"{kind}\n\n{write(report)}" for kind, write in KINDS.items()))
    return 0


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is the heading; numbers to the right."""
    if len(rows) < 2:
        return "Not measured here.\n"
    rule = ["---" if place == 0 or (place == 1 and not cell[:1].isdigit()) else "---:"
            for place, cell in enumerate(rows[1])]
    return "".join(f"| {' | '.join(row)} |\n" for row in [rows[0], rule, *rows[1:]])


def _called(row: Mapping[str, Any]) -> str:
    if row.get("anchor"):
        name: str = row["name"].rpartition(", ")[0]  # without its threads
        return name
    return f"{row['engine']} {row['precision']}" + (" on CUDA" if row["device"] == "cuda" else "")


def _size(network: Mapping[str, Any]) -> str:
    return f"{network['input_size'][0]} x {network['input_size'][1]}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _top1(judged: Mapping[str, Any] | None) -> str:
    if judged is None:
        return "-"
    top1 = judged["top1"]
    return f"{top1['value']:.1%}" + (
        f" ({top1['low']:.1%} to {top1['high']:.1%})" if top1["low"] is not None else "")


if __name__ == "__main__":
    command_line.run(main)
