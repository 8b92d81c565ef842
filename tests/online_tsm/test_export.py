"""Exporting: the graph against torch, what travels in it, shared weights, the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny_streams import logits_of

from models.build import build_network
from models.card import card_from_dict
from models.checkpoints import read_card, save_model
from online_tsm.engine import EngineError, open_engine
from online_tsm.export import export_network, main, share_weights, verify
from online_tsm.graphs import DIGEST_KEY, SHARED_KEY, check_shared, file_digest


@pytest.fixture
def checkpoint(tmp_path, tiny_network, tiny_card) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_model(tiny_network, tiny_card, path)
    return path


def test_the_command_writes_a_graph_with_its_card(checkpoint, tmp_path, tiny_card, capsys):
    out = tmp_path / "out" / "tiny.onnx"
    assert main([str(checkpoint), str(out), "--verify-steps", "3"]) == 0
    assert "over 3 steps" in capsys.readouterr().out
    model = onnx.load(str(out))
    onnx.checker.check_model(model)
    assert [node.name for node in model.graph.input] == [
        "frame", *(f"state_{i}" for i in range(10))]
    assert [node.name for node in model.graph.output] == [
        "logits", *(f"next_state_{i}" for i in range(10))]
    assert all(node.type.tensor_type.shape.dim[0].dim_param == "batch"
               for node in [*model.graph.input, *model.graph.output])
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert card_from_dict(json.loads(facts["card"])) == tiny_card
    assert facts["weights_sha256"] == file_digest(checkpoint)
    assert read_card(out) == tiny_card
    difference = logits_of(open_engine(out, device="cpu")) - logits_of(
        open_engine(checkpoint, "torch", "cpu"))
    assert np.abs(difference).max() < 5e-4


@pytest.mark.parametrize("changes", [
    {"architecture": "resnet18", "width_multiplier": 1.0},
    {"shift": {"past_fold": "second", "direction": "both", "placement": "block"}},
    {"shift": {"fold_div": 4}},
    {"input_size": (33, 47)},  # odd: the caches round up
])
def test_every_kind_of_network_exports(tiny_card, seed_weights, changes):
    card = tiny_card.replace(**changes)
    network = seed_weights(build_network(card))
    graph = export_network(network, card, "0" * 64)  # which raises unless it agrees with torch
    assert verify(graph, network, card, 4) < 5e-4


def test_a_graph_of_other_weights_fails_the_verification(tiny_network, tiny_card):
    graph = export_network(tiny_network, tiny_card, "0" * 64, verify_steps=1)
    with torch.no_grad():
        tiny_network.classifier.bias[0] += 0.01
    with pytest.raises(EngineError, match="differs from torch by"):
        verify(graph, tiny_network, tiny_card, 2)


def test_a_graph_that_drops_its_state_fails_the_verification(tiny_network, tiny_card, monkeypatch):
    step = type(tiny_network).step

    def forgetful(self, frame, state):
        logits, after = step(self, frame, state)
        # Only the export sees this: the verification steps two streams at once.
        return logits, tuple(kept * 0 for kept in after) if len(frame) == 1 else after

    monkeypatch.setattr(type(tiny_network), "step", forgetful)
    with pytest.raises(EngineError, match="differs from torch by"):
        export_network(tiny_network, tiny_card, "0" * 64)


def test_beside_shares_the_weights(checkpoint, tiny_card, monkeypatch, tmp_path):
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "cache"))
    assert main([str(checkpoint), "--beside"]) == 0
    small = checkpoint.with_suffix(".onnx")
    assert small.stat().st_size < 200_000 < checkpoint.stat().st_size
    stored = onnx.load(str(small), load_external_data=False).graph.initializer
    assert all(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in stored)
    by_graph = logits_of(open_engine(small, device="cpu"))
    by_weights = open_engine(checkpoint, device="cpu")
    assert not (tmp_path / "cache").exists()  # the small graph served
    assert (logits_of(by_weights) == by_graph).all()
    assert np.abs(by_graph - logits_of(open_engine(checkpoint, "torch", "cpu"))).max() < 5e-4


def test_a_graph_that_shares_weights_refuses_others(checkpoint, tiny_network, tiny_card):
    assert main([str(checkpoint), "--beside"]) == 0
    small = checkpoint.with_suffix(".onnx")
    with torch.no_grad():
        tiny_network.classifier.bias[0] += 1
    save_model(tiny_network, tiny_card, checkpoint)
    with pytest.raises(EngineError, match=r"tiny\.onnx was made for other weights"):
        open_engine(small, device="cpu")
    checkpoint.unlink()
    with pytest.raises(EngineError, match=r"tiny\.safetensors"):
        open_engine(small, device="cpu")


@pytest.mark.parametrize("name", ["gone.safetensors", "sub/w.safetensors", ".", "..", "", "a\0b",
                                  "x" * 300])
def test_a_graph_whose_weights_cannot_be_read_says_so(name, tmp_path):
    with pytest.raises(EngineError, match=r"^tiny\.onnx has its weights in .* copy both files"):
        check_shared(tmp_path / "tiny.onnx", {SHARED_KEY: name, DIGEST_KEY: "0" * 64})


def test_weights_stored_in_another_precision_are_not_shared(tiny_network, tiny_card, tmp_path):
    path = tmp_path / "half.safetensors"
    graph = export_network(tiny_network, tiny_card, "0" * 64, verify_steps=1)
    save_model(tiny_network.half(), tiny_card, path)
    with pytest.raises(EngineError, match="stored there as float32"):
        share_weights(graph, path)


def test_other_weights_are_not_shared(tiny_network, tiny_card, tmp_path):
    path = tmp_path / "other.safetensors"
    graph = export_network(tiny_network, tiny_card, "0" * 64, verify_steps=1)
    with torch.no_grad():
        tiny_network.classifier.bias[0] += 1
    save_model(tiny_network, tiny_card, path)
    with pytest.raises(EngineError, match=r"classifier\.bias is not stored"):
        share_weights(graph, path)


@pytest.mark.parametrize(("arguments", "named"), [
    (["nowhere", "out.onnx"], "nowhere"),
    (["{onnx}", "out.onnx"], "is an ONNX file already"),
    (["{pth}", "--beside"], "which tiny.pth is not"),
    (["{text}", "out.onnx"], "text.pth"),
    (["{pth}", "out.foo"], "OUT is out.foo; the name of a graph ends in .onnx"),
])
def test_user_errors_are_one_sentence(checkpoint, tiny_network, capsys, arguments, named):
    names = {"onnx": "made.onnx", "pth": "tiny.pth", "text": "text.pth"}
    paths = {key: checkpoint.with_name(name) for key, name in names.items()}
    paths["onnx"].write_bytes(b"")
    paths["text"].write_text("no weights")
    torch.save(tiny_network.state_dict(), paths["pth"])
    assert main([argument.format(**paths) for argument in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert named in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("arguments", [["model"], ["model", "out.onnx", "--beside"],
                                       ["model", "out.onnx", "--verify-steps", "0"]])
def test_contradicting_flags_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(checkpoint, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main([str(checkpoint), str(tmp_path / "file" / "out.onnx")]) == 2
    assert f"{tmp_path / 'file' / 'out.onnx'} cannot be written: " in capsys.readouterr().err
