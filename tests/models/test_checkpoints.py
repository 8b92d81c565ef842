"""Our own format, who says what about a card, and every way in which a file can be wrong."""

import argparse
import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models import jester
from models.card import CardError, ModelCard
from models.card_files import card_beside, card_to_json
from models.checkpoints import (
    DEFAULT_MODEL,
    CheckpointError,
    load_model,
    read_card,
    resolve,
    save_model,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def saved(tiny_network, tiny_card, tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_model(tiny_network, tiny_card, path)
    return path


def test_saved_and_loaded_is_the_same(saved, tiny_network, tiny_card):
    network, card = load_model(saved)
    assert card == tiny_card == read_card(saved)
    assert not network.training
    clip = torch.randn(2, 3, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(clip), tiny_network(clip))


def test_a_card_that_uses_every_field_survives(tiny_network, tiny_card, tmp_path):
    card = tiny_card.replace(
        measured={"top1": 0.5, "how": "é"}, provenance="x", licence="MIT", filter="area",
        mean=(0.5, 0.4, 0.3), smoothing={"thresholds": {"stop": 0.7}, "disabled": ["left"]},
        shift={"padding": "circulant"})
    save_model(tiny_network, card, tmp_path / "new folder" / "x.safetensors")
    assert read_card(tmp_path / "new folder" / "x.safetensors") == card


def test_a_kill_while_saving_leaves_the_old_file(saved, tiny_network, tiny_card, monkeypatch):
    write = Path.write_bytes

    def killed(path, data):
        write(path, data[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        save_model(tiny_network, tiny_card, saved)
    monkeypatch.undo()
    load_model(saved)
    save_model(tiny_network, tiny_card.replace(name="later"), saved)
    assert read_card(saved).name == "later"
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_overrides_beat_yaml_beats_the_file(saved):
    assert load_model(saved)[1].frame_rate == 10.0
    saved.with_suffix(".yaml").write_text("frame_rate: 12\ncolour: bgr\nsmoothing: {rise: 0.7}\n")
    card = load_model(saved, overrides={"frame_rate": 20.0, "smoothing": {"fall": 0.2}})[1]
    assert card == read_card(saved, overrides={"frame_rate": 20.0, "smoothing": {"fall": 0.2}})
    assert (card.frame_rate, card.colour, card.input_size) == (20.0, "bgr", (32, 32))
    assert (card.smoothing.rise, card.smoothing.fall, card.smoothing.hold_s) == (0.7, 0.2, 0.1)
    assert read_card(saved).frame_rate == 12


def test_another_card_file_replaces_the_one_beside(saved, tmp_path):
    saved.with_suffix(".yaml").write_text("frame_rate: 12\n")
    (tmp_path / "other.yaml").write_text("colour: bgr\n")
    card = read_card(saved, card_file=tmp_path / "other.yaml")
    assert (card.frame_rate, card.colour) == (10.0, "bgr")


@pytest.mark.parametrize(("name", "yaml"), [
    ("a.safetensors", "a.yaml"), ("a.pth.tar", "a.yaml"), ("v1.2_a.pt", "v1.2_a.yaml")])
def test_where_the_yaml_card_lies(name, yaml):
    assert card_beside(Path("x") / name) == Path("x") / yaml


def test_labels_may_come_from_a_file(saved, tmp_path):
    (tmp_path / "names.txt").write_text("a\nb\n\nc\nd\n")
    plain = {"background": [], "mirrored_pairs": []}
    assert read_card(saved, overrides={"labels": tmp_path / "names.txt", **plain}).labels == tuple(
        "abcd")
    saved.with_suffix(".yaml").write_text(
        "labels: names.txt\nbackground: [d]\nmirrored_pairs: []\n")
    assert load_model(saved)[1].background == ("d",)


@pytest.mark.parametrize("reader", [read_card, load_model])
def test_a_wrong_number_of_labels_names_both(saved, reader):
    with pytest.raises(CheckpointError, match=r"tiny\.safetensors: 2 labels .* 4 classes"):
        reader(saved, overrides={"labels": ["a", "b"]})


def test_jesters_pairs_come_with_jesters_names(seed_weights, tmp_path):
    from models.build import build_network
    labels = ("Thumb Up", "Swiping Right", "Swiping Left", "No gesture")
    network = build_network(ModelCard("t", "mobilenet_v2", labels, width_multiplier=0.25))
    torch.save(seed_weights(network).state_dict(), tmp_path / "x.pth")
    card = read_card(tmp_path / "x.pth", overrides={"labels": list(labels)})
    assert card.background == ("No gesture",)
    assert card.mirrored_pairs == (("Swiping Left", "Swiping Right"),)
    with pytest.raises(CheckpointError, match=r"4 classes.*labels.*x\.yaml"):
        read_card(tmp_path / "x.pth")


@pytest.mark.parametrize(("text", "message"), [
    ("frame_rate: [1, 2\ncolour: rgb\n", r"tiny\.yaml, line 2, column 7"),
    ("frame_rat: 3\n", "unknown key 'frame_rat'; did you mean 'frame_rate'"),
    ("frame_rate: fast\n", "tiny.*frame_rate is 'fast'"),
    ("colour: grey\n", "colour is 'grey'; known: rgb, bgr"),
    ("- frame_rate\n", "keys and values"),
    ("labels: none.txt\n", r"none\.txt: No such file"),
    ("architecture: resnet50\n", "architecture 'resnet50', its tensors are 'mobilenet_v2'"),
    ("shift: past\n", "shift: expected keys and values"),
    ("name: 2024\n", r"tiny\.safetensors: card: name must be text, got 2024"),
    ("smoothing: {thresholds: [stop]}\n", "thresholds must be labels with a number each"),
    ("measured: {on: 2024-02-30}\n", r"tiny\.yaml: not valid YAML: day"),
    ("colour: rgb\ncolour: bgr\n", r"tiny\.yaml, line 2, column 1: .*a second time; line 1 has it"),
])
def test_a_wrong_yaml_card(saved, text, message):
    saved.with_suffix(".yaml").write_text(text)
    for reader in (read_card, load_model):
        with pytest.raises(CardError, match=message):
            reader(saved)


def test_yaml_that_is_no_text(saved):
    saved.with_suffix(".yaml").write_bytes(b"\xff\xfe\x00\x00")
    with pytest.raises(CardError, match=r"tiny\.yaml: not a text file"):
        read_card(saved)


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


def test_a_broken_card_inside(saved):
    from safetensors.torch import load_file, save_file
    save_file(load_file(saved), saved, metadata={"card": "{broken"})
    with pytest.raises(CardError, match="card inside is no JSON"):
        read_card(saved)


def test_a_card_inside_without_an_end(saved):
    from safetensors.torch import load_file, save_file
    save_file(load_file(saved), saved, metadata={"card": "[" * 100_000})
    with pytest.raises(CardError, match="card inside is no JSON"):
        read_card(saved)


def test_a_yaml_card_without_an_end(saved):
    card_beside(saved).write_text("[" * 5000)
    with pytest.raises(CardError, match="not valid YAML"):
        read_card(saved)


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


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(CheckpointError, match=f"nonsense is no file.*{DEFAULT_MODEL}"):
        resolve("nonsense")
    with pytest.raises(CheckpointError, match="is a folder"):
        resolve(tmp_path)


@pytest.mark.parametrize("path", ["~nouser/m.pth", "m" * 300])
def test_a_path_that_cannot_be_is_no_file(path):
    with pytest.raises(CheckpointError, match=f"^{path} is no file"):
        resolve(path)


def test_a_file_whose_card_would_have_too_long_a_name_is_read(tmp_path):
    path = tmp_path / ("m" * 251 + ".bin")
    path.write_text("no weights")
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        read_card(path)


def test_saving_where_one_cannot_write(tiny_network, tiny_card, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_model(tiny_network, tiny_card, tmp_path / "file" / "x.safetensors")


def test_a_full_disk_keeps_no_half_of_a_file(tiny_network, tiny_card, tmp_path, monkeypatch):
    write = Path.write_bytes

    def full(path, data):
        write(path, data[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CheckpointError, match="cannot be written: No space left"):
        save_model(tiny_network, tiny_card, tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_model_is_honest_and_runs():
    network, card = load_model(DEFAULT_MODEL)
    assert card.labels == jester.ALPHABETICAL
    assert (card.input_size, card.resize, card.filter) == ((96, 128), "centre-4:3", "area")
    assert "no real video" in card.provenance
    assert card.licence == "MIT"
    assert card.measured["rendered streams"]["figures"]["precision"]["value"] > 0.8
    with torch.no_grad():
        logits, _ = network.step(torch.zeros(1, 3, 96, 128), network.open_state(1, 96, 128))
    assert logits.shape == (1, 27)


def test_reading_our_card_imports_neither_torch_nor_numpy(saved):
    script = (f"import sys; from models.checkpoints import read_card, DEFAULT_MODEL; "
              f"read_card(DEFAULT_MODEL); print(read_card({str(saved)!r}).name); "
              f"sys.exit(int('torch' in sys.modules or 'numpy' in sys.modules))")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stdout) == (0, "tiny\n"), done.stderr


def graph(path, metadata=None, states=10, classes=27):
    """A file with the inputs and outputs of a stateful export, and no more sense than that."""
    from onnx import TensorProto, helper, save
    def value(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    inputs = [value("i0", 1, 3, 224, 320)] + [value(f"i{k + 1}", 1, 3, 8, 8) for k in range(states)]
    outputs = [value("o0", 1, classes)] + [value(f"o{k + 1}", 1, 3, 8, 8) for k in range(states)]
    nodes = [helper.make_node("Identity", [f"i{k}"], [f"o{k}"]) for k in range(states + 1)]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs))
    helper.set_model_props(model, metadata or {})
    save(model, str(path))


def test_the_card_of_an_onnx_file(tiny_card, tmp_path):
    path = tmp_path / "own.onnx"
    graph(path, {"card": card_to_json(tiny_card)}, classes=4)
    assert read_card(path) == tiny_card
    path.with_suffix(".yaml").write_text("frame_rate: 7\n")
    assert read_card(path).frame_rate == 7
    assert read_card(path, overrides={"frame_rate": 8.0}).frame_rate == 8
    with pytest.raises(CheckpointError, match="an engine runs it"):
        load_model(path)


def test_an_onnx_file_without_a_card(tmp_path):
    graph(tmp_path / "demo.onnx")  # as the official demo exports it
    card = read_card(tmp_path / "demo.onnx")
    assert (card.labels, card.input_size) == (jester.ALPHABETICAL, (224, 320))
    graph(tmp_path / "four.onnx", classes=4)
    with pytest.raises(CheckpointError, match=r"4 classes.*four\.yaml"):
        read_card(tmp_path / "four.onnx")
    assert read_card(tmp_path / "four.onnx", overrides={"labels": list("abcd")}).name == "four"
    with pytest.raises(CheckpointError, match=r"3 labels.*4 classes"):
        read_card(tmp_path / "four.onnx", overrides={"labels": list("abc")})
    graph(tmp_path / "clip.onnx", states=0)
    with pytest.raises(CheckpointError, match="1 inputs and 1 outputs"):
        read_card(tmp_path / "clip.onnx")


def test_the_card_of_an_onnx_file_needs_no_torch(tiny_card, tmp_path):
    graph(tmp_path / "own.onnx", {"card": card_to_json(tiny_card)}, classes=4)
    script = (f"import sys; from models.checkpoints import read_card; "
              f"read_card({str(tmp_path / 'own.onnx')!r}); sys.exit(int('torch' in sys.modules))")
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_the_card_inside_is_plain_json(saved, tiny_card):
    raw = saved.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert json.loads(header["__metadata__"]["card"])["labels"] == list(tiny_card.labels)
