"""Training: that it learns, goes on and stops as it should, and what it cannot start from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from toy_shards import LABELS, write_shard
from toy_training import column, run

from models.checkpoints import load_model
from training import trainer
from training.data import _place_of, read_shards
from training.made_by import commit
from training.progress import load_state
from training.recipe import RecipeError, recipe_from_dict
from training.train import main
from training.trainer import Trainer


def test_a_training_learns_and_its_file_runs_in_the_demo(recipe: dict[str, object]) -> None:
    recipe["optimiser"] = {"batch": 8, "views": 256, "frozen_views": 16, "warmup_steps": 4,
                           "ema": 0.9, "learning_rate": 0.004, "dropout": 0.0}
    recipe["augment"] = {"colour": 0, "cut_out": 0, "background": 0, "blur": 0, "noise": 0,
                         "shake": 0, "zoom": [1, 1], "turn": 0, "aspect": 0}
    recipe["run"] = {**recipe["run"], "validate_every": 1000, "log_every": 4}
    out = run(recipe)
    losses = column(out / "log.csv", "loss")
    assert np.mean(losses[-3:]) < 0.7 * losses[0]
    network, card = load_model(out / "best.safetensors")
    assert card.labels == ("left", "right", "stop", "nothing")
    assert "held out in training" in card.measured
    assert f"{commit()}, seed 0, 256 sequences seen" in card.provenance
    assert network(torch.zeros(1, 2, 3, 32, 32)).shape == (1, 2, 4)
    assert (out / "curves.png").stat().st_size > 5000


def test_a_training_that_was_interrupted_ends_as_if_it_had_not_been(
        recipe: dict[str, object], tmp_path: Path) -> None:
    whole = run({**recipe, "out": str(tmp_path / "whole")})
    for steps in (1, 7):  # the first part ends while blocks are frozen
        parts = run({**recipe, "out": str(tmp_path / "parts")}, most_steps=steps)
    one, other = (load_state(out / "state.pt") for out in (whole, parts))
    assert one is not None
    assert other is not None
    assert one["step"] == other["step"] == 8
    for name, tensor in one["network"].items():
        assert torch.equal(tensor, other["network"][name]), name
    for name, tensor in load_file(whole / "last.safetensors").items():
        assert torch.equal(tensor, load_file(parts / "last.safetensors")[name]), name
    strip = [[row.rsplit(",", 1)[0] for row in (out / "log.csv").read_text().splitlines()]
             for out in (whole, parts)]  # without the speed
    assert strip[0][0] == strip[1][0]
    assert strip[0][-1] == strip[1][-1]


def test_it_stops_when_held_out_people_gain_nothing(recipe: dict[str, object]) -> None:
    recipe["optimiser"] = {**recipe["optimiser"], "learning_rate": 0.0, "views": 4000}
    recipe["run"] = {**recipe["run"], "validate_every": 1, "patience": 1}
    made = recipe_from_dict(recipe)
    clips = [read_shards(Path(made.train[0].path)), read_shards(Path(made.held_out[0].path))]
    trainer = Trainer(made, *clips)
    assert trainer.run()
    assert trainer.step == 2


def test_an_initial_checkpoint_is_taken(recipe: dict[str, object], tmp_path: Path) -> None:
    recipe["run"] = {**recipe["run"], "validate_every": 1}
    first = run({**recipe, "out": str(tmp_path / "first")}, most_steps=1)
    initial = first / "best.safetensors"
    made = recipe_from_dict({**recipe, "initial": str(initial)})
    trainer = Trainer(made, *[read_shards(Path(made.train[0].path))] * 2)
    weights = load_file(initial)
    own = trainer.network.state_dict()
    assert torch.equal(own["features.3.conv.0.weight"], weights["features.3.conv.0.weight"])
    assert torch.equal(own["classifier.weight"], weights["classifier.weight"])  # the same labels


def test_the_initial_weights_have_their_share_in_what_is_published(recipe: dict[str, object],
                                                                   tmp_path: Path) -> None:
    initial = run({**recipe, "out": str(tmp_path / "first")}) / "last.safetensors"

    def published(share: float) -> dict[str, torch.Tensor]:
        out = str(tmp_path / f"share {share}")
        options = {**recipe["optimiser"], "initial_share": share}
        return load_file(run({**recipe, "out": out, "seed": 5, "initial": str(initial),
                              "optimiser": options}) / "last.safetensors")

    alone, mean = published(0.0), published(0.25)
    for name, tensor in load_file(initial).items():
        if tensor.is_floating_point():
            assert torch.allclose(mean[name], 0.25 * tensor + 0.75 * alone[name], atol=1e-6), name
    assert not torch.equal(alone["classifier.weight"], mean["classifier.weight"])
    recipe["optimiser"] = {**recipe["optimiser"], "initial_share": 0.5}
    with pytest.raises(RecipeError, match="needs weights under"):
        run(recipe)


def test_a_changed_recipe_does_not_go_on(recipe: dict[str, object],
                                         capsys: pytest.CaptureFixture[str], tmp_path: Path
                                         ) -> None:
    run(recipe, most_steps=1)
    recipe["sequence"] = {"frames": 8}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    assert main([str(path)]) == 2
    assert "'sequence'" in capsys.readouterr().err


def test_more_processes_than_sequences_is_a_sentence(recipe: dict[str, object],
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "open_group", lambda cuda: (0, 5))
    with pytest.raises(RecipeError, match="batch is 4 for 5 processes"):
        Trainer(recipe_from_dict(recipe), [], [])


def test_a_gpu_that_is_not_there_is_a_sentence(recipe: dict[str, object],
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    recipe["run"] = {**recipe["run"], "device": "cuda"}
    with pytest.raises(RecipeError, match="finds no NVIDIA GPU"):
        Trainer(recipe_from_dict(recipe), [], [])


def test_each_process_reads_its_own_share_of_what_is_held_out(
        recipe: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not all of it: eight processes would have eight times the pictures in memory."""
    made, read = recipe_from_dict({**recipe, "held_out": recipe["train"]}), []
    clips = [dataclasses.replace(clip, read=lambda numbers, clip=clip: (
        read.append(clip.name), clip.read(numbers))[1])
        for clip in read_shards(Path(made.train[0].path))]
    shares = []
    for rank in (0, 1, 2):
        monkeypatch.setattr(trainer, "open_group", lambda cuda, rank=rank: (rank, 3))
        shares.append(Trainer(made, [], clips).cases)
    assert [len(share) for share in shares] == [3, 3, 2]  # of eight, as the recipe says
    assert len(read) == len(set(read)) == 8


def test_people_on_both_sides_are_named(recipe: dict[str, object],
                                        caplog: pytest.LogCaptureFixture) -> None:
    run(recipe, most_steps=1)
    assert not caplog.records
    run({**recipe, "held_out": recipe["train"]}, most_steps=1)
    assert "train-0" in caplog.text


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_picture_is_a_sentence(recipe: dict[str, object], workers: int, tmp_path: Path,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    write_shard(tmp_path, [*LABELS])
    shard, path = tmp_path / "shard-00000.npz", tmp_path / "recipe.yaml"
    start = _place_of(shard, "jpeg.npy")
    with np.load(shard) as whole, shard.open("r+b") as file:
        file.seek(start)
        file.write(bytes(len(whole["jpeg"])))
    recipe["run"] = {**recipe["run"], "workers": workers}
    path.write_text(yaml.safe_dump({**recipe, "train": [{"path": str(tmp_path)}]}))
    assert main([str(path)]) == 2
    told = capsys.readouterr().err
    assert f"error: {shard} holds a picture that cannot be decoded; is the file complete?" in told
    assert "Traceback" not in told


def test_a_folder_that_cannot_be_made_is_a_sentence(recipe: dict[str, object], tmp_path: Path,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**recipe, "out": str(path / "out")}))
    assert main([str(path)]) == 2
    assert "cannot be read or written: Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize("content", [{"step": 1}, [1]])
def test_a_file_that_is_no_state_is_a_sentence(recipe: dict[str, object], content: object,
                                               tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                               ) -> None:
    path, state = tmp_path / "recipe.yaml", tmp_path / "out" / "state.pt"
    path.write_text(yaml.safe_dump(recipe))
    state.parent.mkdir()
    torch.save(content, state)
    assert main([str(path)]) == 2
    assert f"{state} is no state of a training" in capsys.readouterr().err
