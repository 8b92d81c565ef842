"""The model card: everything about a network that its tensors cannot say. Imports no torch."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from models.fields import known_fields

Direction = Literal["past", "both"]
Fold = Literal["first", "second"]
Padding = Literal["zero", "circulant"]
Placement = Literal["blockres", "block"]
ResizeRule = Literal["shorter-side", "centre-4:3", "whole-frame"]
Filter = Literal["bilinear", "area"]  # bilinear: antialiased, as Pillow does it
Colour = Literal["rgb", "bgr"]
Architecture = Literal["mobilenet_v2", "resnet18", "resnet34", "resnet50", "resnet101"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FLOAT32_MAX = 3.4e38  # all arithmetic with a card's numbers ends there
AT_MOST: Mapping[str, float] = {  # beyond these a slip of the hand would eat all memory
    "input_size": 2048, "resize_side": 2048, "frame_rate": 1000, "width_multiplier": 4,
    "warmup_steps": 10_000, "smoothing: rise": 1, "smoothing: fall": 1, "smoothing: margin": 1,
    "smoothing: thresholds": 1,
}


class CardError(ValueError):
    """A card that cannot be used; the message names the field, its value and what is allowed."""


@dataclass(frozen=True)
class Shift:
    """How channels move in time (TSM, arXiv 1811.08383, sections 3.2 to 3.4).

    `direction` "past" shifts one fold (1/`fold_div` of the channels) from the previous frame;
    "both" shifts a second one from the next frame. `past_fold` says which of the first two folds
    holds the past. `placement` "blockres" shifts inside the residual branch, "block" before the
    whole block.
    """

    direction: Direction = "past"
    fold_div: int = 8
    past_fold: Fold = "first"
    padding: Padding = "zero"
    placement: Placement = "blockres"


@dataclass(frozen=True)
class Smoothing:
    """Constants of the smoothing head and the event detector. Times are seconds."""

    window_s: float = 0.6  # logits are averaged over this long
    temperature: float = 1.0  # logits are divided by it before the softmax
    rise: float = 0.6  # a class above this probability may become an event
    fall: float = 0.3  # and must sink below this one before it fires again
    hold_s: float = 0.1  # for at least this long above `rise`
    margin: float = 0.15  # and ahead of the second class by this much
    cooldown_s: float = 0.4  # no two events of one class closer than this
    return_s: float = 0.9  # the opposite class is suppressed this long while the hand returns
    thresholds: Mapping[str, float] = field(default_factory=dict)  # `rise` of single classes
    holds: Mapping[str, float] = field(default_factory=dict)  # `hold_s` of single classes
    disabled: tuple[str, ...] = ()  # classes left out before the softmax, unless allowed by name
    added: tuple[str, ...] = ()  # classes that came when the others' thresholds were set already


@dataclass(frozen=True)
class ModelCard:
    """What must be known to feed a network and to read it. Travels inside the weight file.

    `input_size` is (height, width) in pixels. `mean` and `std` apply to pixels scaled to 0..1.
    `frame_rate` is the steps a second the network was trained for. `warmup_steps` is after how
    many steps from an empty cache its predictions count.
    """

    name: str
    architecture: Architecture
    labels: tuple[str, ...]
    background: tuple[str, ...] = ()
    mirrored_pairs: tuple[tuple[str, str], ...] = ()
    input_size: tuple[int, int] = (224, 224)
    resize: ResizeRule = "shorter-side"
    resize_side: int = 256  # of the rule "shorter-side", before the centre crop
    filter: Filter = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    colour: Colour = "rgb"
    frame_rate: float = 15.0
    width_multiplier: float = 1.0
    shift: Shift = field(default_factory=Shift)
    warmup_steps: int = 10
    smoothing: Smoothing = field(default_factory=Smoothing)
    provenance: str = ""
    licence: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict)  # figures, with how they were got

    def __post_init__(self) -> None:
        _check_card(self)

    def replace(self, **changes: Any) -> ModelCard:
        """A copy with some fields changed; `shift` and `smoothing` take mappings of theirs."""
        return card_from_dict({**card_to_dict(self), **_merged(self, changes)})


def card_to_dict(card: ModelCard) -> dict[str, Any]:
    """Plain lists, dicts, strings and numbers, ready for JSON or YAML."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(card)))
    return plain


def card_from_dict(data: Mapping[str, Any]) -> ModelCard:
    """The inverse of `card_to_dict`. Raises CardError, naming the nearest known key."""
    values = known_fields(ModelCard, data, "card", CardError)
    missing = [key for key in ("name", "architecture", "labels") if key not in values]
    if missing:
        raise CardError(f"card: {', '.join(missing)} missing")
    if "shift" in values:
        values["shift"] = _shift(values["shift"])
    if "smoothing" in values:
        values["smoothing"] = _smoothing(values["smoothing"])
    for key in ("labels", "background"):
        if key in values:
            values[key] = _names(values[key], key)
    for key in ("input_size", "mean", "std"):
        if key in values:
            values[key] = _tuple(values[key], key)
    if "input_size" in values:
        values["input_size"] = tuple(map(_whole, values["input_size"]))
    for key in ("resize_side", "warmup_steps"):
        if key in values:
            values[key] = _whole(values[key])
    if "mirrored_pairs" in values:
        pairs = _tuple(values["mirrored_pairs"], "mirrored_pairs")
        values["mirrored_pairs"] = tuple(_names(pair, "mirrored_pairs") for pair in pairs)
    return ModelCard(**values)


def _shift(data: Any) -> Shift:
    values = known_fields(Shift, data, "card: shift", CardError)
    if "fold_div" in values:
        values["fold_div"] = _whole(values["fold_div"])
    return Shift(**values)


def _smoothing(data: Any) -> Smoothing:
    values = known_fields(Smoothing, data, "card: smoothing", CardError)
    for key in ("disabled", "added"):
        if key in values:
            values[key] = _names(values[key], f"smoothing: {key}")
    return Smoothing(**values)


def _merged(card: ModelCard, changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` with partial `shift` and `smoothing` filled up from `card`."""
    merged = dict(changes)
    for key, kind in (("shift", Shift), ("smoothing", Smoothing)):
        value = merged.get(key)
        if isinstance(value, kind):
            merged[key] = dataclasses.asdict(value)
        elif isinstance(value, Mapping):
            merged[key] = {**dataclasses.asdict(getattr(card, key)), **value}
    return merged


def _tuple(value: Any, key: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise CardError(f"card: {key} must be a list, got {value!r}")
    return tuple(value)


def _names(value: Any, key: str) -> tuple[str, ...]:
    names = _tuple(value, key)
    if not all(isinstance(name, str) and name for name in names):
        raise CardError(f"card: {key} must be a list of names, got {value!r}")
    return names


def _whole(value: Any) -> Any:
    """84.0 as 84, which is what torch needs; whatever is no such number as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_number(value: Any) -> bool:
    return (isinstance(value, int | float) and not isinstance(value, bool)
            and abs(value) <= FLOAT32_MAX)  # which is false for nan, too


def _check_card(card: ModelCard) -> None:
    choices = {
        "architecture": (card.architecture, Architecture),
        "resize": (card.resize, ResizeRule),
        "filter": (card.filter, Filter),
        "colour": (card.colour, Colour),
        "shift: direction": (card.shift.direction, Direction),
        "shift: past_fold": (card.shift.past_fold, Fold),
        "shift: padding": (card.shift.padding, Padding),
        "shift: placement": (card.shift.placement, Placement),
    }
    for key, (value, kind) in choices.items():
        if value not in get_args(kind):
            raise CardError(f"card: {key} is {value!r}; known: {', '.join(get_args(kind))}")
    if not card.labels:
        raise CardError("card: labels is empty; a network has at least one class")
    twice = sorted({name for name in card.labels if card.labels.count(name) > 1})
    if twice:
        raise CardError(f"card: labels names {', '.join(twice)} twice")
    _check_texts(card)
    _check_names(card)
    _check_numbers(card)


def _check_texts(card: ModelCard) -> None:
    for key in ("name", "provenance", "licence"):
        value = getattr(card, key)
        if not isinstance(value, str):
            raise CardError(f"card: {key} must be text, got {value!r}; a number or a date needs "
                            "quotes to be text")
    if not isinstance(card.measured, Mapping):
        raise CardError(f"card: measured must be keys and values, got {card.measured!r}")
    try:
        json.dumps(card.measured)
    except (TypeError, ValueError) as error:  # a date, for one, or a value inside itself
        raise CardError(f"card: measured must be made of texts, numbers, lists and keys with "
                        f"values: {error}; a date needs quotes to be text") from error


def _check_names(card: ModelCard) -> None:
    if any(len(pair) != 2 for pair in card.mirrored_pairs):
        raise CardError("card: mirrored_pairs must be pairs of two labels")
    for key in ("thresholds", "holds"):
        value = getattr(card.smoothing, key)
        if not isinstance(value, Mapping):
            raise CardError(f"card: smoothing: {key} must be labels with a number each, got "
                            f"{value!r}")
    named = {
        "background": card.background,
        "mirrored_pairs": [name for pair in card.mirrored_pairs for name in pair],
        "smoothing: thresholds": list(card.smoothing.thresholds),
        "smoothing: holds": list(card.smoothing.holds),
        "smoothing: disabled": card.smoothing.disabled,
        "smoothing: added": card.smoothing.added,
    }
    for key, names in named.items():
        for name in names:
            if name not in card.labels:
                near = difflib.get_close_matches(str(name), card.labels, 1, 0.0)
                raise CardError(f"card: {key} names {name!r}, which is no label; "
                                f"did you mean {near[0]!r}?")


def _check_numbers(card: ModelCard) -> None:
    smooth = card.smoothing
    above_zero = {
        "frame_rate": (card.frame_rate,),
        "width_multiplier": (card.width_multiplier,),
        "resize_side": (card.resize_side,),
        "input_size": card.input_size,
        "std": card.std,
        "shift: fold_div": (card.shift.fold_div,),
        "smoothing: temperature": (smooth.temperature,),
    }
    at_least_zero = {
        "warmup_steps": (card.warmup_steps,),
        "smoothing: window_s": (smooth.window_s,),
        "smoothing: hold_s": (smooth.hold_s,),
        "smoothing: holds": tuple(smooth.holds.values()),
        "smoothing: cooldown_s": (smooth.cooldown_s,),
        "smoothing: return_s": (smooth.return_s,),
    }
    shares = {
        "smoothing: rise": (smooth.rise,),
        "smoothing: fall": (smooth.fall,),
        "smoothing: margin": (smooth.margin,),
        "smoothing: thresholds": tuple(smooth.thresholds.values()),
    }
    whole = ("input_size", "resize_side", "warmup_steps", "shift: fold_div")
    for low, group in ((True, above_zero), (False, at_least_zero), (False, shares)):
        for key, values in group.items():
            for value in values:
                if not _is_number(value) or value < 0 or (low and value == 0):
                    raise CardError(f"card: {key} is {value!r}; it must be a number "
                                    f"{'above' if low else 'of at least'} 0")
                if key in whole and not isinstance(value, int):
                    raise CardError(f"card: {key} is {value!r}; it must be a whole number")
                if value > AT_MOST.get(key, FLOAT32_MAX):
                    raise CardError(f"card: {key} is {value!r}; it must lie within 0 and "
                                    f"{AT_MOST[key]}")
    for key, values, n in (("input_size", card.input_size, 2), ("mean", card.mean, 3),
                           ("std", card.std, 3)):
        if len(values) != n or not all(map(_is_number, values)):
            raise CardError(f"card: {key} must be {n} numbers, got {list(values)!r}")
