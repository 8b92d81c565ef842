"""The benchmark's report as one picture: stages of each candidate, hot and paced, and the limit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

STAGES = {"preprocess": "#8da0cb", "network": "#66c2a5", "smoothing": "#fc8d62"}
ROW_INCHES, WIDTH_INCHES = 0.36, 11


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Writes the picture (format by the suffix): one panel a network. Raises OSError and
    ValueError."""
    networks = report["networks"]
    rows = [len(network["rows"]) + 2 for network in networks]
    figure = Figure(figsize=(WIDTH_INCHES, ROW_INCHES * sum(rows) + 1.5), layout="constrained")
    panels = figure.subplots(len(networks), 1, squeeze=False, height_ratios=rows)[:, 0]
    for panel, network in zip(panels, networks, strict=True):
        _panel(panel, network)
    machine = report["machine"]
    figure.suptitle(f"A frame's time on {machine['cpu']}, {machine['cores']} cores "
                    f"({report['date'][:10]})")
    figure.savefig(path, dpi=120)


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
