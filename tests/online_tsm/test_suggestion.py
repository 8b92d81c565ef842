"""What the benchmark keeps for `--engine auto`, and when it is not obeyed."""

from __future__ import annotations

import json

import pytest
from seeding import seed_weights

from models.build import build_network
from models.card import ModelCard
from models.checkpoints import save_model
from online_tsm import suggestion
from online_tsm.engine import open_engine

CARD = ModelCard(name="tiny", architecture="mobilenet_v2", labels=("a", "b"), input_size=(32, 32),
                 resize="whole-frame", width_multiplier=0.25)


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.safetensors"
    save_model(seed_weights(build_network(CARD)), CARD, path)
    return path


def test_auto_obeys_the_suggestion_and_says_so(model):
    suggestion.keep(suggestion.suggestion_of("torch", "cpu", 1))
    engine = open_engine(model)
    assert (engine.name, engine.threads) == ("torch", 1)
    assert "as the benchmark suggested" in engine.note


@pytest.mark.parametrize("asked", [{"engine": "onnxruntime"}, {"device": "cpu"}, {"threads": 1}])
def test_what_the_user_asks_for_wins(model, asked):
    suggestion.keep(suggestion.suggestion_of("torch", "cpu", 1))
    assert open_engine(model, **asked).name == "onnxruntime"


@pytest.mark.parametrize("changes", [{"cpu": "another one"}, {"cores": 99}])
def test_a_suggestion_of_another_machine_is_not_for_this_one(model, changes):
    path = suggestion.keep(suggestion.suggestion_of("torch", "cpu", 1))
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    assert suggestion.kept() is None


@pytest.mark.parametrize("text", [
    "{", "[]", '{"engine": "torch"}',
    '{"engine": "torch", "device": "cpu", "threads": "1", "cpu": "x", "cores": 1}'])
def test_a_damaged_suggestion_is_left_alone_with_a_warning(model, text, caplog):
    suggestion.keep(suggestion.suggestion_of("torch", "cpu", 1)).write_text(text)
    assert suggestion.kept() is None
    assert "suggestion.json cannot be used" in caplog.text


def test_an_engine_that_is_gone_is_said_and_passed_over(model, caplog):
    suggestion.keep(suggestion.suggestion_of("tvm", "cpu", 1))
    assert open_engine(model).name == "onnxruntime"
    assert "suggested tvm, which cannot be used" in caplog.text
