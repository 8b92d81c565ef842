"""What a smaller or larger picture costs: the same network at other input sizes.

A network that is shifted from the past knows no size: it ends in a mean over the picture.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.card import ModelCard
from models.checkpoints import load_model, read_card
from online_tsm.engine import open_engine
from online_tsm.graphs import open_graph
from online_tsm.measuring import Plan, candidate_of
from online_tsm.roofline import count
from online_tsm.rounds import PERIOD_S, figures, timed

Size = tuple[int, int]  # of the network's input: height, width


def size_of(text: str) -> Size:
    """Two whole numbers with an x between them, in the order that the flag asks for, such as
    96x128. Raises argparse's error."""
    first, _, second = text.lower().partition("x")
    if not (first.isdigit() and second.isdigit() and int(first) and int(second)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write two whole numbers "
                                         "with an x between them")
    return int(first), int(second)


def at_size(card: ModelCard, size: Size) -> dict[str, Any]:
    """What of a card is another at an input size; the part of the frame that is seen stays."""
    shrink = min(size) / min(card.input_size)
    side = max(round(card.resize_side * shrink), *size)
    return {"input_size": list(size), "resize_side": side}


def measure_sizes(path: Path, sizes: Sequence[Size], plan: Plan) -> list[dict[str, Any]]:
    """A row for each size and engine, with the plan's first number of threads, one stream.
    Durations in ms, as the keys say."""
    rows: list[dict[str, Any]] = []
    candidates = []
    for size in sizes:
        overrides = at_size(read_card(path), size)
        network, card = load_model(path, overrides=overrides)
        graph = open_graph(path, card, functools.partial(_same, network), _same)
        for name, device, precision in plan.engines:
            candidate = candidate_of(open_engine(path, name, device, plan.threads[0],
                                                 precision=precision, overrides=overrides), 1)
            candidates.append(dataclasses.replace(
                candidate, name=f"{size[0]} x {size[1]}, {candidate.name}"))
            rows.append({"name": candidates[-1].name, "input_size": list(size),
                         "macs": count(graph).macs, "engine": name, "device": device,
                         "precision": precision})
    hot = timed(candidates, plan.frames, plan.rounds, plan.block)
    paced = timed(candidates, plan.frames, plan.rounds, plan.block,
                  period_s=PERIOD_S) if plan.paced else {}
    return [{**row, "hot": figures(hot[row["name"]]),
             "paced": figures(paced[row["name"]]) if paced else None} for row in rows]


def _same(value: Any) -> Any:
    return value
