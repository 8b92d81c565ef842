"""Teaching from a folder: a model that runs, honest figures, a sentence for what is wrong."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from toy_recordings import film, write_model, write_user

from models.card import ModelCard
from models.checkpoints import load_model, read_card
from online_tsm.engine import open_engine
from online_tsm.recordings import save_recording
from training import teach, teach_data, teach_views
from training.data import Clip
from training.teach_data import TeachError, lesson_from, read_lessons
from training.teach_run import learn
from training.teach_views import make_views


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Few views, and a cache of the test's own."""
    monkeypatch.setattr("training.teach_run.VIEWS", 30)
    monkeypatch.setattr(teach_views, "MOST", 6)
    monkeypatch.setattr(teach_views, "LEAST", 2)
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path, toy_card: ModelCard) -> Path:
    return write_model(tmp_path / "toy.safetensors", toy_card)


@pytest.fixture(scope="session")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that no test changes."""
    return write_user(tmp_path_factory.mktemp("user"))


def run(*arguments: object) -> int:
    return teach.main([str(argument) for argument in (*arguments, "--without-replay")])


def test_a_folder_becomes_a_model_that_runs(model: Path, user: Path, tmp_path: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    out, report = tmp_path / "out" / "mine.safetensors", tmp_path / "report"
    assert run(user, "--model", model, "--out", out, "--report", report) == 0
    said = capsys.readouterr().out.splitlines()
    shares = [float(line.split()[1]) for line in said if line.startswith("progress ")]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert said[-1] == f"saved {out}"
    card = read_card(out)
    assert card.labels == ("left", "right", "stop", "nothing", "grow", "jump")
    taught = card.measured["teaching"]
    assert taught["parent"] == "toy"
    assert taught["added"] == ["grow", "jump"]
    assert taught["recordings"] == {"grow": 3, "jump": 3, "nothing": 2}
    assert set(taught["gestures"]) == {"grow", "jump"}
    assert {"grow", "jump"} <= set(card.smoothing.thresholds)
    assert "leave-one-recording-out" in (report / "report.txt").read_text()
    assert cv2.imread(str(report / "confusion.png")) is not None
    assert list(out.parent.iterdir()) == [out]
    graphs = list((tmp_path / "cache" / "graphs").glob("mine-*.onnx"))
    assert len(graphs) == 1
    engine = open_engine(out, "onnxruntime", "cpu")
    logits, _ = engine.step(np.zeros((1, 3, 24, 32), np.float32), [engine.open_state()])
    assert logits.shape == (1, 6)


def test_toy_gestures_are_told_apart_by_heads_that_never_saw_them(model: Path, tmp_path: Path
                                                                  ) -> None:
    network, card = load_model(model)
    lessons = read_lessons(write_user(tmp_path / "user", count=4), card)
    taught = learn(network, card, lessons, None, seed=0, views=60)
    gestures = [one for one in taught.judged if not one.lesson.background]
    assert len(taught.judged) == len(lessons)
    assert len(gestures) == 8
    assert sum(one.answer == one.lesson.label for one in gestures) >= 5  # one in six by chance


def test_teaching_is_the_same_for_a_seed_whatever_the_number_of_workers(model: Path, user: Path
                                                                        ) -> None:
    network, card = load_model(model)
    lessons = read_lessons(user, card)
    one, other = (learn(network, card, lessons, None, seed=1, judging=False, workers=workers,
                        views=20).network.state_dict() for workers in (1, 3))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_everything_but_the_head_stays_the_parents(model: Path, user: Path) -> None:
    network, card = load_model(model)
    taught = learn(network, card, read_lessons(user, card), None, seed=0, judging=False, views=20)
    before, after = network.state_dict(), taught.network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed <= {"classifier.weight", "classifier.bias"}


def test_a_known_gesture_is_taught_under_the_cards_spelling(tmp_path: Path, toy_card: ModelCard
                                                            ) -> None:
    write_user(tmp_path, ("STOP", "jump"), 2)
    labels = {lesson.label for lesson in read_lessons(tmp_path, toy_card)}
    assert labels == {"stop", "jump", "nothing"}


def test_only_gestures_with_a_label_pair_are_mirrored(toy_card: ModelCard) -> None:
    assert [teach_views._mirrors(lesson, toy_card) for label in ("left", "stop", "jump")
            for lesson in _lesson(label, toy_card)] == [True, False, False]
    assert all(teach_views._mirrors(lesson, toy_card)
               for lesson in _lesson("background", toy_card))


def _lesson(label: str, card: ModelCard) -> list[teach_views.Lesson]:
    images, times = film(label, 0)
    clip = Clip(label, times, (), lambda numbers: [images[i] for i in numbers])
    return lesson_from(clip, label if label != "background" else "nothing", 0, card,
                       background=label == "background")


def test_frames_stored_as_in_a_mirror_are_turned_back(tmp_path: Path, toy_card: ModelCard) -> None:
    images, times = film("grow", 0)
    pictures = []
    for mirror in (False, True):
        folder = tmp_path / str(mirror)
        seen = [np.ascontiguousarray(image[:, ::-1]) if mirror else image for image in images]
        save_recording(folder, "grow", seen, times, stroke=(0.75, 1.65), mirror=mirror)
        save_recording(folder, "background", *film("background", 0, 6.0), stroke=None)
        (lesson,) = (one for one in read_lessons(folder, toy_card, 1) if not one.background)
        pictures.append(lesson.clip.read([12])[0].astype(int))
    assert np.abs(pictures[0] - pictures[1]).mean() < 3
    assert np.abs(pictures[0] - pictures[1][:, ::-1]).mean() > 10


def test_long_background_costs_no_more_views(toy_card: ModelCard) -> None:
    lessons = _lesson("jump", toy_card) + _lesson("background", toy_card) * 500
    assert sum(teach_views._shares(lessons, 480)) < 600


def test_views_of_a_lesson_do_not_depend_on_the_others(model: Path, user: Path) -> None:
    network, card = load_model(model)
    lessons = [one for one in read_lessons(user, card) if one.label == "jump"]
    wide = card.replace(labels=(*card.labels, "jump"))
    body = teach_views.Body(network, card)
    all_of_them = make_views(lessons, wide, body, 0, views=6)
    last = make_views(lessons[-1:], wide, body, 0, views=2)
    assert torch.equal(all_of_them.features[all_of_them.lesson == 2], last.features)


def test_a_failed_or_killed_save_leaves_the_old_model(model: Path, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out" / "mine.safetensors"
    killed, saving = out.parent / ".teach-killed", out.parent / ".teach-other"
    killed.mkdir(parents=True)
    saving.mkdir()
    os.utime(killed, (0, 0))
    shutil.copy(model, out)
    network, card = load_model(model)

    def fails(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(teach, "open_engine", fails)
    with pytest.raises(OSError, match="no space left"):
        teach._save(network, card.replace(name="new"), out)
    assert out.read_bytes() == model.read_bytes()
    assert sorted(out.parent.iterdir()) == [saving, out]


def test_the_graph_of_a_model_goes_with_it_and_no_other(model: Path, tmp_path: Path) -> None:
    graphs = tmp_path / "cache" / "graphs"
    network, card = load_model(model)

    def saved(room: str) -> Path:
        """Saves other weights as the same file of a folder; returns the new graph."""
        before = set(graphs.glob("*"))
        with torch.no_grad():
            next(network.parameters()).add_(0.01)
        teach._save(network, card, tmp_path / room / "personal.safetensors")
        (new,) = set(graphs.iterdir()) - before
        return new

    kitchen, study = saved("kitchen"), saved("study")
    assert kitchen.exists()
    newer = saved("study")
    assert set(graphs.iterdir()) == {kitchen, newer}
    assert study != newer
    teach._save(network, card, tmp_path / "study" / "personal.safetensors")  # the same again
    assert set(graphs.iterdir()) == {kitchen, newer}


def test_without_background_nothing_is_taught(model: Path, user: Path, tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(user / "jump", tmp_path / "u" / "jump")
    assert run(tmp_path / "u", "--model", model) == 2
    assert "no threshold can be set" in capsys.readouterr().err


def plain(folder: Path, images: list[np.ndarray], times: np.ndarray) -> None:
    """A clip from elsewhere, which no sidecar describes."""
    save_recording(folder.parent, folder.name, images, times, stroke=None).sidecar.unlink()


def test_folders_that_differ_in_letter_case_are_one_gesture(tmp_path: Path, toy_card: ModelCard
                                                            ) -> None:
    write_user(tmp_path, ("jump", "STOP"), 2)
    plain(tmp_path / "Jump", *film("jump", 2))
    lessons = [one for one in read_lessons(tmp_path, toy_card) if not one.background]
    assert sorted((one.label, one.turn) for one in lessons) == [
        ("Jump", 0), ("Jump", 1), ("Jump", 2), ("stop", 0), ("stop", 1)]


@pytest.mark.parametrize(("case", "why"), [
    ("missing", "is no folder"), ("empty", "holds no recordings"),
    ("background alone", "background only"), ("one recording", "has one recording"),
    ("file twice", "the same clip"), ("performance twice", "the same performance"),
    ("corrupt", "cannot be played"), ("path as label", "is a path"),
    ("still", "cannot be used. No hand movement"), ("long", "shows the gesture once"),
    ("much background", "half a minute is enough")])
def test_bad_input_is_a_sentence(case: str, why: str, *, model: Path, user: Path, tmp_path: Path,
                                 capsys: pytest.CaptureFixture[str],
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "u"
    if case != "missing":
        folder.mkdir()
    if case not in ("missing", "empty"):
        shutil.copytree(user / "background", folder / "background")
    if case not in ("missing", "empty", "background alone"):
        shutil.copytree(user / "jump", folder / "jump")
        first, *others = sorted((folder / "jump").glob("*.avi"))
    if case == "one recording":
        for other in others:
            other.unlink()
    elif case == "file twice":
        shutil.copy(first, first.with_name("again.avi"))
    elif case == "performance twice":
        images, times = film("jump", 0)
        darker = [np.clip(image.astype(int) + 1, 0, 255).astype(np.uint8) for image in images]
        save_recording(folder, "jump", darker, times, stroke=None)
    elif case == "corrupt":
        first.write_bytes(b"RIFF not a video")
    elif case == "path as label":
        side = first.with_suffix(".yaml")
        side.write_text(side.read_text().replace("label: jump", "label: ../jump"))
    elif case == "still":
        plain(folder / "jump", *film("background", 0))
    elif case == "long":
        plain(folder / "jump", *film("jump", 0, 21.0))
    elif case == "much background":
        monkeypatch.setattr(teach_data, "MOST_BACKGROUND_S", 10.0)
    assert run(folder, "--model", model) == 2
    error = capsys.readouterr().err
    assert why in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_the_trainer_leaves_the_cores_to_the_demo(model: Path, tmp_path: Path) -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        assert run(tmp_path / "none", "--model", model) == 2
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (1, 1)
    finally:
        cv2.setNumThreads(before)


def test_without_a_replay_file_one_must_say_so(model: Path, user: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    assert teach.main([str(user), "--model", str(model)]) == 2
    assert "toy.replay.npz" in capsys.readouterr().err


def test_a_taught_model_is_not_taught_again(tmp_path: Path, user: Path,
                                            toy_card: ModelCard) -> None:
    card = toy_card.replace(measured={"teaching": {"parent": "the shipped one"}})
    model = write_model(tmp_path / "m.safetensors", card)
    with pytest.raises(TeachError, match="teach the shipped one again"):
        teach.teach(user, str(model), tmp_path / "o.safetensors", tmp_path / "r", use_replay=False)


def test_a_model_without_background_labels_cannot_be_taught(tmp_path: Path, user: Path,
                                                            toy_card: ModelCard) -> None:
    model = write_model(tmp_path / "m.safetensors", toy_card.replace(background=[]))
    with pytest.raises(TeachError, match="no background label"):
        teach.teach(user, str(model), tmp_path / "o.safetensors", tmp_path / "r", use_replay=False)


def test_a_reader_of_its_words_who_left_is_no_error_of_a_file(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def told_to_nobody(*_: object, **__: object) -> str:
        raise BrokenPipeError

    monkeypatch.setattr("training.teach.teach", told_to_nobody)
    with pytest.raises(BrokenPipeError):  # for `command_line.finished`, which says nothing of it
        teach.main([str(tmp_path)])
    assert "error" not in capsys.readouterr().err
