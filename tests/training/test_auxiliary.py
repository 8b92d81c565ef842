"""Auxiliary gestures: learnt beside the card's labels, and not in what is published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from toy_shards import LABELS, toy_recipe, write_shard

from models.build import build_network
from models.card import ModelCard
from models.checkpoints import load_model
from training.auxiliary import loss_with_auxiliary, narrowed, widen
from training.data import read_shards
from training.events_file import DataError
from training.progress import StateError, load_state, save_state
from training.recipe import LossOptions, RecipeError, card_of, recipe_from_dict
from training.samples import Batch
from training.train import train
from training.trainer import Trainer

PLAIN = LossOptions(label_smoothing=0)
LEFT, STOP, NOTHING, NEW = 0, 2, 3, 4  # of the toy card's four labels, and one behind them


def loss(asked: int, *, known: int, row: int, card: ModelCard) -> float:
    """Of a clip that is `asked`; the best of the card's rows is `known`, of all rows `row`."""
    logits = torch.zeros(1, 3, 5)
    logits[..., known] = 20
    logits[..., row] = 40
    pixels = torch.zeros(1, 3, 3, 2, 2, dtype=torch.uint8)
    batch = Batch(pixels, torch.full((1, 3), asked), torch.ones(1, 3))
    return loss_with_auxiliary(logits, batch, card, PLAIN, lambda x: x).total


def test_an_auxiliary_gesture_is_background_to_the_rows_that_stay(toy_card: ModelCard) -> None:
    assert loss(NEW, known=NOTHING, row=NEW, card=toy_card) < 1e-3
    assert loss(NEW, known=STOP, row=NEW, card=toy_card) > 5  # it is no known gesture
    assert loss(NEW, known=NOTHING, row=NOTHING, card=toy_card) > 5  # and its own row says so
    assert loss(LEFT, known=LEFT, row=LEFT, card=toy_card) < 1e-3
    assert loss(LEFT, known=LEFT, row=NEW, card=toy_card) > 5


def test_of_two_background_labels_it_is_the_last(toy_card: ModelCard) -> None:
    card = toy_card.replace(background=["nothing", "stop"])
    assert loss(NEW, known=STOP, row=NEW, card=card) < 1e-3
    assert loss(NEW, known=NOTHING, row=NEW, card=card) > 5


def test_a_network_widened_and_narrowed_is_what_it_was(toy_card: ModelCard) -> None:
    network = build_network(toy_card).eval()
    clip = torch.rand(1, 3, 3, *toy_card.input_size)
    before = network(clip)
    widen(network, toy_card, 2)
    wide = network(clip)
    assert wide.shape[-1] == before.shape[-1] + 2
    assert torch.equal(wide[..., :before.shape[-1]], before)
    assert torch.equal(narrowed(network, toy_card)(clip), before)
    assert network(clip).shape == wide.shape  # narrowed gives a copy


def test_what_is_published_has_the_cards_labels_alone(shards: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(shards, out=str(tmp_path / "out"))
    labels = [label for label in LABELS if label != "stop"]
    recipe["card"]["labels"] = labels  # type: ignore[index]
    recipe["auxiliary"] = ["stop"]
    write_shard(tmp_path / "known", labels, person="heldout-0")
    recipe["held_out"] = [{"path": str(tmp_path / "known")}]
    train(recipe_from_dict(recipe))
    network, card = load_model(tmp_path / "out" / "best.safetensors")
    assert list(card.labels) == labels
    assert network(torch.rand(1, 2, 3, *card.input_size)).shape[-1] == len(labels)
    state = torch.load(tmp_path / "out" / "state.pt", weights_only=True)
    assert state["network"]["classifier.weight"].shape[0] == len(LABELS)


def test_a_state_from_before_there_were_auxiliary_labels_is_a_sentence(
        shards: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(shards, out=str(tmp_path / "out"))
    train(recipe_from_dict(recipe), most_steps=1)
    state = load_state(tmp_path / "out" / "state.pt")
    assert state is not None
    told = json.loads(state["recipe"])
    del told["auxiliary"]
    save_state(tmp_path / "out" / "state.pt", {**state, "recipe": json.dumps(told)})
    with pytest.raises(StateError, match="other settings under 'auxiliary'"):
        train(recipe_from_dict({**recipe, "auxiliary": ["wave"]}), most_steps=1)
    train(recipe_from_dict(recipe), most_steps=1)


def test_the_average_network_says_the_same_in_mid_training(shards: Path, tmp_path: Path) -> None:
    recipe = recipe_from_dict(toy_recipe(shards, out=str(tmp_path / "out")))
    clips = read_shards(shards / "train")
    made = Trainer(recipe, clips, clips[:2])
    made.network.train()
    clip = torch.rand(1, 4, 3, *made.card.input_size)
    average = made.average.network
    assert torch.equal(average(clip), average(clip))  # no dropout in it
    assert not torch.equal(made.network(clip), made.network(clip))


def test_a_label_that_nothing_names_is_a_sentence(shards: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(shards, out=str(tmp_path / "out"))
    recipe["card"]["labels"] = ["left", "right", "nothing"]  # type: ignore[index]
    with pytest.raises(DataError, match="'stop', which is no label of the card"):
        train(recipe_from_dict(recipe))
    recipe["auxiliary"] = ["stop"]  # in training; but it stands in held-out clips, too
    with pytest.raises(DataError, match="'stop', which is no label of the card"):
        train(recipe_from_dict(recipe))


@pytest.mark.parametrize(("named", "said"), [
    (["wave", "stop"], "stop"), (["clap", "wave", "wave"], "wave")])
def test_an_auxiliary_label_stands_once(shards: Path, named: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=f"names '{said}' twice, or a label of the card"):
        card_of(recipe_from_dict(toy_recipe(shards, auxiliary=named)))
