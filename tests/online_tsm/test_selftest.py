"""The selftest passes on sound engines and fails on each broken one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from models.build import build_network
from models.card import ModelCard
from models.checkpoints import DEFAULT_MODEL, save_model
from online_tsm.engine import open_engine
from online_tsm.engine_torch import TorchEngine
from online_tsm.preprocess import Preprocessor
from online_tsm.selftest import check_clip, check_labels, clip_of, main, moving_picture, run_checks

CHECKS = ["streaming equals the clip", "the state matters", "the past is forgotten in time",
          "a phase sees its own frames", "mirrored labels are declared"]


@pytest.fixture
def checkpoint(tmp_path, monkeypatch, tiny_network, tiny_card):
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.safetensors"
    save_model(tiny_network, tiny_card, path)
    return path


class Broken(TorchEngine):
    """A sound engine with one fault."""

    fault = ""

    def step(self, inputs, states):
        if self.fault == "state dropped":
            states = [self.open_state() for _ in states]
        logits, after = super().step(inputs, states)
        if self.fault == "never forgets":
            for part in self._bank:
                for new, old in zip(after, states, strict=True):
                    part[new.place] += 0.5 * part[old.place]
        return logits, after


class OneCache(TorchEngine):
    """Mixes the streams up: there is one cache, whoever asks."""

    shared = None

    def open_state(self):
        if self.shared is None:
            self.shared = super().open_state()
        return self.shared

    def step(self, inputs, states):
        logits, after = super().step(inputs, [self.shared])
        self.shared = after[0]
        return logits, after


def failed(engine, checkpoint) -> list[str]:
    results = run_checks(engine, clip_of(checkpoint, {}))
    assert list(results) == CHECKS
    return [name for name, result in results.items() if result.verdict == "FAIL"]


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_sound_engines_pass(checkpoint, name, capsys):
    assert main(["--model", str(checkpoint), "--engine", name, "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"tiny on {name}, cpu, fp32"
    assert [line.split(":")[0] for line in lines[1:]] == [f"PASS  {name}" for name in CHECKS]


def test_the_shipped_model_passes():
    results = run_checks(open_engine(DEFAULT_MODEL, "onnxruntime", "cpu"), None)
    assert [result.verdict for result in results.values()] == ["SKIP"] + ["PASS"] * 4


@pytest.mark.parametrize("changes", [
    {"architecture": "resnet18", "width_multiplier": 1.0},
    {"shift": {"direction": "both", "past_fold": "second", "placement": "block"}},
])
def test_other_networks_pass(tmp_path, tiny_card, seed_weights, changes):
    card = tiny_card.replace(**changes)
    path = tmp_path / "other.safetensors"
    save_model(seed_weights(build_network(card)), card, path)
    assert failed(open_engine(path, "torch", "cpu"), path) == []


@pytest.mark.parametrize(("fault", "caught"), [
    ("", []),
    ("state dropped", CHECKS[:4]),
    ("never forgets", [CHECKS[0], CHECKS[2]]),
    ("one cache", [CHECKS[1], CHECKS[3]]),
])
def test_a_broken_engine_fails(checkpoint, tiny_network, tiny_card, fault, caught):
    engine = OneCache(tiny_network, tiny_card) if fault == "one cache" else Broken(
        tiny_network, tiny_card)
    engine.fault = fault
    assert failed(engine, checkpoint) == caught


def test_the_wrong_fold_fails(checkpoint, tiny_network, tiny_card):
    tiny_network.shift = dataclasses.replace(tiny_network.shift, past_fold="second")
    assert failed(TorchEngine(tiny_network, tiny_card), checkpoint) == [CHECKS[0]]


def test_logits_that_are_no_numbers_fail(checkpoint, tiny_network, tiny_card):
    tiny_network.classifier.bias.data[0] = np.nan
    engine = TorchEngine(tiny_network, tiny_card)
    inputs = Preprocessor(tiny_card)(moving_picture(1)[0])[None]
    assert check_clip(engine, inputs, clip_of(checkpoint, {})).verdict == "FAIL"


@pytest.mark.parametrize(("labels", "pairs", "named"), [
    (("Swiping Left", "Swiping Right"), (), "'Swiping Left' and 'Swiping Right'"),
    (("turn clockwise", "turn counterclockwise"), (), "'turn clockwise'"),
    (("left", "right", "up"), (("left", "right"), ("left", "up")), "'left' is in two pairs"),
    (("left", "up"), (("up", "up"),), "'up' is in two pairs"),
])
def test_a_label_table_with_holes_fails(labels, pairs, named):
    result = check_labels(ModelCard("x", "mobilenet_v2", labels, mirrored_pairs=pairs))
    assert result.verdict == "FAIL"
    assert named in result.detail


def test_an_onnx_file_has_no_clip_to_compare_with(checkpoint, capsys):
    from online_tsm.export import main as export

    out = checkpoint.with_name("made.onnx")
    assert export([str(checkpoint), str(out)]) == 0
    capsys.readouterr()
    assert main(["--model", str(out), "--device", "cpu"]) == 0
    verdicts = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert verdicts == ["SKIP", "PASS", "PASS", "PASS", "PASS"]


def test_a_failure_sets_the_exit_code(tmp_path, tiny_card, tiny_network, capsys):
    path = tmp_path / "unpaired.safetensors"
    save_model(tiny_network, tiny_card.replace(mirrored_pairs=()), path)
    path.with_suffix(".yaml").write_text("mirrored_pairs: []")
    assert main(["--model", str(path), "--engine", "torch", "--device", "cpu"]) == 1
    assert "FAIL  mirrored labels are declared: 'left' and 'right'" in capsys.readouterr().out


@pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
def test_a_model_whose_logits_are_no_numbers_is_told(checkpoint, tiny_network, tiny_card, engine,
                                                     capsys):
    tiny_network.classifier.bias.data[0] = np.nan
    save_model(tiny_network, tiny_card, checkpoint)
    assert main(["--model", str(checkpoint), "--engine", engine, "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: model 'tiny' g")
    assert "logits that are not finite numbers; its weights" in said


def test_a_user_error_is_one_sentence(capsys):
    assert main(["--model", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere")
