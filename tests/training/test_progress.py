"""What a training keeps as it goes: the average of the weights, the state, the log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from models.build import build_network
from models.card import ModelCard
from training.progress import Average, Log, load_state, save_state


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


def test_a_step_past_a_million_is_a_whole_number(tmp_path: Path) -> None:
    """It was written 1e+06, which no resumed training could read, and 1234567 as 1.23457e+06."""
    log = Log(tmp_path / "log.csv", ("step", "loss"), 0)
    for step in (1_000_000, 1_234_567):
        log.add(step=step, loss=1 / 3)
    assert Log(tmp_path / "log.csv", ("step", "loss"), 1_234_567).column("step") == [1e6, 1_234_567]
    assert (tmp_path / "log.csv").read_text().splitlines()[-1] == "1234567,0.333333"


def test_taking_up_a_log_never_loses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path / "log.csv", ("step", "loss"), 0)
    log.add(step=1, loss=0.5)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):  # a kill before the new file is in its place
        Log(tmp_path / "log.csv", ("step", "loss"), 1)
    assert (tmp_path / "log.csv").read_text().splitlines() == ["step,loss", "1,0.5"]
