"""What a faster setting costs: the same clips by every engine, precision and size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from seeding import seed_weights

from models.build import build_network
from models.card import ModelCard, Smoothing
from models.checkpoints import read_card, save_model
from models.network import OnlineNetwork
from online_tsm import fresh
from online_tsm.engine_torch import TorchEngine
from online_tsm.export import export_network
from online_tsm.preprocess import Preprocessor
from online_tsm.stream import Stream
from training import accuracy
from training.accuracy import _Stepped, main
from training.answers import clip_answers
from training.data import read_shards
from training.scoring import clip_figures


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_network: OnlineNetwork,
          toy_card: ModelCard) -> Path:
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "toy.safetensors"
    save_model(tiny_network, toy_card, path)
    return path


def test_every_setting_is_judged_on_the_same_clips(
        model: Path, shards: Path, tiny_network: OnlineNetwork, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    toy_card = read_card(model)
    other = tmp_path / "other.onnx"  # another network in the place of the INT8 form
    other.write_bytes(export_network(seed_weights(build_network(toy_card), seed=1), toy_card, "0"))
    assert main([str(shards / "heldout"), "--model", str(model), "--sizes", "24x32", "48x64",
                 "--int8", str(other), "--json", str(tmp_path / "a.json")]) == 0
    report = json.loads((tmp_path / "a.json").read_text())
    assert (report["set"], report["clips"]) == ("heldout", 8)
    rows = {(row["precision"], *row["input_size"]): row for row in report["rows"]}
    own, large, int8 = (rows[key] for key in [("fp32", 24, 32), ("fp32", 48, 64), ("int8", 24, 32)])
    clips = read_shards(shards / "heldout")
    expected = clip_figures(clip_answers(clips, tiny_network, toy_card, "mean"))
    assert own["top1"]["value"] == expected["top-1"].value
    assert own["top3"]["value"] == expected["top-3"].value
    assert (own["agreement"], large["agreement"]) == (1.0, None)  # other frames
    assert (own["shown"], large["shown"]) == (1.0, None)
    assert int8["agreement"] < 0.9
    assert int8["shown"] < 0.9
    assert "onnxruntime fp32" in capsys.readouterr().out


def test_what_is_shown_is_what_a_stream_shows(tiny_network: OnlineNetwork, toy_card: ModelCard
                                              ) -> None:
    """Frames of the warm-up differ most here, and have no vote."""
    engine = TorchEngine(tiny_network, toy_card.replace(
        resize="whole-frame", smoothing=Smoothing(window_s=0.6), warmup_steps=3))
    card, rng, stepped, streamed = engine.card, np.random.default_rng(0), _Stepped(engine), []
    for _ in range(20):
        frames = rng.integers(0, 256, (8, *card.input_size, 3), np.uint8)
        stream, inputs = Stream(engine, phases=1), Preprocessor(card)
        streamed += [card.labels.index(stream.step(frame, i / card.frame_rate).label)
                     for i, frame in enumerate(frames)]
        stepped(torch.from_numpy(np.stack([inputs(frame).copy() for frame in frames]))[None])
    assert stepped.shown == streamed


def test_the_benchmark_has_it_done_by_another_process(model: Path, shards: Path) -> None:
    found = fresh.accuracy(shards, ["--model", str(model), "--most", "2"])
    assert (found["model"], found["clips"]) == ("toy", 2)


def test_a_file_that_cannot_be_written_is_told_before_the_work(
        model: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "judged", lambda *_: pytest.fail("worked before"))
    (tmp_path / "file").write_text("")
    assert main([str(shards / "heldout"), "--model", str(model), "--json",
                 str(tmp_path / "file" / "a.json")]) == 2
    assert f"--json is {tmp_path / 'file' / 'a.json'}, but" in capsys.readouterr().err


def test_what_holds_no_clips_is_named(model: Path, tmp_path: Path,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere.csv"), "--model", str(model)]) == 2
    assert "nowhere.csv" in capsys.readouterr().err
