"""Every way in which a file of weights can be wrong, or dangerous."""

import argparse
from pathlib import Path

import pytest
import torch

from models.card_files import card_to_json
from models.checkpoints import CheckpointError, load_model, read_card


def torch_file(path, content=None, legacy=False):
    torch.save(content or {"state_dict": {"a": torch.zeros(9999)}}, path,
               _use_new_zipfile_serialization=not legacy)
    return path.read_bytes()


BAD_FILES = {
    "text.pth": (lambda p: b"just some text\n", "no checkpoint: it begins with 'just some text'"),
    "empty.pth": (lambda p: b"", "is no checkpoint: it is empty"),
    "cut.pth": (lambda p: torch_file(p)[:20000], "is cut or damaged"),
    "old_cut.pth": (lambda p: torch_file(p, legacy=True)[:20000], "is cut or damaged"),
    "zip.pth": (lambda p: b"PK\x03\x04" + bytes(100), "is cut or damaged"),
    "list.pth": (lambda p: torch_file(p, [1, 2]), "no named tensors"),
    "other.pth": (torch_file, "tensors named like a belong to no network"),
    "numbers.pth": (lambda p: torch_file(p, {"epoch": 3}), "it holds: epoch"),
    "text.safetensors": (lambda p: b"just some text\n", "begins with 'just som'"),
    "empty.safetensors": (lambda p: b"", "it is empty"),
    "odd.safetensors": (lambda p: (5).to_bytes(8, "little") + b"{{{{{", "header is broken"),
    "list.safetensors": (lambda p: (2).to_bytes(8, "little") + b"[]", "header is broken"),
    "text.onnx": (lambda p: b"just some text\n", "is no ONNX file"),
    "empty.onnx": (lambda p: b"", "is no ONNX file"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_no_checkpoint(name, tmp_path):
    path = tmp_path / name
    content, message = BAD_FILES[name]
    path.write_bytes(content(path))
    with pytest.raises(CheckpointError, match=message) as caught:
        read_card(path)
    assert name in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_archive_is_named(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "script.pt"))
    with pytest.raises(CheckpointError, match=r"script\.pt is a TorchScript archive"):
        load_model(tmp_path / "script.pt")


@pytest.mark.parametrize("reader", [read_card, load_model])
def test_a_cut_file_of_ours(saved, reader):
    saved.write_bytes(saved.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"is cut: [\d,]+ bytes of [\d,]+"):
        reader(saved)


def test_pickled_objects_load_only_when_trusted(tiny_network, tmp_path, caplog):
    path = tmp_path / "run.pth"
    torch.save({"state_dict": tiny_network.state_dict(), "args": argparse.Namespace(lr=1)}, path)
    with pytest.raises(CheckpointError, match=r"argparse\.Namespace.*--trust-checkpoint"):
        load_model(path, overrides={"labels": list("abcd")})
    load_model(path, overrides={"labels": list("abcd")}, trust=True)
    assert "argparse.Namespace" in caplog.text


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_never_runs_code_by_itself(tmp_path, legacy):
    torch_file(tmp_path / "trap.pth", {"state_dict": Trap(tmp_path / "sprung")}, legacy)
    for reader in (read_card, load_model):
        with pytest.raises(CheckpointError, match="could run any program"):
            reader(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


def test_a_whole_pickled_network_loads_when_trusted(tiny_network, tmp_path):
    torch.save(tiny_network, tmp_path / "whole.pth")
    network, _ = load_model(tmp_path / "whole.pth", overrides={"labels": list("abcd")}, trust=True)
    assert torch.equal(network.classifier.weight, tiny_network.classifier.weight)


@pytest.mark.parametrize("header", [
    '{"__metadata__": []}', '{"__metadata__": null}', '{"__metadata__": "text"}',
    '{"__metadata__": {"card": 5}}', "[" * 100_000,
    '{"a": {"shape": ["2"], "data_offsets": [0, 8]}}',
    '{"a": {"shape": [2], "data_offsets": [0, "8"]}}',
    '{"a": {"shape": [2], "data_offsets": [0, 1e999]}}',
])
def test_a_header_of_other_types_is_broken(header, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(8))
    with pytest.raises(CheckpointError, match=r"x\.safetensors is no safetensors file"):
        read_card(path)


@pytest.mark.parametrize("name", [0, None, ("a",)])
def test_tensors_without_names_are_told(name, tmp_path):
    torch.save({name: torch.zeros(3)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth holds no named tensors"):
        read_card(tmp_path / "x.pth")


def test_tensors_that_overlap(saved):
    raw = saved.read_bytes()
    size = 8 + int.from_bytes(raw[:8], "little")
    saved.write_bytes(raw[:size].replace(b'"data_offsets":[0,', b'"data_offsets":[9,') + raw[size:])
    with pytest.raises(CheckpointError, match="cut or damaged"):
        load_model(saved)


def test_our_own_file_with_a_missing_tensor(saved, tiny_card):
    from safetensors.torch import load_file, save_file
    tensors = load_file(saved)
    del tensors["features.7.conv.3.weight"]
    save_file(tensors, saved, metadata={"card": card_to_json(tiny_card)})
    with pytest.raises(CheckpointError, match=r"missing: features\.7\.conv\.3\.weight"):
        load_model(saved)


def test_a_file_whose_card_would_have_too_long_a_name_is_read(tmp_path):
    path = tmp_path / ("m" * 251 + ".bin")
    path.write_text("no weights")
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        read_card(path)
