"""Everything about one training in one YAML file."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from models import jester
from models.card import CardError, ModelCard, card_from_dict
from models.fields import known_fields
from models.yaml_text import parse_yaml
from training.augment import AugmentOptions
from training.backwards import becomes
from training.data import Kind
from training.sequences import SequenceOptions


class RecipeError(ValueError):
    """A recipe that cannot be used; the message names the key and what is allowed."""


@dataclass(frozen=True)
class SourceOptions:
    """One source of clips. Paths count from the folder where the command is run."""

    path: str
    kind: Kind = "shards"
    table: str | None = None  # the CSV of the kind "jester"


@dataclass(frozen=True)
class LossOptions:
    """Frames are weighed by `sequence`; `pooled` adds the mean logits of a gesture's frames."""

    pooled: float = 0.5
    label_smoothing: float = 0.05


@dataclass(frozen=True)
class OptimiserOptions:
    """AdamW with a warm-up and a cosine to `final_share` of the learning rate."""

    batch: int = 12  # sequences a step, of all processes together
    views: int = 500_000  # sequences in all
    learning_rate: float = 8e-4
    final_share: float = 0.01
    head_factor: float = 2.0  # times the learning rate, for the fresh last layer
    weight_decay: float = 0.03
    warmup_steps: int = 100
    clip_norm: float = 5.0
    ema: float = 0.998
    dropout: float = 0.1  # before the last layer
    frozen_blocks: int = 3  # of the walk, from the stem on: they keep weights and statistics,
    frozen_views: int = 60_000  # so long
    still_norms: bool = False  # batch norms keep their statistics; for a network trained before
    initial_share: float = 0.0  # of the initial weights in what is judged and published: the mean
    # of both may know more than either, where few clips were learnt (arXiv 2109.01903)


@dataclass(frozen=True)
class RunOptions:
    """How it runs; nothing here changes what is learnt, but for rounding."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: what a few timed steps favour
    threads: int | None = None  # of torch, a process
    workers: int = 1  # processes that prepare pictures, for each that trains
    save_every_s: float = 120.0
    log_every: int = 50  # steps
    validate_every: int = 1000  # steps
    validation_clips: int = 400
    patience: int = 12  # validations without a better one, then it stops


@dataclass(frozen=True)
class Recipe:
    """A training. `card` holds fields of the model card; its labels are Jester's unless named."""

    out: str
    train: tuple[SourceOptions, ...]
    held_out: tuple[SourceOptions, ...]
    card: dict[str, Any] = field(default_factory=dict)
    auxiliary: tuple[str, ...] = ()  # labels beside the card's, learnt in training alone
    backward_pairs: tuple[tuple[str, str], ...] = jester.BACKWARD_PAIRS  # for `backward_share`
    initial: str | None = None  # a checkpoint to start from: ImageNet in torchvision's layout
    seed: int = 0
    sequence: SequenceOptions = field(default_factory=SequenceOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    optimiser: OptimiserOptions = field(default_factory=OptimiserOptions)
    run: RunOptions = field(default_factory=RunOptions)

    @property
    def steps(self) -> int:
        return max(1, self.optimiser.views // self.optimiser.batch)


def read_recipe(path: Path) -> Recipe:
    """The recipe in a YAML file. Raises RecipeError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is no text in UTF-8; save it as that") from error
    return recipe_from_dict(parse_yaml(text, str(path), RecipeError))


def recipe_from_dict(said: Any) -> Recipe:
    """A recipe from plain values. Raises RecipeError, which names the nearest known key."""
    recipe: Recipe = _filled(Recipe, said, "recipe")
    _check_counts(recipe)
    for name, (low, high) in (("sequence: speed", recipe.sequence.speed),
                              ("augment: zoom", recipe.augment.zoom)):
        if not 0 < low <= high:
            raise RecipeError(f"recipe: {name} is [{low:g}, {high:g}]; it must be a range from a "
                              "number above 0 to one that is no lower")
    if not 0 <= recipe.sequence.backward_share <= 1:
        raise RecipeError(f"recipe: sequence: backward_share is {recipe.sequence.backward_share:g}"
                          "; it must be a share from 0 to 1")
    if not recipe.train or not recipe.held_out:
        raise RecipeError("recipe: train and held_out each need at least one source of clips")
    return recipe


def _check_counts(recipe: Recipe) -> None:
    """Raises RecipeError for a number of things that is too small."""
    if recipe.seed < 0:
        raise RecipeError(f"recipe: seed is {recipe.seed}; it must be at least 0")
    least = {"sequence": {"frames": 4}, "optimiser": {"batch": 1, "views": 1, "frozen_blocks": 0},
             "run": {"workers": 0, "log_every": 1, "validate_every": 1, "validation_clips": 1,
                     "patience": 1}}
    for part, names in least.items():
        for name, lowest in names.items():
            value = getattr(getattr(recipe, part), name)
            if value < lowest:
                raise RecipeError(f"recipe: {part}: {name} is {value}; it must be at least "
                                  f"{lowest}")


def card_of(recipe: Recipe) -> ModelCard:
    """The card that the recipe's fields and Jester's labels make. Raises RecipeError."""
    labels = (
        {}
        if "labels" in recipe.card
        else {
            "labels": jester.ALPHABETICAL,
            "background": jester.BACKGROUND,
            "mirrored_pairs": jester.MIRRORED_PAIRS,
        }
    )
    name = Path(recipe.out).name
    try:
        card = card_from_dict(
            {"name": name, "architecture": "mobilenet_v2", **labels, **recipe.card}
        )
    except CardError as error:
        raise RecipeError(f"recipe: {error}") from error
    if not card.background:
        raise RecipeError("recipe: card: background must name at least one label, for idle time")
    if "labels" in recipe.card and "mirrored_pairs" not in recipe.card and recipe.augment.mirror:
        raise RecipeError("recipe: card: mirrored_pairs is missing; with labels of your own, name "
                          "the pairs that a mirror swaps, such as [[Wave Left, Wave Right]], or [] "
                          "if there are none: training shows clips both ways")
    both = set(card.labels) & set(recipe.auxiliary)
    if both or len(set(recipe.auxiliary)) < len(recipe.auxiliary):
        named = sorted(both) or [n for n in recipe.auxiliary if recipe.auxiliary.count(n) > 1]
        raise RecipeError(f"recipe: auxiliary names {named[0]!r} twice, or a label of the card; an "
                          "auxiliary label stands once, and beside the card's")
    if card.shift.direction != "past":
        raise RecipeError("recipe: card: shift: direction must be 'past'; a stream has no future")
    return card


def backward_names(recipe: Recipe, card: ModelCard) -> dict[str, str]:
    """What each label becomes in a clip that is played backwards; of the pairs, those that `card`
    has. Raises RecipeError where clips are to be turned and none can be."""
    names = becomes(pair for pair in recipe.backward_pairs if set(pair) <= set(card.labels))
    if recipe.sequence.backward_share and not names:
        raise RecipeError("recipe: sequence: backward_share needs backward_pairs of the card's "
                          "labels, such as [[Wave In, Wave Out]]: gestures that become each other "
                          "when they are played backwards")
    return names


def _filled(kind: Any, said: Any, where: str) -> Any:
    """A dataclass from a mapping, its fields checked against their types."""
    said = known_fields(kind, said, where, RecipeError)
    hints = typing.get_type_hints(kind)
    for item in dataclasses.fields(kind):
        bare = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if bare and item.name not in said:
            raise RecipeError(f"{where}: {item.name} is missing")
    return kind(
        **{key: _value(hints[key], value, f"{where}: {key}") for key, value in said.items()}
    )


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _filled(hint, value, where)
    if origin is Literal:
        if value not in args:
            raise RecipeError(f"{where} is {value!r}; known: {', '.join(args)}")
        return value
    if origin is types.UnionType:
        return None if value is None else _value(args[0], value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple) or (args[-1] is not ... and len(value) != len(args)):
            length = "" if args[-1] is ... else f" of {len(args)}"
            raise RecipeError(f"{where} is {value!r}; it must be a list{length}")
        return tuple(_value(args[0], one, where) for one in value)
    return _plain(origin or hint, value, where)


def _plain(kind: type, value: Any, where: str) -> Any:
    """A text, a number or a mapping."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        known = {int: "a whole number", float: "a number", str: "a text", dict: "keys and values"}
        raise RecipeError(f"{where} is {value!r}; it must be {known[kind]}")
    return value
