"""What a teaching tells of the gestures that the model knew before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.card import ModelCard
from training.data import Clip
from training.plots import plot_confusion
from training.teach_data import Lesson
from training.teach_judge import advice, fitted, kept
from training.teach_learn import Head, Rows
from training.teach_report import HOW
from training.teach_run import FOLDS, _answers, _divided, _folds


@pytest.fixture
def card() -> ModelCard:
    return ModelCard("toy", "mobilenet_v2", ("left", "right", "nothing", "jump"),
                     background=("nothing",))


def remembered(*counted: tuple[tuple[int, int, int], int]) -> np.ndarray:
    return np.array([row for row, count in counted for _ in range(count)])


def test_known_gestures_are_counted_without_background_and_taught_ones(card: ModelCard) -> None:
    known = kept(remembered(((0, 0, 0), 6), ((0, 0, 3), 4), ((1, 0, 1), 10), ((2, 2, 3), 50),
                            ((3, 0, 0), 50)), card, ["jump"])
    assert known.frames == 20
    assert (known.before, known.after) == (0.5, 0.8)
    assert known.taken == {("left", "jump"): 0.4}


def test_a_known_gesture_that_looks_like_a_taught_one_is_named(card: ModelCard) -> None:
    (sentence,) = advice([], {}, card, {("left", "jump"): 0.4, ("right", "jump"): 0.1})
    assert sentence.startswith("'left' may be taken for 'jump' (40% of its single frames are)")


def test_what_a_person_teaches_is_free_of_what_held_it_back_before(card: ModelCard) -> None:
    card = card.replace(smoothing={"holds": {"left": 0.5, "right": 0.4},
                                   "disabled": ["left", "right"]})
    new = fitted([], card, ["left"]).smoothing
    assert (new.holds, new.disabled) == ({"right": 0.4}, ("right",))


def test_without_a_replay_file_nothing_is_said_of_them(card: ModelCard) -> None:
    assert kept(np.zeros((0, 3), np.int64), card, ["jump"]).frames == 0


def test_every_frame_is_left_out_once_and_only_then_judged() -> None:
    rows = Rows(torch.eye(7), torch.arange(7), torch.ones(7))
    seen = []
    for fold in range(3):
        others, left_out = _divided(rows, fold, 3)
        assert len(others) + len(left_out) == 7
        assert not set(others.places.tolist()) & set(left_out.places.tolist())
        seen += left_out.places.tolist()
    assert sorted(seen) == list(range(7))
    assert _divided(None, 0, 3) == (None, None)


def test_answers_are_those_of_either_head() -> None:
    rows = Rows(torch.eye(3), torch.tensor([0, 1, 1]), torch.ones(3))
    same, turned = torch.eye(3), torch.eye(3).roll(1, 0)
    answers = _answers(rows, Head(same, torch.zeros(3)), Head(turned, torch.zeros(3)))
    assert answers.tolist() == [[0, 0, 1], [1, 1, 2], [1, 2, 0]]


@pytest.mark.parametrize(("sources", "folds"), [("aaabb", [0, 0, 0, 1, 1]),
                                                ("aaaaa", [0, 1, 2, 0, 1])])
def test_no_piece_of_background_is_judged_by_what_the_rest_of_its_recording_taught(
        sources: str, folds: list[int]) -> None:
    clip = Clip("a", np.arange(10) / 10, (), lambda _: [])
    gestures = [Lesson(clip, "jump", False, turn, f"jump {turn}") for turn in range(3)]
    pieces = [Lesson(clip, "nothing", True, turn, source) for turn, source in enumerate(sources)]
    assert _folds([*gestures, *pieces]).tolist() == [0, 1, 2, *folds]


def test_the_report_says_when_a_recording_is_not_left_out_alone() -> None:
    clip = Clip("a", np.arange(10) / 10, (), lambda _: [])
    many = [Lesson(clip, "jump", False, turn, f"jump {turn}") for turn in range(FOLDS + 1)]
    assert _folds(many).tolist() == [*range(FOLDS), 0]
    assert f"more than {FOLDS}, several were left out together" in HOW


def test_a_kill_leaves_the_old_picture_or_the_new_one(tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise OSError("killed")

    picture = tmp_path / "confusion.png"
    picture.write_bytes(b"the old one")
    monkeypatch.setattr("os.replace", killed)  # the last step
    with pytest.raises(OSError, match="killed"):
        plot_confusion(picture, np.eye(2, dtype=np.int64), ("left", "jump"), "toy")
    assert picture.read_bytes() == b"the old one"
