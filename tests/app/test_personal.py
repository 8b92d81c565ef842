"""What was taught on this machine: which model is opened, what is listed and deleted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import run_demo
from app.personal import delete, listing, model_to_open, no_teaching, teach_dir
from app.settings import Settings
from models.build import build_network
from models.card import ModelCard
from models.checkpoints import DEFAULT_MODEL, save_model
from models.network import OnlineNetwork
from online_tsm.graphs import file_digest
from online_tsm.recordings import PERSONAL, RecordingError, default_teach_dir, save_recording


@pytest.fixture
def model(tmp_path: Path, tiny_card: ModelCard, tiny_network: OnlineNetwork) -> Path:
    """A model that was taught on."""
    save_model(tiny_network, tiny_card, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


@pytest.fixture
def folder(tmp_path: Path, tiny_card: ModelCard, model: Path,
           seed_weights: Callable[[OnlineNetwork], OnlineNetwork]) -> Path:
    """Three recordings, and what was learned from them."""
    folder = tmp_path / "gestures"
    images = [np.full((48, 64, 3), 8 * i, np.uint8) for i in range(20)]
    for label in ("Knock", "Knock", "background"):
        save_recording(folder, label, images, np.arange(20) / 10,
                       stroke=None if label == "background" else (0.5, 1.25))
    teach(folder, tiny_card, seed_weights, parent="tiny", digest=file_digest(model))
    return folder


def teach(folder: Path, card: ModelCard, seed_weights: Callable[[OnlineNetwork], OnlineNetwork],
          *, parent: str, digest: str) -> None:
    taught = card.replace(name="tiny taught", labels=[*card.labels, "Knock"], measured={
        "teaching": {"parent": parent, "parent sha256": digest, "added": ["Knock"]}})
    save_model(seed_weights(build_network(taught)), taught, folder / PERSONAL)


def test_the_taught_model_is_used_for_its_parent_and_says_so(folder: Path, model: Path) -> None:
    opened, words = model_to_open(Settings(model=str(model), teach_dir=str(folder)))
    assert opened == str(folder / PERSONAL)
    assert "your taught model is in use" in words


def test_personal_off_returns_to_the_model_asked_for(folder: Path, model: Path) -> None:
    settings = Settings(model=str(model), teach_dir=str(folder), personal=False)
    assert model_to_open(settings) == (str(model), "")


def test_without_anything_taught_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert model_to_open(Settings(teach_dir=str(tmp_path / "none"))) == (DEFAULT_MODEL, "")


@pytest.mark.parametrize("folder", ["~nouser/m", "m" * 300])
def test_a_folder_that_cannot_be_holds_nothing(folder: str) -> None:
    settings = Settings(teach_dir=folder)
    assert model_to_open(settings) == (DEFAULT_MODEL, "")
    assert listing(teach_dir(settings)) == []
    with pytest.raises(RecordingError, match="holds no"):
        delete(teach_dir(settings), PERSONAL)


def test_another_models_taught_one_is_left_alone(folder: Path) -> None:
    opened, words = model_to_open(Settings(teach_dir=str(folder)))
    assert opened == DEFAULT_MODEL
    assert "it was taught on tiny" in words


def test_a_parent_with_new_weights_is_learned_on_again(folder: Path, model: Path,
                                                       tiny_card, seed_weights) -> None:
    teach(folder, tiny_card, seed_weights, parent="tiny", digest="0" * 64)
    opened, words = model_to_open(Settings(model=str(model), teach_dir=str(folder)))
    assert opened == str(model)
    assert "has other weights now; learn again" in words


def test_labels_from_a_file_fit_no_taught_model(folder: Path, model: Path) -> None:
    settings = Settings(model=str(model), teach_dir=str(folder), labels_file="labels.txt")
    opened, words = model_to_open(settings)
    assert opened == str(model)
    assert "it has labels of its own" in words


@pytest.mark.parametrize("given", [{"labels_file": "l.txt"}, {"card_file": "c.yaml"}])
def test_a_model_with_labels_from_a_file_is_not_taught(given: dict[str, str]) -> None:
    """The trainer would not know of the file, and what it saves holds its own labels."""
    assert not no_teaching(Settings(model="mine.pth"))
    ((kind, file),) = given.items()
    flag = "--" + kind.removesuffix("_file")
    assert f"mine.pth NEW.safetensors {flag} {file}" in no_teaching(
        Settings(model="mine.pth", **given))  # type: ignore[arg-type]


def test_a_damaged_taught_model_never_stops_the_demo(folder: Path, model: Path) -> None:
    (folder / PERSONAL).write_bytes(b"half a file")
    opened, words = model_to_open(Settings(model=str(model), teach_dir=str(folder)))
    assert opened == str(model)
    assert "is not used" in words


def test_the_list_has_every_recording_and_the_checkpoint(folder: Path) -> None:
    lines = [line.split("\t") for line in listing(folder)]
    assert [name.partition("/")[0] for name, *_ in lines] == ["Knock", "Knock", "background",
                                                              PERSONAL]
    assert lines[0][1:] == ["1.9 s", "stroke 0.50 to 1.25 s"]
    assert lines[2][1:] == ["1.9 s", "background"]
    assert lines[3][1:] == ["5 labels, taught on tiny"]
    assert listing(folder / "none") == []


def test_one_recording_a_gesture_and_the_checkpoint_are_deleted(folder: Path) -> None:
    first = listing(folder)[0].partition("\t")[0]
    assert delete(folder, first) == "deleted 1 recording of Knock"
    assert first not in "".join(listing(folder))
    assert len(listing(folder)) == 3
    delete(folder, "Knock")
    assert not (folder / "Knock").exists()
    delete(folder, PERSONAL)
    assert [line.partition("/")[0] for line in listing(folder)] == ["background"]


def test_a_damaged_recording_is_listed_with_the_others_and_can_be_deleted(folder: Path) -> None:
    first, second = sorted((folder / "Knock").glob("*.yaml"))
    first.write_text("half a fi")
    lines = listing(folder)
    assert len(lines) == 4
    assert "cannot be used: " in lines[0]
    assert "stroke 0.50 to 1.25 s" in lines[1]
    delete(folder, f"Knock/{first.stem}")
    assert [path.stem for path in (folder / "Knock").glob("*.avi")] == [second.stem]
    assert not first.exists()


@pytest.mark.parametrize("what", ["Knok", "Knock/none", "/", "", "../tiny.safetensors", "report"])
def test_nothing_else_is_deleted(folder: Path, what: str) -> None:
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(RecordingError, match="--list-recordings"):
        delete(folder, what)
    assert sorted(folder.parent.rglob("*")) == before


def test_the_command_lists_and_deletes(folder: Path, model: Path,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--model", str(model), "--teach-dir", str(folder)]
    assert run_demo.main([*given, "--list-labels"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Knock"
    assert run_demo.main([*given, "--list-labels", "--personal", "off"]) == 0
    assert "Knock" not in capsys.readouterr().out
    assert run_demo.main([*given, "--list-recordings"]) == 0
    told = capsys.readouterr()
    assert told.out.count("Knock/") == 2
    assert str(folder) in told.err  # the folder is printed, beside the data
    assert run_demo.main([*given, "--delete-recording", "Knock"]) == 0
    assert "deleted 2 recordings of Knock" in capsys.readouterr().err
    assert run_demo.main([*given, "--delete-recording", "Knock"]) == 2
    assert "error: " in capsys.readouterr().err
    assert run_demo.main(["--teach-dir", str(folder / "none"), "--list-recordings"]) == 0
    told = capsys.readouterr()
    assert (told.out, "no recordings yet" in told.err) == ("", True)


def test_the_folder_is_the_users_unless_another_one_is_given(tmp_path: Path, monkeypatch) -> None:
    assert teach_dir(Settings()) == default_teach_dir()
    monkeypatch.chdir(tmp_path)
    assert teach_dir(Settings(teach_dir="mine")) == tmp_path / "mine"
