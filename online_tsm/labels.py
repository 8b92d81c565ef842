"""Questions about a card's labels: where they stand, and which undo one another."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from models.card import ModelCard

EVERY_CLASS = "all"  # as the only word of an allow list

# A hand that has made one of these movements must come back, and on its way makes the opposite
# one. Poses are not among them: nobody passes through Thumb Down to lower a Thumb Up.
_MOVEMENTS = (("swip", "slid", "mov", "drag", "flick", "scroll"), ("pull", "push"), ("roll",),
              ("turn", "rotat"), ("zoom",))
_OPPOSITE_WORDS = (
    ("left", "right"), ("up", "down"), ("in", "out"), ("in", "away"), ("forward", "backward"),
    ("forwards", "backwards"), ("pulling", "pushing"), ("pull", "push"),
    ("clockwise", "counterclockwise"), ("clockwise", "anticlockwise"))
_PAIRS = {frozenset(pair) for pair in _OPPOSITE_WORDS}
_DIRECTIONS = frozenset(word for pair in _OPPOSITE_WORDS for word in pair)


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


def restricted(card: ModelCard, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> ModelCard:
    """The card with the user's lists in force: its `smoothing.disabled` names all that is left out.

    An allow list leaves its classes and the background, those that the card disables among them;
    the single word "all" allows every class. Denied classes are left out in any case. Raises
    LabelError for a name that is no label, or if the lists leave no gesture.
    """
    everything = frozenset(range(len(card.labels)))
    names = tuple(allow)
    denied = tuple(deny)
    if EVERY_CLASS in names and len(names) > 1 and EVERY_CLASS not in card.labels:
        raise LabelError(f"allow: {EVERY_CLASS!r} is every class; name it alone")
    if names == (EVERY_CLASS,):
        kept = everything
    elif names:
        kept = indices(card, names, "allow") | indices(card, card.background, "background")
    else:
        kept = everything - indices(card, card.smoothing.disabled, "smoothing: disabled")
    kept -= indices(card, denied, "deny")
    if (names or denied) and kept <= indices(card, card.background, "background"):
        raise LabelError("allow, deny: no gesture is left; at least one must be")
    if not kept:
        raise LabelError("smoothing: disabled names every label; at least one must be left")
    left_out = [card.labels[place] for place in sorted(everything - kept)]
    return card.replace(smoothing={"disabled": left_out})


def opposites(card: ModelCard) -> dict[int, frozenset[int]]:
    """For each label (by its place) those that the returning hand seems to make after it.

    They are the card's mirrored pairs, and movements of one kind in opposite directions, with
    whatever fingers: "Swiping Left" and "Sliding Two Fingers Right", "Pulling Hand In" and
    "Pushing Two Fingers Away", but not "Thumb Up" and "Thumb Down", which are poses.
    """
    found: dict[int, set[int]] = {place: set() for place in range(len(card.labels))}
    for one, other in card.mirrored_pairs:
        a, b = card.labels.index(one), card.labels.index(other)
        found[a].add(b)
        found[b].add(a)
    words = [re.findall(r"[a-z]+", label.casefold()) for label in card.labels]
    for a, of_a in enumerate(words):
        found[a] |= {b for b, of_b in enumerate(words) if _undo_each_other(of_a, of_b)}
    return {place: frozenset(others) for place, others in found.items()}


def _undo_each_other(one: list[str], other: list[str]) -> bool:
    kind = _kind(one)
    if kind is None or kind != _kind(other):
        return False
    there, back = _DIRECTIONS.intersection(one), _DIRECTIONS.intersection(other)
    return bool(there) and _all_answered(there, back) and _all_answered(back, there)


def _all_answered(words: frozenset[str], others: frozenset[str]) -> bool:
    """Whether each of `words` has its opposite among `others`."""
    return all(any(frozenset((a, b)) in _PAIRS for b in others) for a in words)


def _kind(words: list[str]) -> int | None:
    """Which kind of movement the label's first word names, if any."""
    for number, stems in enumerate(_MOVEMENTS):
        if words and words[0].startswith(stems):
            return number
    return None
