"""A rendered set is of one code and of one choreography."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import pytest

from training.synthesis import farm
from training.synthesis.assets import SynthesisError
from training.synthesis.farm import SET_FILE, Order, claim
from training.synthesis.language import GESTURES_FOLDER
from training.synthesis.plan import CLIPS_A_SHARD
from training.synthesis.shards import shard_path


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """Two shards, of which one is there."""
    gestures = shutil.copytree(GESTURES_FOLDER, tmp_path / "gestures")
    order = Order(str(tmp_path / "set"), 2 * CLIPS_A_SHARD, 1, "train", str(gestures), "", 0)
    claim(Path(order.out), order)
    shard_path(Path(order.out), 0).write_bytes(b"there")
    return order


@pytest.fixture
def edited(order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The code in another folder, where a shader was edited since the set was begun."""
    code = Path(shutil.copytree(Path(farm.__file__).parent, tmp_path / "code"))
    with (code / "person.frag").open("a") as file:
        file.write("// edited\n")
    monkeypatch.setattr(farm, "HERE", code, raising=False)
    return code


def again(order: Order) -> str | None:
    """Goes on with the set; returns the fingerprint of code that it bears then."""
    claim(Path(order.out), order)
    code: str | None = json.loads((Path(order.out) / SET_FILE).read_text())["code"]
    return code


def test_a_half_rendered_set_does_not_go_on_with_edited_code(order: Order, edited: Path) -> None:
    before = (Path(order.out) / SET_FILE).read_text()
    with pytest.raises(SynthesisError, match=r"other code rendered.*pick another --out") as raised:
        claim(Path(order.out), order)
    assert order.out in str(raised.value)
    assert (Path(order.out) / SET_FILE).read_text() == before
    shutil.copy(Path(farm.__file__).with_name("person.frag"), edited)
    claim(Path(order.out), order)  # the code of then


def test_a_half_rendered_set_does_not_go_on_with_edited_gestures(order: Order) -> None:
    with (Path(order.gestures) / "thumb_up.yaml").open("a") as file:
        file.write("# edited\n")
    with pytest.raises(SynthesisError, match=r"another gestures.*Pick another"):
        claim(Path(order.out), order)


def test_a_short_last_shard_is_not_made_again_by_edited_code(order: Order, edited: Path) -> None:
    again(dataclasses.replace(order, clips=4))  # finished
    with pytest.raises(SynthesisError, match="other code"):
        again(dataclasses.replace(order, clips=8))
    assert shard_path(Path(order.out), 0).exists()


def test_shards_past_the_clips_asked_for_count_too(order: Order, edited: Path) -> None:
    # Workers end out of order: a killed run may leave the second shard alone.
    shard_path(Path(order.out), 0).rename(shard_path(Path(order.out), 1))
    with pytest.raises(SynthesisError, match="other code"):
        again(dataclasses.replace(order, clips=CLIPS_A_SHARD))


def test_a_finished_set_and_an_empty_one_take_any_code(order: Order, edited: Path) -> None:
    shard_path(Path(order.out), 1).write_bytes(b"there")
    made = again(order)
    for number in (0, 1):
        shard_path(Path(order.out), number).unlink()
    assert again(order) != made


def test_a_set_of_before_goes_on_with_a_warning(order: Order, edited: Path,
                                                caplog: pytest.LogCaptureFixture) -> None:
    path = Path(order.out) / SET_FILE
    known = json.loads(path.read_text())
    del known["code"]
    path.write_text(json.dumps(known))
    with caplog.at_level(logging.WARNING):
        assert again(order) is None  # still unknown: another's shards are among them
    (said,) = caplog.messages
    assert f"{order.out} does not say which code" in said
