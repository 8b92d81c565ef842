"""The page of a model: every figure on it is read from a file."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from toy_shards import LABELS, toy_recipe

from models.checkpoints import read_card
from training.evaluate import main as evaluate
from training.evaluations import Measured, read_evaluation
from training.made_by import commit
from training.model_card import main, page


@pytest.fixture
def evaluation(model: Path, videos: Path, shards: Path, tmp_path: Path,
               tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was measured of the toy model: two clips with another recogniser, and shards."""
    out = tmp_path_factory.getbasetemp() / "measured"
    if not out.exists():  # it takes seconds
        answers = videos / "other.csv"
        answers.write_text("file,first,second,third\nleft.avi,left,stop,right\n"
                           "right.avi,stop,nothing,right\n")
        common = ["--model", str(model), "--engine", "torch"]
        assert evaluate([*common, "--clips", str(videos / "labels.csv"), "--out",
                         str(out / "clips"), "--name", "two clips",
                         "--compare", "another", str(answers)]) == 0
        assert evaluate([*common, "--shards", str(shards / "heldout"), "--most", "4", "--out",
                         str(out / "shards"), "--name", "toy people"]) == 0
    return shutil.copytree(out, tmp_path / "measured")


def test_a_set_of_background_alone_is_not_blamed_for_showing_no_gesture(model: Path) -> None:
    card = read_card(model)
    half = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 3}
    none = {**half, "value": None}

    def told(classes: dict[str, tuple[int, int, int]], recall: dict[str, float | None]) -> str:
        names = ("precision", "F1", "Levenshtein accuracy", "reaction time, median",
                 "reaction time, p90", "false events a minute of background")
        return page(card, [
            Measured("A", "set: clips", "this model", True, {"top-1": half, "top-3": half},
                     classes=classes),
            Measured("B", "set: streams", "this model", True,
                     {**dict.fromkeys(names, half), "recall": recall})])

    mixed = told({"left": (3, 3, 3), "nothing": (3, 3, 3)}, half)
    assert "says nothing of them: right, stop." in mixed
    assert rows_of(mixed, "As a stream")[0][3:7] == ["50 % (40 to 60)"] * 4
    quiet = told({"nothing": (3, 3, 3)}, none)
    assert "says nothing of them" not in quiet
    assert rows_of(quiet, "As a stream")[0][3:8] == ["–"] * 4 + ["0.50 s (0.40 to 0.60)"]


def test_a_class_with_a_hold_of_its_own_says_so(model: Path) -> None:
    card = read_card(model).replace(smoothing={"thresholds": {"left": 0.7},
                                               "holds": {"left": 0.5, "stop": 0.5},
                                               "disabled": ["stop"]})
    share = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 3}
    text = page(card, [Measured("A", "set: clips", "this model", True,
                                {"top-1": share, "top-3": share}, classes={"left": (3, 3, 3)})])
    marks = {row[0]: row[1] for row in rows_of(text, "Class by class")}
    assert (marks["left"], marks["stop"], marks["right"]) == ("0.70 for 0.5 s", "off", "0.30")


def test_only_what_the_provenance_names_is_said_of_a_models_sources(model: Path) -> None:
    card = read_card(model).replace(licence="MIT")
    sentences = ("guided the choreography", "Apache-2.0", "MakeHuman")
    for provenance, said in (("Trained on Jester", ()), ("Trained on rendered people", (0, 2)),
                             ("Trained on rendered people, from google-coral", (0, 1, 2))):
        text = page(card.replace(provenance=provenance), [])
        assert tuple(i for i, words in enumerate(sentences) if words in text) == said
        assert "The weights: MIT." in text


def test_the_commit_of_the_code_is_known_where_there_is_git(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c",
                        *words], check=True, capture_output=True)

    folder = tmp_path / "code"
    folder.mkdir()
    assert commit.__wrapped__(folder) == ""
    git("init")
    (folder / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "first")
    clean = commit.__wrapped__(folder)
    assert re.fullmatch(r"[0-9a-f]{12}", clean)
    (folder / "a").write_text("2")
    assert commit.__wrapped__(folder) == f"{clean}+changes"


def rows_of(page: str, title: str) -> list[list[str]]:
    """The cells of the table under a title."""
    part = page.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")]
            for line in part.splitlines() if line.startswith("|")][2:]


def test_the_page_says_what_was_measured(model: Path, evaluation: Path, tmp_path: Path) -> None:
    out, notes = tmp_path / "docs" / "model.md", tmp_path / "notes.md"
    notes.write_text("The target was missed by much.\n")
    assert main([str(model), "--evaluation", str(evaluation / "clips"), str(evaluation / "shards"),
                 "--out", str(out), "--notes", str(notes)]) == 0
    page = out.read_text()
    said = json.loads((evaluation / "shards" / "evaluation.json").read_text())
    clips = rows_of(page, "Single clips")
    assert {row[1].split(":")[0] for row in clips} == {"two clips", "toy people"}
    assert [row[2] for row in clips].count("another") == 1
    seen = next(row for row in clips if row[1].endswith("seen styles") and "un" not in row[1])
    figure = said["rendered clips, seen styles"]["top-3"]
    assert seen[3] == str(figure["n"])
    assert seen[5] == (f"{100 * figure['value']:.0f} % ({100 * figure['low']:.0f} to "
                       f"{100 * figure['high']:.0f})")
    assert re.search(r"^\w, \w: mean logits of .*; judged while the gesture is shown\.$", page,
                     re.MULTILINE)
    streams = rows_of(page, "As a stream")
    assert len(streams) == 2  # seen and unseen styles
    assert float(streams[0][2]) == pytest.approx(said["rendered streams, seen styles, minutes"],
                                                 abs=0.05)
    classes = rows_of(page, "Class by class")
    assert [row[0] for row in classes] == list(LABELS)
    assert classes[LABELS.index("nothing")][1] == "rest"
    assert classes[0][1] == "0.30"  # the card's own threshold
    assert "The target was missed by much." in page
    assert "guided the choreography" not in page  # it is not said of this model
    assert str(tmp_path) not in page
    pictures = sorted(path.name for path in out.parent.glob("*.png"))
    assert len(pictures) == 3  # clips, seen, unseen; not the other recogniser's
    assert all(f"]({name})" in page for name in pictures)


def test_weak_classes_and_confusions_are_named(model: Path, evaluation: Path, tmp_path: Path
                                               ) -> None:
    path, out = evaluation / "clips" / "evaluation.json", tmp_path / "model.md"
    said = json.loads(path.read_text())
    title = next(key.removesuffix(", confusion") for key in said
                 if key.startswith("clips: mean") and key.endswith(", confusion"))
    said[f"{title}, by class"] = {"left": [9, 2, 5], "right": [9, 8, 9]}
    said[f"{title}, confusion"]["counts"] = [[2, 7, 0, 0], [0, 8, 1, 0], [0] * 4, [0] * 4]
    path.write_text(json.dumps(said))
    assert main([str(model), "--evaluation", str(evaluation / "clips"), "--out", str(out)]) == 0
    weak = out.read_text().partition("## What it is bad at")[2].partition("##")[0]
    assert "half the time: left (2 of 9)." in weak
    assert "often confused: left taken for right (7 of 9)." in weak  # once is not often
    assert "says nothing of them: stop, nothing." in weak


def test_the_commands_that_made_it_come_from_recipe_and_sets(
        model: Path, evaluation: Path, tmp_path: Path) -> None:
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "model.md"
    for name, split in (("train", "train"), ("heldout", "heldout")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shard-00000.npz").touch()
        told = {"clips": 90, "seed": 4, "split": split, "draft": split == "train"}
        (tmp_path / name / "set.json").write_text(json.dumps(told))
    recipe.write_text(yaml.safe_dump(toy_recipe(tmp_path)))
    words = [str(model), "--evaluation", str(evaluation / "clips"), "--out", str(out),
             "--recipe", str(recipe)]
    assert main(words) == 0
    page = out.read_text()
    assert ("training.synthesize render --out train --clips 32 --seed 4 --split train --draft\n"
            in page), "one shard of 32 is there"
    assert "training.synthesize render --out heldout --clips 32 --seed 4 --split heldout\n" in page
    assert "training.train recipe.yaml" in page
    assert "path: train" in page
    assert str(tmp_path) not in page
    (tmp_path / "train" / "set.json").unlink()
    assert main(words) == 2


def test_what_cannot_be_read_is_a_sentence(model: Path, evaluation: Path, tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "model.md")]
    assert main([str(model), "--evaluation", str(tmp_path), *out]) == 2
    assert "run training.evaluate again" in capsys.readouterr().err
    path = evaluation / "clips" / "evaluation.json"
    path.write_text(path.read_text().replace('"toy"', '"other"'))
    assert main([str(model), "--evaluation", str(path.parent), *out]) == 2
    assert "not of 'toy'" in capsys.readouterr().err
    assert main([str(tmp_path / "none.safetensors"), "--evaluation", str(path.parent), *out]) == 2


def test_letters_go_on_over_evaluations(model: Path, evaluation: Path) -> None:
    card = read_card(model)
    first = read_evaluation(evaluation / "clips", card, 0)
    assert "".join(m.letter for m in first) == "ABCDEFGH"[:len(first)]
    assert [m.own for m in first] == [True] * (len(first) - 1) + [False]
    assert first[-1].recogniser == "another"
    assert read_evaluation(evaluation / "shards", card, 25)[1].letter == "AA"
