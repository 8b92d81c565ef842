"""The benchmark's report as one picture: stages of each candidate, hot and paced, and the limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from online_tsm.benchmark_report import accuracy_of
from online_tsm.rounds import PERIOD_S

STAGES = {"preprocess": "#8da0cb", "network": "#66c2a5", "smoothing": "#fc8d62"}
ROW_INCHES, WIDTH_INCHES = 0.36, 11
EXTRA_ROWS = 10  # as high as so many rows


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Writes the picture (format by the suffix): a panel a network, and one each for accuracy
    against time and for many cameras, where these were measured. Raises OSError and ValueError."""
    networks = report["networks"]
    judged = [(row, found) for row in report.get("sizes") or []
              if (found := accuracy_of(report, row)) is not None]
    served = report.get("capacity") or []
    rows = [len(network["rows"]) + 2 for network in networks]
    heights = rows + [EXTRA_ROWS] * (bool(judged) + bool(served))
    figure = Figure(figsize=(WIDTH_INCHES, ROW_INCHES * sum(heights) + 1.5), layout="constrained")
    panels = list(figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
    for network in networks:
        _panel(panels.pop(0), network)
    if judged:
        _sizes(panels.pop(0), judged)
    if served:
        _cameras(panels.pop(0), served)
    machine = report["machine"]
    figure.suptitle(f"A frame's time on {machine['cpu']}, {machine['cores']} cores "
                    f"({report['date'][:10]})")
    figure.savefig(path, dpi=120)


def _sizes(panel: Any, judged: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> None:
    """Accuracy with its interval against the time of a frame, a line an engine."""
    for name in dict.fromkeys(_engine(row) for row, _ in judged):
        own = sorted(((row["hot"]["median_ms"], row, found["top1"]) for row, found in judged
                      if _engine(row) == name), key=lambda point: point[0])
        times, values = [p[0] for p in own], [p[2]["value"] * 100 for p in own]
        panel.plot(times, values, "o-", label=name)
        for time, row, top1 in own:
            if top1["low"] is not None:
                panel.vlines(time, top1["low"] * 100, top1["high"] * 100, color="grey", lw=0.7)
            panel.annotate("{} x {}".format(*row["input_size"]), (time, top1["value"] * 100),
                           xytext=(4, 4), textcoords="offset points", fontsize=7)
    panel.set_xlabel("ms a frame")
    panel.set_ylabel("top-1, %")
    panel.set_title("input sizes", fontsize=10)
    panel.legend(fontsize=8, loc="lower right")


def _cameras(panel: Any, served: Sequence[Mapping[str, Any]]) -> None:
    """The time of a pass against its streams."""
    for found in served:
        for part in ("whole", "network"):
            if found[part]:
                points = found[part]["points"]
                words = _engine(found) + (", network alone" if part == "network" else "")
                panel.loglog([p["streams"] for p in points], [p["p99_ms"] for p in points], ".-",
                             label=f"{words}: {found[part]['largest']}")
    panel.axhline(PERIOD_S * 1e3, color="k", lw=0.7, ls="--")
    for axis in (panel.xaxis, panel.yaxis):  # plain numbers, not powers of ten
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(LogFormatter())
    panel.set_xlabel("cameras in one pass, thirty times a second")
    panel.set_ylabel("p99, ms")
    panel.set_title("how many are served", fontsize=10)
    panel.legend(fontsize=8, loc="upper left")


def _engine(row: Mapping[str, Any]) -> str:
    return f"{row['engine']} {row['precision']}, {row['device']}"


def _panel(panel: Any, network: Mapping[str, Any]) -> None:
    rows = network["rows"]
    end = max(row["hot"]["median_ms"] for row in rows if not row["anchor"].startswith("window"))
    first = next((place for place, row in enumerate(rows) if not row["anchor"]), 0)  # in the legend
    for place, row in enumerate(rows):
        stages, left = row["hot"]["stages_ms"], 0.0
        for stage, colour in STAGES.items():
            width = min(stages.get(stage, 0.0), end - left)
            panel.barh(place, width, left=left, color=colour, height=0.7,
                       alpha=0.55 if row["anchor"] else 1,
                       label=stage if place == first else None)
            left += width
        if row["paced"]:
            panel.plot(row["paced"]["median_ms"], place, "k|", markersize=13,
                       label="at 30 frames a second" if place == first else None)
        if row["limit"]:
            panel.plot(row["limit"]["roofline_ms"], place, "rD", markersize=4,
                       label="the network's roofline" if place == first else None)
        paced = row["paced"]["median_ms"] if row["paced"] else 0.0
        panel.text(max(left, paced) + end / 100, place, _words(row), va="center", fontsize=8)
    panel.set_xlim(0, end * 1.35)
    panel.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
    panel.invert_yaxis()
    panel.set_xlabel("ms a frame; windows reach beyond the picture")
    panel.set_title(network["name"], fontsize=10)
    panel.legend(fontsize=8, loc="lower right")


def _words(row: Mapping[str, Any]) -> str:
    ratio = row["ratios"].get("eager")
    return f"{row['hot']['median_ms']:.2f} ms" + (
        f", {ratio:.1f} times (a)" if ratio and not row["anchor"] else "")
