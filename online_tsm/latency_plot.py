"""The latency report as a picture. The only file of this package that imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter

from online_tsm.latency import STAGES, WAIT, LatencyReport

COLOURS = {"wait": "#d9dde3", "preprocess": "#56b4e9", "network": "#0072b2",
           "smoothing": "#009e73", "draw": "#e69f00", "show": "#cc79a7"}
OTHERS = ("#8c6d31", "#7b4173", "#637939", "#843c39")  # for stages of other names
INK, MUTED, GRID = "#1f2933", "#6b7785", "#e4e7eb"
SIZE_INCHES = (11.0, 7.0)
DPI = 130
LONG_TAIL = 5  # times the shortest; a longer tail is shown on a logarithmic axis


def draw(report: LatencyReport, path: Path) -> None:
    """Draws `report` into the file `path`. Raises OSError, or ValueError for an unknown suffix."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, facecolor="white",
                    layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1, wspace=0.04, hspace=0.05))
    FigureCanvasAgg(figure)
    title, subtitle = _titles(report)
    figure.suptitle(f"{title}\n", fontsize=12, color=INK, x=0.012, ha="left", weight="bold")
    figure.text(0.012, 0.94, subtitle, fontsize=9, color=MUTED)
    grid = figure.add_gridspec(2, 2, height_ratios=(1.15, 1))
    colours = _colours(report)
    _draw_course(figure.add_subplot(grid[0, :]), report, colours)
    _draw_stages(figure.add_subplot(grid[1, 0]), report, colours)
    _draw_shares(figure.add_subplot(grid[1, 1]), report)
    figure.savefig(path)


def _titles(report: LatencyReport) -> tuple[str, str]:
    """What was measured, and on what."""
    machine = report.machine
    title = f"{report.frames} frames ({report.warmup_frames} warm-up frames left out)"
    if not report.frames:
        title = report.why_empty
    elif report.model_fps is not None:
        title += f" at {report.model_fps:.1f} frames/s"
    parts = []
    if "engine" in machine:
        parts += [str(machine["model"]), f"{machine['engine']} on {machine['device']}",
                  f"{machine['precision']}", f"threads: {machine['threads']}"]
    if "cpu" in machine:
        on_gpu = machine.get("device") == "cuda" and machine["gpus"]
        parts.append("; ".join(machine["gpus"]) if on_gpu else machine["cpu"])
    return title, "  ·  ".join(parts)


def _draw_course(axes: Axes, report: LatencyReport, colours: Mapping[str, str]) -> None:
    """Stages stacked over the frames; waiting lies on top, so that the work stands on the axis."""
    course = report.course
    _dress(axes, "Time of a frame by stage", "frame", "ms")
    if not report.frames:
        axes.text(0.5, 0.5, "no warm frames", transform=axes.transAxes, ha="center", color=MUTED)
        return
    in_order = (stage for stage in report.stages if stage in course.means)
    stages = sorted(in_order, key=lambda stage: stage == WAIT)
    # steps: a point stands for its frames up to the next point's first one
    edges = np.append(course.first, report.frames)
    below = np.zeros(len(course.first))
    for stage in stages:
        above = below + course.means[stage] * 1e3
        axes.fill_between(edges, _closed(below), _closed(above), step="post", linewidth=0,
                          color=colours[stage], label=stage)
        below = above
    each = "each frame" if course.stride == 1 else f"longest of {course.stride} frames"
    axes.step(edges, _closed(course.longest * 1e3), where="post", color=INK, linewidth=0.6,
              alpha=0.75, label=f"work, {each}")
    axes.set_xlim(0, report.frames)
    _limit(axes, np.concatenate([below, course.longest * 1e3]))
    axes.legend(ncols=8, loc="upper left", bbox_to_anchor=(0, -0.17), frameon=False, fontsize=8,
                borderaxespad=0, handlelength=1.2, columnspacing=1.4, labelcolor=INK)


def _limit(axes: Axes, values: np.ndarray) -> None:
    """Ends the axis above all but the last 1 % of values, and says what lies beyond."""
    usual = float(np.percentile(values, 99)) * 1.35
    if values.max() > usual > 0:
        axes.text(0.995, 0.965, f"cut off; the highest is {values.max():.0f} ms", fontsize=8,
                  transform=axes.transAxes, ha="right", va="top", color=MUTED)
    axes.set_ylim(0, min(usual, float(values.max()) * 1.1) or 1)


def _draw_stages(axes: Axes, report: LatencyReport, colours: Mapping[str, str]) -> None:
    """A bar up to each stage's median, and marks at p95 and p99."""
    _dress(axes, "Median, p95 and p99 of each stage", "ms", "")
    rows = {**report.stages, **({"frame age": report.frame_age} if report.frame_age else {})}
    for place, (name, row) in enumerate(rows.items()):
        median, p95, p99 = (row[key] * 1e3 for key in ("median", "p95", "p99"))
        axes.barh(place, median, height=0.62, color=colours.get(name, MUTED))
        axes.plot([median, p99], [place, place], color=INK, linewidth=1)
        axes.plot(p95, place, "|", color=INK, markersize=9)
        axes.plot(p99, place, "|", color=INK, markersize=5)
        axes.annotate(f"{median:.2f} · {p95:.2f} · {p99:.2f}", (max(median, p99), place),
                      xytext=(6, 0), textcoords="offset points", va="center", fontsize=8,
                      color=INK)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.32)
    axes.set_xlim(left=0)


def _draw_shares(axes: Axes, report: LatencyReport) -> None:
    """How many frames were done within which time: work, and age at the end."""
    _dress(axes, "Share of frames that took no longer (dots: median, p95, p99)", "ms", "%")
    colours = (COLOURS["network"], COLOURS["draw"])
    for (name, (seconds, share)), colour in zip(report.curves.items(), colours, strict=False):
        axes.step(seconds * 1e3, share * 100, where="post", color=colour, linewidth=1.8,
                  label=name)
        row = report.stages.get(name, report.frame_age)
        assert row is not None  # there is a curve, so frames were counted
        for key, height in (("median", 50), ("p95", 95), ("p99", 99)):
            axes.plot(row[key] * 1e3, height, "o", color=colour, markersize=4)
    if report.curves:
        axes.legend(loc="lower right", frameon=False, fontsize=8, labelcolor=INK)
        spans = [seconds[-1] / max(seconds[0], 1e-6) for seconds, _ in report.curves.values()]
        if max(spans) > LONG_TAIL:
            _make_logarithmic(axes)
    axes.set_ylim(0, 103)
    axes.set_yticks([0, 25, 50, 75, 95])


def _make_logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_xlabel("ms (logarithmic)")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(
        lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else ""))
    axes.tick_params(axis="x", which="minor", labelsize=8, colors=MUTED)


def _dress(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=9, color=MUTED)
    axes.set_ylabel(y, fontsize=9, color=MUTED)
    axes.tick_params(labelsize=8, colors=MUTED)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)


def _colours(report: LatencyReport) -> dict[str, str]:
    others = [stage for stage in report.course.means if stage not in STAGES]
    return {**COLOURS, "work": INK, "whole": MUTED, "frame age": COLOURS["draw"],
            **{stage: OTHERS[place % len(OTHERS)] for place, stage in enumerate(others)}}


def _closed(heights: np.ndarray) -> np.ndarray:
    """Heights with the last one repeated, to close the last step."""
    return np.append(heights, heights[-1])
