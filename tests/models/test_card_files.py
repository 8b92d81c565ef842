"""Who says what about a card: overrides, YAML, the file itself; and every wrong card."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models import jester
from models.card import CardError, ModelCard
from models.card_files import card_beside, card_to_json
from models.checkpoints import CheckpointError, load_model, read_card

ROOT = Path(__file__).parents[2]


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


def test_a_yaml_card_without_an_end(saved):
    card_beside(saved).write_text("[" * 5000)
    with pytest.raises(CardError, match="not valid YAML"):
        read_card(saved)


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


def test_the_card_inside_is_plain_json(saved, tiny_card):
    raw = saved.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert json.loads(header["__metadata__"]["card"])["labels"] == list(tiny_card.labels)


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
