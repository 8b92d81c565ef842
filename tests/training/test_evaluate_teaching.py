"""Rendered users, at toy size: scores before and after, and what a user performs."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from toy_recordings import write_model
from toy_shards import LABELS, write_shard

from app.teach_list import way
from models.card import ModelCard
from training import evaluate_teaching, rendered_users, teach_views
from training.rendered_users import TAUGHT_FOLDER, Amounts, cast_of, performances
from training.stroke_overlap import overlap
from training.synthesis.cast import Person
from training.synthesis.clip import Clip
from training.synthesis.language import Gesture, Style, load_gestures
from training.teaching_scores import Score, pooled, write_scores


@pytest.fixture(scope="module")
def known() -> dict[str, Gesture]:
    """The gestures that the shipped network knows."""
    return load_gestures()


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
                                   str(out), "--amounts", "5", "1", "2", "--without-replay"]) == 0
    written = json.loads((out / "teaching.json").read_text())
    first, second = written["users"]
    assert (first["recordings"], second["recordings"]) == (1, 2)
    assert first["known_before"] == second["known_before"]
    assert second["new"]["clips"] == 2
    assert second["known"]["clips"] == 4
    assert second["own"]["right"] >= second["own_before"]["right"]
    assert written["pooled"][1]["new"]["n"] == 2
    assert cv2.imread(str(out / "teaching.png")) is not None
    assert "1 rendered users" in capsys.readouterr().out


def test_found_strokes_are_compared_with_the_true_ones(
        users: Path, tmp_path: Path, toy_card: ModelCard, capsys: pytest.CaptureFixture[str]
        ) -> None:
    model = write_model(tmp_path / "toy.safetensors", toy_card)
    assert evaluate_teaching.main(["strokes", "--users", str(users), "--model", str(model)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "12 clips with a gesture"
    shares = [float(line.split("overlap ")[1].split("%")[0]) for line in said[1:]]
    assert len(shares) == 2
    assert all(30 < share < 100 for share in shares), said


@pytest.mark.parametrize(("one", "shared"), [((1.0, 3.0), 1.0), ((2.0, 4.0), 1 / 3),
                                             ((1.5, 2.0), 0.25), ((4.0, 5.0), 0.0)])
def test_overlap_is_intersection_over_union(one: tuple[float, float], shared: float) -> None:
    assert overlap(one, (1.0, 3.0)) == pytest.approx(shared)


def test_amounts_that_nobody_recorded_are_a_sentence(
        users: Path, tmp_path: Path, toy_card: ModelCard, capsys: pytest.CaptureFixture[str]
        ) -> None:
    model, out = write_model(tmp_path / "toy.safetensors", toy_card), tmp_path / "out"
    for amount, said in (("50", "has 50 recordings"), ("0", "--amounts has 0")):
        assert evaluate_teaching.main([
            "score", "--users", str(users), "--model", str(model), "--out", str(out), "--amounts",
            amount, "--without-replay"]) == 2
        assert said in capsys.readouterr().err
        assert not out.exists()


def test_a_pooled_share_says_of_how_many_clips_it_is_and_how_sure(tmp_path: Path) -> None:
    right, wrong = (True,) * 4, (False,) * 4
    scores = [Score("a", 5, ("stop",), new=right, known_before=right + wrong, known=right + right,
                    own_before=wrong, own=right, found_before=right, found=right,
                    false_before=(1.0, 2.0), false=(0.0, 2.0)),
              Score("b", 5, (), new=right + wrong, known_before=right, known=right, own_before=(),
                    own=(), found_before=right, found=wrong, false_before=(0.0, 2.0),
                    false=(0.0, 2.0))]
    figures = pooled(scores)
    new = figures["new"]
    assert (new.value, new.low, new.high, new.n) == (pytest.approx(8 / 12), 0.5, 1.0, 12)
    assert figures["gained_known"].value == pytest.approx(4 / 12)
    assert (figures["own_before"].value, figures["own"].value, figures["own"].n) == (0, 1, 4)
    assert figures["gained_found"].value == -0.5
    assert figures["false_before"].value == 0.25
    assert figures["false"].high > 0.5  # four minutes without an event prove no zero
    text = "\n".join(write_scores(tmp_path, scores, "toy"))
    assert "(n 12)" in text
    assert "b: 4 of 8 new" in text
    assert "a: 4 of 4 new; 0, then 4 of 4 of the 1 known gestures" in text
    assert "0.000 [0.000, 0.922] (n 2), 4.0 minutes" in text


def test_without_anything_taught_twice_there_is_no_share(tmp_path: Path) -> None:
    none = Score("a", 5, (), new=(True,), known_before=(True,), known=(True,), own_before=(),
                 own=(), found_before=(), found=(), false_before=(0.0, 1.0), false=(0.0, 1.0))
    figures = pooled([none])
    assert figures["own"].value is figures["gained_own"].value is None
    assert "- (n 0)" in "\n".join(write_scores(tmp_path, [none], "toy"))


def test_an_empty_folder_is_a_sentence(tmp_path: Path, toy_card: ModelCard,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model(tmp_path / "toy.safetensors", toy_card)
    assert evaluate_teaching.main(["score", "--users", str(tmp_path), "--model", str(model),
                                   "--without-replay"]) == 2
    assert "no rendered users" in capsys.readouterr().err


def test_a_user_keeps_their_habits_in_both_rooms(known: dict[str, Gesture]) -> None:
    user, new = cast_of("heldout", [3])[0], load_gestures(TAUGHT_FOLDER)
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
    teach, test = (performances(cast_of("heldout", [3])[0], room, Amounts(6, 6, 6),
                                new=load_gestures(TAUGHT_FOLDER), known={}, seed=0)
                   for room in ("teach", "test"))
    asked = ["farther" in way(number) for number in range(6)]
    assert [far for _, (gesture, _, _), far in teach if gesture.label == "Knock"] == asked
    assert {far for *_, far in test} == {None}


def test_own_ways_are_styles_that_no_network_saw(known: dict[str, Gesture]) -> None:
    user, new = cast_of("train", [3])[0], load_gestures(TAUGHT_FOLDER)
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


class Watcher:
    """In a studio's place: notes what is to be drawn, and gives a clip of one grey frame."""

    def __init__(self, *_: object, draft: bool) -> None:
        self.draft = draft

    def clip(self, person: Person, gestures: list[tuple[Gesture, Style, str]], seed: int, *,
             setting: int, far: bool | None) -> Clip:
        drawn.append((gestures[0], setting, far, self.draft))
        grey = cv2.imencode(".jpg", np.full((6, 8, 3), 128, np.uint8))[1].tobytes()
        return Clip([grey], [grey], np.zeros(1, np.float32), (), person.name, seed)


drawn: list[tuple[tuple[Gesture, Style, str], int, bool | None, bool]] = []


def test_a_room_stays_while_its_user_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendered_users, "Studio", Watcher)
    monkeypatch.setattr(rendered_users, "ensure_baked", lambda *_: None)
    drawn.clear()
    assert evaluate_teaching.main([
        "render", "--users", str(tmp_path), "--people", "3", "--new", "2", "--known", "1",
        "--background", "1", "--tests", "1", "--tests-known", "0", "--own-ways", "--draft"]) == 0
    teach, test = drawn[:37], drawn[37:]  # 10 new, 25 known, 2 of background; 5 new, 2
    assert len(test) == 7
    assert all(draft for *_, draft in drawn)
    assert len({setting for _, setting, *_ in teach}) == 1
    assert not {setting for _, setting, *_ in teach} & {setting for _, setting, *_ in test}
    assert [far for *_, far, _ in teach].count(True) == 5
    assert sum(style.held_out and not gesture.background for (gesture, style, _), *_ in teach) >= 25
