"""Cards outside the code: inside a weight file, in a YAML file beside it, or in pieces to merge."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models import jester
from models.card import CardError, ModelCard, card_from_dict, card_to_dict
from models.errors import CheckpointError
from models.yaml_text import parse_yaml

METADATA_KEY = "card"  # of safetensors metadata and of ONNX metadata_props: the card as JSON
SUFFIXES = (".safetensors", ".onnx", ".pth", ".pt", ".tar", ".ckpt", ".bin")  # of weight files
NESTED = ("shift", "smoothing")  # fields that may be given in part


def card_to_json(card: ModelCard) -> str:
    """The card as it is written under METADATA_KEY."""
    return json.dumps(card_to_dict(card), ensure_ascii=False)


def card_fields(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """The card's fields from a weight file's metadata; empty if there is no card inside."""
    text = metadata.get(METADATA_KEY)
    if text is None:
        return {}
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError: nested without an end
        raise CardError(f"{path.name}: the card inside is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise CardError(f"{path.name}: the card inside holds no keys and values")
    return fields


def stem_of(path: Path) -> str:
    """The file name without its suffixes: model.pth.tar -> model."""
    name = path.name
    while Path(name).suffix.lower() in SUFFIXES:
        name = Path(name).stem
    return name


def card_beside(path: Path) -> Path:
    """Where the YAML card of a weight file is looked for: the same stem, `.yaml`."""
    return path.with_name(stem_of(path) + ".yaml")


def read_card_file(path: Path) -> dict[str, Any]:
    """The fields of a YAML card, any subset of ModelCard's; `labels` may name a label file.

    Raises CardError; for broken YAML with the line and the column.
    """
    fields = parse_yaml(_read_text(path), str(path), CardError)
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise CardError(f"{path}: a card holds keys and values, this file holds {fields!r}")
    if isinstance(fields.get("labels"), str):
        fields["labels"] = read_labels(path.parent / fields["labels"])
    return fields


def read_labels(path: Path) -> list[str]:
    """A label file: one label a line, in the order of the logits. Raises CardError."""
    labels = [line.strip() for line in _read_text(path).splitlines()]
    labels = [label for label in labels if label]
    if not labels:
        raise CardError(f"{path}: a label file holds one label a line, this one is empty")
    return labels


def complete_card(layers: Sequence[Mapping[str, Any]], path: Path, classes: int | None
                  ) -> ModelCard:
    """One card from layers of fields, the weakest first; `shift` and `smoothing` merge by key.

    Background labels and mirrored pairs that no layer gives are those of Jester, where the labels
    are named as there. Raises CheckpointError where there are not as many labels as `classes`
    (None: not known) and CardError for the rest, naming the weight file `path`.
    """
    fields: dict[str, Any] = {"name": stem_of(path)}
    for layer in layers:
        for key, value in layer.items():
            below = fields.get(key)
            if key in NESTED and isinstance(value, Mapping) and isinstance(below, Mapping):
                fields[key] = {**below, **value}
            else:
                fields[key] = value
    labels = fields.get("labels")
    if isinstance(labels, list | tuple):
        if classes is not None and len(labels) != classes:
            raise CheckpointError(f"{path.name}: {len(labels)} labels are given, but the network "
                                  f"has {classes} classes")
        known = set(map(str, labels))
        fields.setdefault("background", [name for name in jester.BACKGROUND if name in known])
        fields.setdefault("mirrored_pairs",
                          [pair for pair in jester.MIRRORED_PAIRS if known.issuperset(pair)])
    try:
        return card_from_dict(fields)
    except CardError as error:
        raise CardError(f"{path.name}: {error}") from error


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CardError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CardError(f"{path}: not a text file in UTF-8") from error
