"""What goes into a graph and comes out: whether it is an online network, and the card's.

A graph serves if it has n inputs and n outputs (n > 1) of which the first pair is image and
logits and every other pair, of equal shapes, one piece of state: what comes out of one step goes
into the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from models.card import ModelCard
from online_tsm.engine import EngineError

FLOAT32 = "tensor(float)"


class Port(NamedTuple):
    """An input or output of a graph. Sizes that are not fixed are no numbers."""

    name: str
    shape: list[Any]
    type: str


def state_shapes(inputs: Sequence[Port], outputs: Sequence[Port], card: ModelCard, file: str
                 ) -> list[tuple[int, ...]]:
    """Shapes, without the batch, of the state. `file` is named in errors. Raises EngineError for
    a graph that is no online network, or not the one of the card."""
    image = list(inputs[0].shape)
    if len(inputs) == 1 and len(image) == 5:
        raise EngineError(f"{file} takes whole clips {image}: it keeps no state from frame to "
                          "frame, so it is no online network and cannot run here")
    if len(inputs) != len(outputs) or len(inputs) < 2:
        raise EngineError(f"{file} has {len(inputs)} inputs and {len(outputs)} outputs; an online "
                          "network has as many outputs as inputs, image and logits first, then "
                          "each piece of state")
    _check_each((*inputs, *outputs), file)
    for before, after in zip(inputs[1:], outputs[1:], strict=True):
        if not _may_equal(before.shape[1:], after.shape[1:]):
            raise EngineError(f"{file}: {before.name} {before.shape} and {after.name} "
                              f"{after.shape} must be the same state before and after a step, "
                              "but their shapes differ")
    for node in inputs:
        if isinstance(node.shape[0], int) and node.shape[0] != 1:
            raise EngineError(f"{file}: {node.name} {node.shape} is for {node.shape[0]} streams at "
                              "once; export it with a batch of 1 or a dynamic one")
        if node is not inputs[0] and not all(isinstance(n, int) for n in node.shape[1:]):
            raise EngineError(f"{file}: the shape of {node.name} {node.shape} is not fixed, so "
                              "its zeros cannot be made; export it with a fixed image size")
    expected = [3, *card.input_size]
    if not _may_equal(image[1:], expected):
        raise EngineError(f"{file} takes images {image}, but the card says {expected} (input_size)")
    logits = outputs[0]
    if len(logits.shape) != 2:
        raise EngineError(f"{file}: the logits {logits.name} {logits.shape} must be [batch, "
                          "classes]; export them so")
    classes = logits.shape[-1]
    if isinstance(classes, int) and classes != len(card.labels):
        raise EngineError(f"{file} has {classes} classes, but the card names {len(card.labels)} "
                          "labels")
    return [tuple(node.shape[1:]) for node in inputs[1:]]


def _check_each(nodes: Sequence[Port], file: str) -> None:
    for node in nodes:
        if node.type != FLOAT32:
            raise EngineError(f"{file}: {node.name} is {node.type}; only float32 is run here")
        if not node.shape:
            raise EngineError(f"{file}: {node.name} has no shape, or is a single number; export "
                              "it with a batch as its first dimension")


def _may_equal(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two shapes, some of whose sizes may be unknown (no numbers), can be the same."""
    return len(one) == len(other) and all(
        a == b or not isinstance(a, int) or not isinstance(b, int)
        for a, b in zip(one, other, strict=True))
