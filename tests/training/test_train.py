"""Training: what the loss asks for, that it learns, that it survives a kill, and two processes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from toy_shards import LABELS, toy_recipe, write_shard

from models.build import build_network
from models.card import ModelCard
from models.checkpoints import load_model
from models.network import OnlineNetwork
from training import trainer
from training.data import _place_of, read_shards
from training.frozen import FrozenFront, StillNorms
from training.loss import gesture_of, sequence_loss
from training.made_by import commit
from training.progress import Average, Log, load_state, save_state
from training.recipe import LossOptions, RecipeError, card_of, read_recipe, recipe_from_dict
from training.samples import Batch
from training.train import main, train
from training.trainer import Trainer
from training.validation import Case, _sums_of, scores

IDLE, LEFT, STOP = 3, 0, 2


def batch(places: list[list[int]], weights: list[list[float]]) -> Batch:
    pixels = torch.zeros(len(places), len(places[0]), 3, 2, 2, dtype=torch.uint8)
    return Batch(pixels, torch.tensor(places), torch.tensor(weights))


def run(recipe: dict[str, object], **options: object) -> Path:
    train(recipe_from_dict(recipe), **options)  # type: ignore[arg-type]
    return Path(str(recipe["out"]))


@pytest.fixture
def recipe(shards: Path, tmp_path: Path) -> dict[str, object]:
    return toy_recipe(shards, out=str(tmp_path / "out"))


def test_frames_without_weight_ask_for_nothing() -> None:
    asked = batch([[IDLE, LEFT, IDLE]], [[0.5, 1.0, 0.0]])
    logits = torch.zeros(1, 3, 4)
    logits[0, 0, IDLE] = logits[0, 1, LEFT] = 20
    right = sequence_loss(logits, asked, IDLE, LossOptions(label_smoothing=0), lambda x: x)
    assert right.total < 1e-3
    assert (right.frames, right.sequences) == (1, 1)
    logits[0, 2, STOP] = 50  # asked for nothing there
    assert sequence_loss(logits, asked, IDLE, LossOptions(label_smoothing=0),
                         lambda x: x).total < 1e-3
    logits[0, 0, STOP] = 50  # shouting at a person who sits still
    shout = sequence_loss(logits, asked, IDLE, LossOptions(label_smoothing=0), lambda x: x)
    assert shout.total > 5


def test_the_pooled_part_is_about_the_last_gesture_that_is_clear() -> None:
    asked = batch([[LEFT, IDLE, STOP, STOP], [IDLE, IDLE, IDLE, LEFT], [IDLE, IDLE, LEFT, IDLE]],
                  [[1, 0.5, 0.6, 1], [0.5, 0.5, 0, 0.3], [0, 0, 0, 0]])
    labels, shares = gesture_of(asked, IDLE)
    assert labels.tolist() == [STOP, IDLE, IDLE]  # a weight of .3 is not clear
    assert shares[0].tolist() == pytest.approx([0, 0, 0.375, 0.625])
    assert shares[1].tolist() == pytest.approx([0.5, 0.5, 0, 0])
    assert shares[2].sum() == 0


def test_frozen_blocks_stay_and_their_statistics_too(toy_card: ModelCard) -> None:
    network = build_network(toy_card).train()
    front = FrozenFront(network, blocks=2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(front(torch.randn(2, 3, 3, 24, 32)), start=2).square().mean().backward()
    assert network.features[0][0].weight.grad is None
    assert network.features[2].conv[0].weight.grad is not None
    after = network.state_dict()
    assert torch.equal(before["features.0.1.running_mean"], after["features.0.1.running_mean"])
    assert not torch.equal(before["features.2.conv.1.running_mean"],
                           after["features.2.conv.1.running_mean"])


def experienced(card: ModelCard, architecture: str) -> OnlineNetwork:
    """A network in eval mode whose batch norms have statistics as if it had learnt something."""
    network = build_network(card.replace(architecture=architecture, width_multiplier=1.0))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.mark.parametrize("architecture", ["mobilenet_v2", "resnet18"])
def test_still_norms_give_the_networks_own_answers_and_gradients(
        toy_card: ModelCard, architecture: str) -> None:
    network = experienced(toy_card, architecture)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    clips = torch.randn(2, 4, 3, 32, 32)
    still, gradients = StillNorms(network), []
    for model, training in ((network, False), (still, True)):
        network.train(training)
        network.zero_grad()
        model(clips).square().mean().backward()
        gradients.append({name: parameter.grad.clone()
                          for name, parameter in network.named_parameters()})
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradients[1][name], gradient, rtol=1e-3,
                              atol=1e-3 * float(gradient.abs().max())), name
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert len(list(still.parameters())) == len(list(network.parameters()))


def test_still_norms_learn_in_bf16_too(toy_card: ModelCard) -> None:
    network = experienced(toy_card, "mobilenet_v2")
    still, clips = StillNorms(network), torch.randn(2, 4, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        logits = still(clips).float()
    logits.square().mean().backward()
    exact = network(clips)
    assert float((logits - exact).detach().abs().max()) < 0.05 * float(exact.detach().abs().max())
    assert all(float(parameter.grad.abs().sum()) > 0 for parameter in network.parameters())


@pytest.mark.parametrize("architecture", ["mobilenet_v2", "resnet18"])
def test_a_frozen_front_and_the_rest_are_the_whole(toy_card: ModelCard, architecture: str) -> None:
    network = experienced(toy_card, architecture)
    clips = torch.randn(2, 5, 3, 32, 32)
    with torch.no_grad():
        whole = network(clips)
        for blocks in (1, 5, 8):  # block 3 and later ones of MobileNetV2 shift
            rest = network(FrozenFront(network, blocks)(clips), start=blocks)
            assert torch.allclose(rest, whole, rtol=1e-3, atol=1e-4 * float(whole.abs().max()))


def test_the_average_follows_slowly(toy_card: ModelCard) -> None:
    network = build_network(toy_card)
    average = Average(network, 0.9)
    with torch.no_grad():
        network.classifier.bias += 1
    before = average.network.classifier.bias.clone()
    average.update(network, step=10_000)
    assert torch.allclose(average.network.classifier.bias - before, torch.tensor(0.1), atol=1e-6)


def test_the_average_is_quick_at_first(toy_card: ModelCard) -> None:
    network = build_network(toy_card)
    average = Average(network, 0.9)
    weight, mean = (n.get_parameter("classifier.bias") for n in (network, average.network))
    before = mean.clone()
    with torch.no_grad():
        weight += 1
    average.update(network, 0)  # a tenth of the old one stays, however slow it is later
    assert torch.allclose(mean, before + 0.9)


def test_a_false_alarm_is_a_sure_gesture_in_an_idle_frame_that_is_asked() -> None:
    case = Case(torch.zeros(4, 3, 2, 2), torch.tensor([IDLE, IDLE, LEFT, LEFT]),
                torch.tensor([0.5, 0.0, 1.0, 1.0]), LEFT)
    logits = torch.zeros(4, 4)
    logits[torch.arange(4), [LEFT, LEFT, LEFT, STOP]] = torch.tensor([9.0, 9.0, 9.0, 5.0])
    sums = _sums_of(case, logits, torch.tensor([IDLE]))
    assert sums[:5].tolist() == [1, 1, 1, 1, 1]  # right, among three, cases, alarms, idle frames
    found = scores(sums)
    assert (found.top1, found.alarms) == (1, 1)
    logits[0] = 0
    assert scores(_sums_of(case, logits, torch.tensor([IDLE]))).alarms == 0


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


def test_a_killed_training_goes_on(recipe: dict[str, object], tmp_path: Path) -> None:
    recipe["run"] = {**recipe["run"], "save_every_s": 0.0, "validate_every": 1000,
                     "precision": "auto"}
    recipe["optimiser"] = {**recipe["optimiser"], "views": 4000}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    state = tmp_path / "out" / "state.pt"
    process = subprocess.Popen([sys.executable, "-m", "training.train", str(path)],
                               stderr=subprocess.DEVNULL, env=environment())
    ends = time.monotonic() + 60
    while not state.exists() and time.monotonic() < ends:
        time.sleep(0.02)
    time.sleep(0.5)
    process.kill()
    process.wait()
    step = load_state(state)["step"]  # type: ignore[index]
    assert step > 0
    assert main([str(path), "--steps", "1"]) == 0
    assert load_state(state)["step"] == step + 1  # type: ignore[index]


def test_a_signal_to_the_whole_process_group_ends_it_and_it_is_saved(
        recipe: dict[str, object], tmp_path: Path) -> None:
    """`timeout` and torchrun signal a group: the processes that prepare pictures, too."""
    recipe["run"] = {**recipe["run"], "log_every": 1, "validate_every": 100_000, "workers": 2}
    recipe["optimiser"] = {**recipe["optimiser"], "views": 400_000}
    path, log = tmp_path / "recipe.yaml", tmp_path / "out" / "log.csv"
    path.write_text(yaml.safe_dump(recipe))
    process = subprocess.Popen([sys.executable, "-m", "training.train", str(path)], text=True,
                               stderr=subprocess.PIPE, env=environment(), start_new_session=True)
    ends = time.monotonic() + 60
    while time.monotonic() < ends and not (log.exists() and column(log, "step")):
        time.sleep(0.02)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert "Traceback" not in told
    assert load_state(tmp_path / "out" / "state.pt")["step"] > 0  # type: ignore[index]


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


def test_a_half_written_state_leaves_the_old_one(tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.pt"
    save_state(path, {"step": 1})

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        save_state(path, {"step": 2})
    assert load_state(path) == {"step": 1}


def test_the_log_drops_what_was_after_the_saved_step(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = Log(path, ("step", "loss"), 0)
    for step in (1, 2, 3):
        log.add(step=step, loss=step / 2)
    for cut in ("4,", "2,0.000"):  # cut off by a kill: no number, or a part of one
        with path.open("a") as file:
            file.write(cut)
        log = Log(path, ("step", "loss"), 2)
        assert log.column("loss") == [0.5, 1.0]
    log.add(step=3, loss=9)
    assert path.read_text().splitlines() == ["step,loss", "1,0.5", "2,1", "3,9"]


def test_taking_up_a_log_never_loses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path / "log.csv", ("step", "loss"), 0)
    log.add(step=1, loss=0.5)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):  # a kill before the new file is in its place
        Log(tmp_path / "log.csv", ("step", "loss"), 1)
    assert (tmp_path / "log.csv").read_text().splitlines() == ["step,loss", "1,0.5"]


def test_it_stops_when_held_out_people_gain_nothing(recipe: dict[str, object]) -> None:
    recipe["optimiser"] = {**recipe["optimiser"], "learning_rate": 0.0, "views": 4000}
    recipe["run"] = {**recipe["run"], "validate_every": 1, "patience": 1}
    made = recipe_from_dict(recipe)
    clips = [read_shards(Path(made.train[0].path)), read_shards(Path(made.held_out[0].path))]
    trainer = Trainer(made, *clips)
    assert trainer.run()
    assert trainer.step == 2


def test_two_processes_do_what_one_does(recipe: dict[str, object], tmp_path: Path) -> None:
    """Same losses, gradients and statistics, batch norm included, with the same global batch.

    Without learning: rounding differs, and the first steps of Adam blow such differences up.
    """
    recipe["optimiser"] = {**recipe["optimiser"], "dropout": 0.0, "learning_rate": 0.0,
                           "frozen_views": 4, "views": 12, "clip_norm": 1e9}
    recipe["run"] = {**recipe["run"], "log_every": 1, "threads": 1}
    path, told = tmp_path / "two.yaml", tmp_path / "two.json"
    path.write_text(yaml.safe_dump({**recipe, "out": str(tmp_path / "two")}))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
         str(Path(__file__).with_name("two_processes.py")), str(path), str(told)],
        env=environment(), capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(told.read_text())
    assert said["processes"] == 2
    assert said["error"] < 1e-5
    outs = [run({**recipe, "out": str(tmp_path / "one")}), tmp_path / "two"]
    assert len(column(outs[1] / "validation.csv", "top1")) == 1  # one of them wrote
    losses = [column(out / "log.csv", "loss") for out in outs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    one, two = (load_state(out / "state.pt") for out in outs)
    assert one is not None
    assert two is not None
    for name, tensor in one["network"].items():  # nothing is learnt: statistics of batch norm
        assert torch.allclose(tensor, two["network"][name], rtol=1e-3, atol=1e-4), name
    means = [torch.cat([moments["exp_avg"].flatten() for moments in
                        state["optimiser"]["state"].values()]) for state in (one, two)]
    assert (means[0] - means[1]).norm() < 0.2 * means[0].norm()  # of all gradients together


def column(path: Path, name: str) -> list[float]:
    with path.open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}


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


def test_people_on_both_sides_are_named(recipe: dict[str, object],
                                        caplog: pytest.LogCaptureFixture) -> None:
    run(recipe, most_steps=1)
    assert not caplog.records
    run({**recipe, "held_out": recipe["train"]}, most_steps=1)
    assert "train-0" in caplog.text


@pytest.mark.parametrize(("change", "message"), [
    ({"sequense": {}}, "did you mean 'sequence'"),
    ({"optimiser": {"learning_rat": 1}}, "optimiser.*did you mean 'learning_rate'"),
    ({"optimiser": {"batch": "many"}}, "batch is 'many'; it must be a whole number"),
    ({"sequence": {"speed": [1]}}, "speed is .*list of 2"),
    ({"sequence": {"speed": [0, 1]}}, r"speed is \[0, 1\]; it must be a range"),
    ({"sequence": {"frames": 3}}, "frames is 3; it must be at least 4"),
    ({"optimiser": {"batch": 0}}, "optimiser: batch is 0; it must be at least 1"),
    ({"run": {"workers": -1}}, "run: workers is -1; it must be at least 0"),
    ({"run": {"log_every": 0}}, "run: log_every is 0; it must be at least 1"),
    ({"train": [{"kind": "shard"}]}, "kind is 'shard'; known: shards, jester"),
    ({"train": []}, "at least one source"), ({"run": {"device": "gpu"}}, "known: auto, cpu, cuda"),
    ({"card": {"labels": ["a"]}}, "background"), ({"card": {"size": 3}}, "did you mean"),
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


@pytest.mark.parametrize("name", ["train_rendered.yaml", "train_jester.yaml"])
def test_the_shipped_recipes_are_some(name: str) -> None:
    made = read_recipe(Path(__file__).parents[2] / "configs" / name)
    assert len(card_of(made).labels) == 27
    assert made.sequence.background_weight >= 0.5
