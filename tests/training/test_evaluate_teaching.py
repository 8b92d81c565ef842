"""Rendered users, at toy size: scores before and after, and what a user performs."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from toy_recordings import write_model
from toy_shards import LABELS, write_shard

from app.teach_list import way
from models.card import ModelCard
from training import evaluate_teaching, teach_views


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """One user with two recordings of each gesture, of which the model knows all but "stop"."""
    for number, room in enumerate(("teach", "test"), 5):
        write_shard(tmp_path / "users" / "toy0" / room, [*LABELS] * 2, number=number)
    return tmp_path / "users"


def test_scores_tell_before_from_after(users: Path, tmp_path: Path, toy_card: ModelCard,
                                       monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(teach_views, "MOST", 6)
    card = toy_card.replace(labels=["left", "right", "nothing"])
    model = write_model(tmp_path / "toy.safetensors", card)
    out = tmp_path / "out"
    assert evaluate_teaching.main(["score", "--users", str(users), "--model", str(model), "--out",
                                   str(out), "--amounts", "1", "2", "5", "--without-replay"]) == 0
    first, second = json.loads((out / "teaching.json").read_text())
    assert (first["recordings"], second["recordings"]) == (1, 2)
    assert first["known_before"] == second["known_before"]
    assert 0 <= second["new"] <= 1
    assert second["own"] >= second["own_before"]
    assert cv2.imread(str(out / "teaching.png")) is not None
    assert "1 rendered users" in capsys.readouterr().out


def test_an_empty_folder_is_a_sentence(tmp_path: Path, toy_card: ModelCard,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model(tmp_path / "toy.safetensors", toy_card)
    assert evaluate_teaching.main(["score", "--users", str(tmp_path), "--model", str(model),
                                   "--without-replay"]) == 2
    assert "no rendered users" in capsys.readouterr().err


def test_a_user_keeps_their_habits_in_both_rooms() -> None:
    from training.rendered_users import Amounts, cast_of, new_gestures, performances
    from training.synthesis.language import load_gestures
    user, new, known = cast_of("heldout", [3])[0], new_gestures(), load_gestures()
    assert set(new) == {"Beckon", "Double Wave", "Drawing a Circle", "Knock", "Zigzag"}
    assert not set(new) & set(known)
    rooms = [performances(user, room, Amounts(2, 1, 4), new=new, known=known, seed=0)
             for room in ("teach", "test")]
    assert len(rooms[0]) == 5 * 2 + 25 + 2 * 4
    habits = [{gesture.label: (style.name, hand) for _, (gesture, style, hand), _ in jobs
               if not gesture.background} for jobs in rooms]
    assert habits[0] == habits[1]
    assert not {seed for seed, *_ in rooms[0]} & {seed for seed, *_ in rooms[1]}


def test_a_user_sits_near_and_far_in_turn_as_the_session_asks() -> None:
    from training.rendered_users import Amounts, cast_of, new_gestures, performances
    teach, test = (performances(cast_of("heldout", [3])[0], room, Amounts(6, 6, 6),
                                new=new_gestures(), known={}, seed=0)
                   for room in ("teach", "test"))
    asked = ["farther" in way(number) for number in range(6)]
    assert [far for _, (gesture, _, _), far in teach if gesture.label == "Knock"] == asked
    assert {far for *_, far in test} == {None}


def test_own_ways_are_styles_that_no_network_saw() -> None:
    from training.rendered_users import Amounts, cast_of, new_gestures, performances
    from training.synthesis.language import load_gestures
    user, new, known = cast_of("train", [3])[0], new_gestures(), load_gestures()
    usual, own = ([(gesture, style) for _, (gesture, style, _), _ in performances(
        user, "teach", Amounts(1, 1, 9), new=new, known=known, seed=0, own_ways=own_ways)]
        for own_ways in (False, True))
    shipped = [place for place, (gesture, _) in enumerate(own)
               if gesture.label in known and not gesture.background]
    assert len(shipped) == 25
    assert all(own[place][1].held_out for place in shipped)
    assert not any(usual[place][1].held_out for place in shipped)
    rest = set(range(len(own))) - set(shipped)
    assert [own[place] for place in rest] == [usual[place] for place in rest]


def test_gestures_to_be_taught_are_none_that_the_network_knows() -> None:
    from training.synthesis.language import GESTURES_FOLDER, load_gesture
    folder = GESTURES_FOLDER.parent / "gestures_taught"
    labels = {load_gesture(path).label for path in folder.glob("*.yaml")}
    assert len(labels) == 5
    assert not labels & {load_gesture(path).label for path in GESTURES_FOLDER.glob("s*.yaml")}
