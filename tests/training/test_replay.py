"""The replay file: of these weights, of every class, within its bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_recordings import write_model, write_user

from models.card import ModelCard
from models.checkpoints import DEFAULT_MODEL, load_model, resolve, save_model
from training import replay, teach
from training.data import read_shards
from training.replay import ReplayError, make_replay, read_replay, replay_path


@pytest.fixture
def model(tmp_path: Path, toy_card: ModelCard) -> Path:
    return write_model(tmp_path / "toy.safetensors", toy_card)


def test_the_command_writes_what_teaching_reads(model: Path, shards: Path, tmp_path: Path,
                                                capsys: pytest.CaptureFixture[str],
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("training.teach_run.VIEWS", 16)
    assert replay.main([str(model), "--shards", str(shards / "train")]) == 0
    assert "toy.replay.npz" in capsys.readouterr().out
    folder = write_user(tmp_path / "user", ("jump",), 2)
    assert teach.main([str(folder), "--model", str(model)]) == 0
    known = json.loads((folder / "report" / "report.json").read_text())["known"]
    read = read_replay(replay_path(model), model, *load_model(model))
    gestures = int((read.places != read.places.max()).sum())  # the last label is background
    assert known["frames"] == gestures > 0
    assert "known gestures: " in capsys.readouterr().out


def test_features_come_back_as_the_network_gives_them(model: Path, shards: Path) -> None:
    network, card = load_model(model)
    path = replay_path(model)
    path.write_bytes(make_replay(model, read_shards(shards / "train"), seed=3))
    read = read_replay(path, model, network, card)
    assert read.features.shape == (len(read.places), 1280)
    assert {card.labels[place] for place in read.places.tolist()} == set(card.labels)
    assert float(read.features.min()) >= 0
    assert float(read.features.max()) > 0.1
    again = make_replay(model, read_shards(shards / "train"), seed=3)
    assert again == path.read_bytes()


def test_it_keeps_within_its_bytes(model: Path, shards: Path) -> None:
    clips = read_shards(shards / "train")
    small, large = (make_replay(model, clips, bytes_) for bytes_ in (9000, 100_000))
    assert len(small) <= 9000 < len(large) <= 100_000


@pytest.mark.parametrize("change", ["weights", "pictures", "cut off", "no archive"])
def test_a_file_of_other_weights_or_a_broken_one_is_refused(
        change: str, model: Path, shards: Path) -> None:
    path = replay_path(model)
    data = make_replay(model, read_shards(shards / "train"), 20_000)
    path.write_bytes({"cut off": data[:3000], "no archive": b"replay"}.get(change, data))
    network, card = load_model(model)
    if change == "weights":
        with torch.no_grad():
            next(network.parameters()).add_(1e-3)
    if change == "pictures":
        card = card.replace(mean=(0.4, 0.4, 0.4))
    with pytest.raises(ReplayError, match=r"make it anew: python -m training\.replay"):
        read_replay(path, model, network, card)


def test_other_thresholds_leave_it_valid(model: Path, shards: Path, tmp_path: Path) -> None:
    network, card = load_model(model)
    path = replay_path(model)
    path.write_bytes(make_replay(model, read_shards(shards / "train"), 20_000))
    other = tmp_path / "other.safetensors"
    save_model(network, card.replace(name="other", smoothing={"rise": 0.7}), other)
    assert len(read_replay(path, other, *load_model(other)).places)


def test_a_folder_without_shards_is_a_sentence(model: Path, tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main([str(model), "--shards", str(tmp_path)]) == 2
    assert "holds no shards" in capsys.readouterr().err


def test_quantised_features_are_bytes(model: Path, shards: Path) -> None:
    path = replay_path(model)
    path.write_bytes(make_replay(model, read_shards(shards / "train")))
    with np.load(path) as file:
        assert file["features"].dtype == np.uint8


def test_the_shipped_file_is_of_the_shipped_model() -> None:
    path = resolve(DEFAULT_MODEL)
    network, card = load_model(path)
    places = teach.find_replay(path, network, card).places
    assert set(places.tolist()) == set(range(len(card.labels)))
