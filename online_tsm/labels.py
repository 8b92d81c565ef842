"""Questions about a card's labels: where they stand, and which undo one another."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from models.card import ModelCard

# A hand that has made one of these movements must come back, and on its way makes the opposite
# one. Poses are not among them: nobody passes through Thumb Down to lower a Thumb Up.
_MOVEMENT = re.compile(r"swip|slid|pull|push|roll|turn|rotat|zoom|mov|drag|flick|scroll")
_OPPOSITE_WORDS = {
    frozenset(pair) for pair in (
        ("left", "right"), ("up", "down"), ("in", "out"), ("in", "away"),
        ("forward", "backward"), ("forwards", "backwards"), ("pulling", "pushing"),
        ("pull", "push"), ("clockwise", "counterclockwise"), ("clockwise", "anticlockwise"))
}


class LabelError(ValueError):
    """Labels that do not fit the card; the message names them and what is known."""


def indices(card: ModelCard, names: Iterable[str], where: str) -> frozenset[int]:
    """The places of `names` among the card's labels. Raises LabelError with the nearest label."""
    found = set()
    for name in names:
        if name not in card.labels:
            folded = {label.casefold(): label for label in card.labels}
            near = folded[difflib.get_close_matches(name.casefold(), folded, 1, 0.0)[0]]
            raise LabelError(f"{where}: {name!r} is no label of model {card.name!r}; "
                             f"did you mean {near!r}?")
        found.add(card.labels.index(name))
    return frozenset(found)


def opposites(card: ModelCard) -> dict[int, frozenset[int]]:
    """For each label (by its place) those that the returning hand seems to make after it.

    They are the card's mirrored pairs, and labels of movements that differ in nothing but words
    that are opposites: "Swiping Up" and "Swiping Down", "Pulling Two Fingers In" and "Pushing
    Two Fingers Away", but not "Thumb Up" and "Thumb Down", which are poses.
    """
    found: dict[int, set[int]] = {place: set() for place in range(len(card.labels))}
    for one, other in card.mirrored_pairs:
        a, b = card.labels.index(one), card.labels.index(other)
        found[a].add(b)
        found[b].add(a)
    words = [re.findall(r"[a-z]+", label.casefold()) for label in card.labels]
    for a, of_a in enumerate(words):
        for b, of_b in enumerate(words):
            if _undo_each_other(of_a, of_b):
                found[a].add(b)
    return {place: frozenset(others) for place, others in found.items()}


def _undo_each_other(one: list[str], other: list[str]) -> bool:
    if len(one) != len(other) or not one or not _MOVEMENT.match(one[0]):
        return False
    differing = [frozenset(pair) for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
    return bool(differing) and all(pair in _OPPOSITE_WORDS for pair in differing)
