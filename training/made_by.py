"""The code and the commands that make a model again: from its recipe and the sets that it names."""

from __future__ import annotations

import functools
import json
import re
import subprocess
from pathlib import Path

from training.events_file import DataError
from training.recipe import SourceOptions, read_recipe
from training.synthesis.language import GESTURES_FOLDER
from training.synthesis.plan import CLIPS_A_SHARD

SET_FILE = "set.json"  # what training.synthesize writes into the folder of a set
CODE = Path(__file__).parents[1]


@functools.cache
def commit(folder: Path = CODE) -> str:
    """The git commit of the code, "+changes" after it where files differ; "" without git."""
    try:
        found, changed = (subprocess.run(["git", "-C", str(folder), *words], check=True,
                                         capture_output=True, text=True).stdout.strip()
                          for words in (["rev-parse", "--short=12", "HEAD"],
                                        ["status", "--porcelain", "--untracked-files=no"]))
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{found}+changes" if changed else found


def commands(recipe: Path) -> list[str]:
    """One line a command. Folders go by their last name: where they lay is nobody's business.

    Raises RecipeError for a recipe that cannot be read, DataError for a set that cannot.
    """
    said = read_recipe(recipe)
    sets = dict.fromkeys(_rendered(source) for source in (*said.train, *said.held_out)
                         if source.kind == "shards")  # one that counts twice is named twice
    held = next((Path(s.path).name for s in said.held_out if s.kind == "shards"), "HELD_OUT")
    model = f"{Path(said.out).name}/best.safetensors"
    return ["python -m training.synthesize fetch", *sets,
            f"python -m training.train {recipe.name}",
            f"python -m training.thresholds --model {model} --shards {held} --out MODEL"]


def shown(recipe: Path) -> str:
    """The recipe's text with its folders by their last names."""
    text = recipe.read_text(encoding="utf-8")
    return re.sub(r"(?<![\w.])(?:/[\w.-]+)+/([\w.-]+)", r"\1", text).strip()


def _rendered(source: SourceOptions) -> str:
    path = Path(source.path) / SET_FILE
    try:
        told = json.loads(path.read_text())
        there = CLIPS_A_SHARD * len(list(path.parent.glob("shard-*.npz")))
        words = [f"python -m training.synthesize render --out {Path(source.path).name}",
                 f"--clips {min(told['clips'], there)} --seed {told['seed']}",
                 f"--split {told['split']}"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} does not say how its set was rendered ({error!r})") from error
    folder = told.get("folder", GESTURES_FOLDER.name)
    if folder != GESTURES_FOLDER.name:
        ours = GESTURES_FOLDER.with_name(folder).is_dir()
        words.append(f"--gestures {f'training/{folder}' if ours else folder}")
    return " ".join([*words, *(["--draft"] if told.get("draft") else [])])
