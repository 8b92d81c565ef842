"""Trainings of toy recipes: what they leave, and the environment of those in their own process."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from training.recipe import recipe_from_dict
from training.train import train


def run(recipe: dict[str, object], **options: object) -> Path:
    train(recipe_from_dict(recipe), **options)  # type: ignore[arg-type]
    return Path(str(recipe["out"]))


def column(path: Path, name: str) -> list[float]:
    with path.open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
