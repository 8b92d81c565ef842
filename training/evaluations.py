"""Reads back what `training.evaluate` wrote."""

from __future__ import annotations

import json
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.card import ModelCard
from training.events_file import DataError

FIGURES = ("top-1", "precision")  # what single clips, and what streams are known by


@dataclass
class Measured:
    """One set of clips or streams and what one recogniser made of it.

    `figures` hold value, low, high, n by name. `classes`: (clips, right, right among three) of
    single clips, (found, invented, missed) of streams. `picture`: of the confusions.
    """

    letter: str
    title: str
    recogniser: str
    own: bool  # whether it is the model itself
    figures: dict[str, dict[str, Any]]
    minutes: float = 0.0
    classes: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    counts: list[list[int]] = field(default_factory=list)
    picture: Any = None
    how: str = ""  # how an answer came about, where the title does not say it

    @property
    def count(self) -> int:
        return int(self.figures["top-1"]["n"])

    def percent(self, name: str) -> str:
        """Such as "72 % (65 to 79)"."""
        return self._told(name, 100, "{:.0f}", " %")

    def plain(self, name: str, unit: str = "") -> str:
        """Such as "0.31 s (0.25 to 0.40)"."""
        return self._told(name, 1, "{:.2f}", unit)

    def _told(self, name: str, factor: float, form: str, unit: str) -> str:
        figure = self.figures[name]
        if figure["value"] is None:
            return "–"
        value = form.format(factor * figure["value"]) + unit
        if figure["low"] is None:
            return value
        low, high = (form.format(factor * figure[end]) for end in ("low", "high"))
        return f"{value} ({low} to {high})"

    def confusions(self, most: int) -> list[str]:
        """The commonest ones that happened more than once."""
        pairs = [(self.counts[i][j], sum(self.counts[i]), self.labels[i], self.labels[j])
                 for i in range(len(self.counts)) for j in range(len(self.counts)) if i != j]
        pairs = sorted((p for p in pairs if p[0] > 1), key=lambda p: (-p[0], p[2:]))
        return [f"{truth} taken for {said} ({n} of {of})" for n, of, truth, said in pairs[:most]]


def read_evaluation(folder: Path, card: ModelCard, before: int) -> list[Measured]:
    """All sets of one evaluation; `before`: how many letters are given away already.

    Raises DataError where the folder holds no evaluation, or one of another model.
    """
    path = folder / "evaluation.json"
    try:
        said = json.loads(path.read_text())
        if said["model"] != card.name:
            raise DataError(f"{path} is of the model {said['model']!r}, not of {card.name!r}")
        titles = [title for title, value in said.items()
                  if isinstance(value, dict) and any(name in value for name in FIGURES)]
        return [_measured(said, title, folder, _letter(before + place))
                for place, title in enumerate(titles)]
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no evaluation ({error!r}); run training.evaluate again"
                        ) from error


def _measured(said: dict[str, Any], title: str, folder: Path, letter: str) -> Measured:
    other = next((name for name in said["others"] if title.endswith(f": {name}")), None)
    shown = title.removesuffix(f": {other}") if other else title
    confusion = said.get(f"{title}, confusion")
    classes = said.get(f"{title}, by class", {})
    return Measured(
        letter, f"{said['set']}: {shown}", other or "this model", other is None, said[title],
        said.get(f"{title}, minutes", 0.0), {key: tuple(row) for key, row in classes.items()},
        tuple(said["labels"]), confusion["counts"] if confusion else [],
        folder / confusion["picture"] if confusion else None,
        said.get("rendered clips", "") if title.startswith("rendered clips") and not other else "")


def _letter(number: int) -> str:
    """A, B ... Z, AA, AB ..."""
    letters = string.ascii_uppercase
    if number < len(letters):
        return letters[number]
    return letters[number // len(letters) - 1] + letters[number % len(letters)]
