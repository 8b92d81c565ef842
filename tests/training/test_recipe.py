"""Recipes: those that are shipped, and every bad one."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.recipe import RecipeError, card_of, read_recipe, recipe_from_dict


@pytest.mark.parametrize(("change", "message"), [
    ({"sequense": {}}, "did you mean 'sequence'"),
    ({"optimiser": {"learning_rat": 1}}, "optimiser.*did you mean 'learning_rate'"),
    ({"optimiser": {"batch": "many"}}, "batch is 'many'; it must be a whole number"),
    ({"sequence": {"speed": [1]}}, "speed is .*list of 2"),
    ({"sequence": {"speed": [0, 1]}}, r"speed is \[0, 1\]; it must be a range"),
    ({"augment": {"zoom": [1.2, 0.8]}}, r"zoom is \[1\.2, 0\.8\]; it must be a range"),
    ({"sequence": {"frames": 3}}, "frames is 3; it must be at least 4"),
    ({"optimiser": {"batch": 0}}, "optimiser: batch is 0; it must be at least 1"),
    ({"optimiser": {"frozen_blocks": -1}}, "frozen_blocks is -1; it must be at least 0"),
    ({"seed": -1}, "seed is -1; it must be at least 0"),
    ({"run": {"workers": -1}}, "run: workers is -1; it must be at least 0"),
    ({"run": {"log_every": 0}}, "run: log_every is 0; it must be at least 1"),
    ({"train": [{"kind": "shard", "path": "x"}]}, "kind is 'shard'; known: shards, jester"),
    ({"train": []}, "at least one source"), ({"run": {"device": "gpu"}}, "known: auto, cpu, cuda"),
    ({"card": {"labels": ["a"]}}, "background"),
    ({"card": {"labels": ["a", "b"], "background": ["b"]}}, "mirrored_pairs is missing"),
    ({"train": [{"kind": "folders"}]}, "recipe: train: path is missing"),
    ({"card": {"size": 3}}, "did you mean"),
    ({"card": {"shift": {"direction": "both"}}}, "no future")])
def test_a_bad_recipe_says_what_to_do(recipe: dict[str, object], change: dict[str, object],
                                      message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        card_of(recipe_from_dict({**recipe, **change}))


@pytest.mark.parametrize(("content", "message"), [
    (b"out: 2024-02-30", "not valid YAML: day"),
    (b"seed: 1\nseed: 2", r"recipe\.yaml, line 2, .*'seed' stands here a second time; line 1"),
    (b"out: \xfc", "no text in UTF-8")])
def test_a_recipe_that_cannot_be_read_is_a_sentence(content: bytes, message: str, tmp_path: Path
                                                    ) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        read_recipe(path)


@pytest.mark.parametrize("name", ["train_rendered.yaml", "train_jester.yaml"])
def test_the_shipped_recipes_are_some(name: str) -> None:
    made = read_recipe(Path(__file__).parents[2] / "configs" / name)
    assert len(card_of(made).labels) == 27
    assert made.sequence.background_weight >= 0.5
