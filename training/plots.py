"""Pictures of a training's curves and of an evaluation's confusions, drawn without a display."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from online_tsm.graphs import write_atomically

COLOURS = 128  # of a picture's palette

Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]  # name: (x, y)


def plot_curves(path: Path, panels: Mapping[str, Curves], x_label: str,
                ranges: Curves | None = None) -> None:
    """One panel above the other, each with its named curves; `ranges`: from where to where a
    curve's values may be (low, high), by the same name."""
    figure = Figure(figsize=(9.5, 2.6 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (title, curves) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(len(panels), 1, number)
        for name, (x, y) in curves.items():
            line, = axes.plot(x, y, label=name, marker="." if len(x) < 40 else "", linewidth=1)
            if ranges:
                axes.vlines(x, *ranges[name], colors=line.get_color(), alpha=0.4, linewidth=3)
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
        if curves:
            axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set_xlabel(x_label)
    _save(figure, path)


def plot_confusion(path: Path, counts: NDArray[np.int64], labels: Sequence[str], title: str
                   ) -> None:
    """`counts` [K, K]: true label by row, answer by column; only labels that occur are drawn."""
    kept = np.flatnonzero(counts.sum(0) + counts.sum(1))
    counts, names = counts[np.ix_(kept, kept)], [labels[place] for place in kept.tolist()]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.5 + 0.32 * len(names)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    axes.set_title(title, fontsize=9)
    for row, column in zip(*np.nonzero(counts), strict=True):
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=6,
                  color="white" if shares[row, column] > 0.5 else "black")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=110)
    # A palette shows no difference and takes a third of the bytes.
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(packed, "PNG", optimize=True)
    write_atomically(path, packed.getvalue())
