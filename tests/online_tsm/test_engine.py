"""Opening an engine: what is taken, what is refused and why, what is imported; golden logits."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from fresh_python import python
from gpu_marks import needs_no_gpu
from seeding import seed_weights
from tiny_streams import CARD, logits_of

from models.build import build_network
from models.card import CardError, card_to_dict
from models.checkpoints import DEFAULT_MODEL, CheckpointError, save_model
from online_tsm.engine import EngineError, open_engine
from online_tsm.export import export_network
from online_tsm.preprocess import Preprocessor

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
pytestmark = pytest.mark.usefixtures("in_shared_cache")


# What is taken


@needs_no_gpu
def test_auto_takes_onnxruntime_on_one_thread_and_says_so(graph_file):
    engine = open_engine(graph_file)
    assert (engine.name, engine.device, engine.threads) == ("onnxruntime", "cpu", 1)
    assert engine.note == "ONNX Runtime on the CPU, 1 thread"


def test_what_was_asked_for_is_not_announced(graph_file):
    assert open_engine(graph_file, "onnxruntime", "cpu").note == ""


def test_both_engines_give_the_same_logits(checkpoint):
    by_torch = open_engine(checkpoint, "torch", "cpu")
    by_onnx = open_engine(checkpoint, "onnxruntime", "cpu", threads=2)
    assert (by_torch.name, by_onnx.threads) == ("torch", 2)
    assert np.abs(logits_of(by_torch) - logits_of(by_onnx)).max() < 5e-4


def test_overrides_reach_the_card_and_the_graph(checkpoint):
    seen = [open_engine(checkpoint, name, "cpu",
                        overrides={"colour": "bgr", "shift": {"past_fold": "second"}})
            for name in ("onnxruntime", "torch")]
    assert [e.card.colour for e in seen] == ["bgr", "bgr"]
    other_fold = logits_of(seen[0])
    assert np.abs(other_fold - logits_of(seen[1])).max() < 5e-4
    assert np.abs(other_fold - logits_of(open_engine(checkpoint, device="cpu"))).max() > 0.05


def test_torch_threads_are_those_asked_for(checkpoint):
    before = torch.get_num_threads()
    try:
        assert open_engine(checkpoint, "torch", "cpu", threads=2).threads == 2
    finally:
        torch.set_num_threads(before)


def test_the_shipped_model_starts_without_torch():
    done = python(
        "import sys, numpy as np\n"
        "from online_tsm.engine import open_engine\n"
        "from online_tsm.preprocess import Preprocessor\n"
        f"engine = open_engine({DEFAULT_MODEL!r}, device='cpu')\n"
        "inputs = Preprocessor(engine.card)(np.zeros((48, 64, 3), np.uint8))\n"
        "logits, _ = engine.step(inputs[None], [engine.open_state()])\n"
        "print(logits.shape, np.isfinite(logits).all(), {'torch', 'onnx'} & set(sys.modules))\n")
    assert done.stdout == "(1, 27) True set()\n"
    assert done.stderr == ""


def test_an_onnx_file_runs_without_torch(graph_file):
    done = python(
        "import sys\n"
        "from online_tsm.engine import open_engine\n"
        f"engine = open_engine({str(graph_file)!r}, device='cpu')\n"
        "print(engine.card.name, engine.name, 'torch' in sys.modules)\n")
    assert done.stdout == "tiny onnxruntime False\n", done.stderr


# A network trained with a shift both ways


@pytest.fixture
def both_ways(tmp_path, own_graphs) -> Path:
    """Its checkpoint, and its graph as a file: both.safetensors, both.onnx."""
    card = CARD.replace(shift={"direction": "both", "past_fold": "second"})
    network = seed_weights(build_network(card))
    save_model(network, card, tmp_path / "both.safetensors")
    (tmp_path / "both.onnx").write_bytes(export_network(network, card, "0" * 64))
    return tmp_path / "both.safetensors"


@pytest.mark.parametrize(("suffix", "engine"), [
    (".safetensors", "onnxruntime"), (".safetensors", "torch"), (".safetensors", "auto"),
    (".onnx", "onnxruntime")])
def test_a_shift_both_ways_is_warned_of_once_at_every_start(both_ways, suffix, engine, caplog):
    path = both_ways.with_suffix(suffix)
    for _ in range(2):  # the second start finds the graph of the first
        caplog.clear()
        open_engine(path, engine, "cpu")
        warned = [r.message for r in caplog.records if r.levelno == logging.WARNING]
        assert len(warned) == 1
        assert warned[0].startswith(f"both{suffix} was trained with a shift both ways. A stream "
                                    "has no future")


def test_a_shift_from_the_past_alone_is_not_warned_of(checkpoint, caplog):
    open_engine(checkpoint, device="cpu")
    assert not caplog.records


# Refusals


@pytest.mark.parametrize(("arguments", "named"), [
    ({"engine": "tvm"},
     "unknown engine 'tvm'; known: auto, compiled, onnxruntime, openvino, tensorrt, torch"),
    ({"device": "gpu"}, "unknown device 'gpu'; known: auto, cpu, cuda"),
    ({"threads": 0}, "threads is 0"),
    ({"engine": "torch"}, r"tiny\.onnx is an ONNX file, which the engine torch cannot run"),
])
def test_what_cannot_be_opened_is_named(graph_file, arguments, named):
    with pytest.raises(EngineError, match=named):
        open_engine(graph_file, **arguments)


def test_a_model_that_is_nowhere_is_named():
    with pytest.raises(CheckpointError, match="nowhere"):
        open_engine("nowhere.onnx")


# Foreign ONNX files


@pytest.fixture
def foreign(graph_file, tmp_path) -> Path:
    """Our graph as somebody else's: no card, other names, a fixed batch."""
    import onnx

    model = onnx.load(str(graph_file))
    del model.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    path = tmp_path / "foreign.onnx"
    onnx.save(model, str(path))
    return path


def test_a_foreign_graph_without_a_card_says_what_it_needs(foreign):
    with pytest.raises((CardError, CheckpointError), match=r"foreign\.onnx.*foreign\.yaml"):
        open_engine(foreign)


def test_a_foreign_graph_takes_its_card_from_yaml_beside_it(foreign, graph_file):
    card = {key: card_to_dict(CARD)[key] for key in ("architecture", "labels", "input_size",
                                                     "resize", "width_multiplier")}
    foreign.with_suffix(".yaml").write_text(json.dumps(card))  # JSON is YAML
    engine = open_engine(foreign, device="cpu")
    assert engine.card.labels == CARD.labels
    assert (logits_of(engine) == logits_of(open_engine(graph_file, device="cpu"))).all()
    inputs = np.random.default_rng(2).standard_normal((2, 3, 32, 32)).astype(np.float32)
    together, _ = engine.step(inputs, [engine.open_state()] * 2)  # its batch is one
    alone, _ = engine.step(inputs[1:], [engine.open_state()])
    assert (together[1] == alone[0]).all()


def test_a_foreign_graph_whose_labels_do_not_fit_names_both_numbers(foreign):
    foreign.with_suffix(".yaml").write_text("labels: [one, two]")
    with pytest.raises((CardError, CheckpointError, EngineError), match=r"2 labels.*3 classes"):
        open_engine(foreign)


# The official online network


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden values are not here")
@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_golden_logits_through_preprocessing_and_engine(name):
    expected = np.load(GOLDEN / "logits.npz")
    for colour in ("rgb", "bgr"):
        engine = open_engine(GOLDEN / "online_demo_layout.pth.tar", name, "cpu",
                             overrides={"colour": colour})
        preprocess = Preprocessor(engine.card)
        state, rows = engine.open_state(), []
        for path in sorted((GOLDEN / "frames").glob("*.png")):
            logits, (state,) = engine.step(preprocess(cv2.imread(str(path)))[None], [state])
            rows.append(logits[0])
        assert len(rows) == 16
        assert np.abs(np.array(rows) - expected[colour]).max() < 5e-4
