"""What docs/training.md tells a newcomer to run, at toy size, with people really rendered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from toy_people import bake_toy_people
from toy_shards import toy_recipe

from models.cache import VARIABLE
from training.evaluate import main as evaluate
from training.model_card import main as model_card
from training.recipe import card_of, read_recipe
from training.synthesis import rooms
from training.synthesis.assets import SynthesisError
from training.synthesis.cast import people
from training.synthesis.language import GESTURES_FOLDER
from training.synthesis.renderer import Renderer
from training.synthesize import main as synthesize
from training.train import main as train

ROOT = Path(__file__).parents[2]
GESTURE = """
label: {label}
background: {background}
poses:
  up: {{at: [0.7, 0.5, 0.65], point: up, palm: near, shape: open}}
styles:
  plainly:
    phases:
      - raise: {{time: 0.1, to: up}}
      - stroke: {{time: 0.3, to: {{like: up, at: [{out}, 0.5, 0.65]}}}}
      - retract: {{time: 0.1}}
"""


@pytest.fixture
def gestures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two short gestures and a background; the cast are boxes in painted rooms."""
    pytest.importorskip("moderngl", reason="moderngl is not installed, so nothing can be rendered")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    bake_toy_people(tmp_path / "cache", [*people("train"), *people("heldout")])
    monkeypatch.setattr(rooms, "PAINTED_SHARE", 1.0)  # panoramas would have to be fetched
    try:
        Renderer(16, 16)
    except SynthesisError as error:
        pytest.skip(str(error))
    folder = tmp_path / "gestures"
    folder.mkdir()
    (folder / "common.yaml").write_text((GESTURES_FOLDER / "common.yaml").read_text())
    for label, out in (("left", -0.7), ("right", 1.4), ("nothing", 0.7)):
        said = GESTURE.format(label=label, out=out, background=str(label == "nothing").lower())
        (folder / f"{label}.yaml").write_text(said)
    return folder


def test_the_recipe_of_the_first_steps_needs_nothing_but_the_two_sets() -> None:
    recipe = read_recipe(ROOT / "configs" / "train_first_steps.yaml")
    told = (ROOT / "docs" / "training.md").read_text()
    for source in (*recipe.train, *recipe.held_out):
        assert f"--out {source.path} " in told
    assert f"{recipe.out}/best.safetensors" in told
    assert recipe.initial is None
    assert len(card_of(recipe).labels) == 27


def test_preview_render_train_evaluate_and_the_models_page(gestures: Path, tmp_path: Path) -> None:
    assert synthesize(["preview", str(gestures / "left.yaml"), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "left.gif").stat().st_size > 5000
    for split in ("train", "heldout"):
        assert synthesize(["render", "--out", str(tmp_path / split), "--clips", "6", "--split",
                           split, "--gestures", str(gestures), "--draft"]) == 0
    recipe = toy_recipe(tmp_path)
    recipe["card"] = {**recipe["card"], "labels": ["left", "right", "nothing"],  # type: ignore[dict-item]
                      "mirrored_pairs": []}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert train([str(tmp_path / "recipe.yaml"), "--steps", "8"]) == 0
    model = str(tmp_path / "out" / "best.safetensors")
    assert evaluate(["--model", model, "--shards", str(tmp_path / "heldout"), "--engine", "torch",
                     "--most", "3", "--out", str(tmp_path / "measured")]) == 0
    said = json.loads((tmp_path / "measured" / "evaluation.json").read_text())
    assert said["rendered clips, seen styles"]["top-1"]["n"] >= 3
    assert model_card([model, "--evaluation", str(tmp_path / "measured"), "--recipe",
                       str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "model.md")]) == 0
    assert "--clips 6 --seed 0 --split train" in (tmp_path / "model.md").read_text()
