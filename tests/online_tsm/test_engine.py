"""Opening an engine: what is taken, what is refused and why, what is imported; golden logits."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from seeding import seed_weights

from models.build import build_network
from models.card import CardError, ModelCard, card_to_dict
from models.checkpoints import DEFAULT_MODEL, CheckpointError, resolve, save_model
from online_tsm import engine as engines
from online_tsm import graphs
from online_tsm.engine import EngineError, nvidia_visible, open_engine
from online_tsm.export import export_network
from online_tsm.preprocess import Preprocessor

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT.parent / "shared" / "golden"
CARD = ModelCard(name="tiny", architecture="mobilenet_v2", labels=("a", "b", "c"),
                 input_size=(32, 32), resize="whole-frame", width_multiplier=0.25)
needs_no_gpu = pytest.mark.skipif(nvidia_visible(), reason="there is an NVIDIA GPU here")
needs_gpu = pytest.mark.skipif(not nvidia_visible(), reason="there is no NVIDIA GPU here")


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory) -> Path:
    """An export costs half a second, so most tests share theirs."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache(shared_cache, monkeypatch):
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(shared_cache))


@pytest.fixture
def own_graphs(tmp_path, monkeypatch) -> Path:
    """Where graphs are kept, for one test alone; nothing is there yet."""
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "graphs"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_model(seed_weights(build_network(CARD)), CARD, path)
    return path


@pytest.fixture(scope="module")
def graph_file(checkpoint) -> Path:
    """Our own graph with its weights and its card inside."""
    path = checkpoint.with_name("exported") / "tiny.onnx"
    path.parent.mkdir()
    path.write_bytes(export_network(seed_weights(build_network(CARD)), CARD, "0" * 64))
    return path


def logits_of(engine, steps: int = 4) -> np.ndarray:
    clip = np.random.default_rng(5).standard_normal((steps, 1, 3, *engine.card.input_size))
    state, rows = engine.open_state(), []
    for frame in clip.astype(np.float32):
        logits, (state,) = engine.step(frame, [state])
        rows.append(logits[0])
    return np.array(rows)


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100,
        check=False, env={**os.environ, "OMP_NUM_THREADS": "1", **environment})


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


# The graph beside a checkpoint, and the one kept from last time


def forbid_export(monkeypatch) -> None:
    def fail(*_args, **_changes):
        raise AssertionError("it was exported again")

    monkeypatch.setattr("online_tsm.export.export_network", fail)


def test_the_shipped_graph_belongs_to_the_shipped_weights(monkeypatch):
    # After any change to the .safetensors file: python -m online_tsm.export MODEL --beside
    forbid_export(monkeypatch)
    engine = open_engine(DEFAULT_MODEL, device="cpu")
    assert np.abs(logits_of(engine) - logits_of(open_engine(DEFAULT_MODEL, "torch", "cpu"))
                  ).max() < 5e-4
    assert resolve(DEFAULT_MODEL).with_suffix(".onnx").stat().st_size < 200_000


def test_a_graph_is_kept_and_used_again(checkpoint, own_graphs, monkeypatch):
    first = logits_of(open_engine(checkpoint, device="cpu"))
    assert len(list(own_graphs.iterdir())) == 1
    forbid_export(monkeypatch)
    assert (logits_of(open_engine(checkpoint, device="cpu")) == first).all()


@pytest.fixture
def kept(checkpoint, shared_cache, tmp_path, monkeypatch) -> Path:
    """The checkpoint's graph in a cache of this test's own."""
    open_engine(checkpoint, device="cpu")
    shutil.copytree(shared_cache, tmp_path / "cache")
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "cache"))
    key = graphs.graph_key(CARD, graphs.file_digest(checkpoint))
    return next(path for path in (tmp_path / "cache" / "graphs").iterdir()
                if graphs.holds_key(path, key))


@pytest.mark.parametrize("damage", ["cut", "garbage", "spoilt"])
def test_a_damaged_graph_is_made_anew(checkpoint, kept, caplog, damage):
    first = logits_of(open_engine(checkpoint, device="cpu"))
    whole = kept.read_bytes()
    kept.write_bytes({"cut": whole[:-3000], "garbage": b"x" * 500,
                      "spoilt": b"\xff" * 3000 + whole[3000:]}[damage])
    with caplog.at_level(logging.WARNING):
        assert (logits_of(open_engine(checkpoint, device="cpu")) == first).all()
    assert len(kept.read_bytes()) == len(whole)
    assert {path.suffix for path in kept.parent.iterdir()} == {".onnx"}  # nothing left aside


def test_a_graph_of_other_weights_is_ignored(checkpoint, own_graphs, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(checkpoint.read_bytes())
    beside = path.with_suffix(".onnx")
    beside.write_bytes(export_network(seed_weights(build_network(CARD)), CARD,
                                      graphs.file_digest(path)))
    old = logits_of(open_engine(path, device="cpu"))
    assert not own_graphs.exists()  # it was used
    save_model(seed_weights(build_network(CARD), seed=1), CARD, path)
    new = logits_of(open_engine(path, device="cpu"))
    assert np.abs(new - old).max() > 0.1
    assert np.abs(new - logits_of(open_engine(path, "torch", "cpu"))).max() < 5e-4


def test_a_cache_that_cannot_be_written_only_costs_time(checkpoint, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert open_engine(checkpoint, device="cpu").name == "onnxruntime"
    assert "could not be kept" in caplog.text


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


# CUDA


@needs_no_gpu
@pytest.mark.parametrize("engine", ["auto", "onnxruntime", "tensorrt", "torch"])
def test_cuda_without_a_gpu_is_an_error_that_says_so(checkpoint, engine):
    with pytest.raises(EngineError, match="no NVIDIA GPU"):
        open_engine(checkpoint, engine, "cuda")


@needs_no_gpu
def test_torch_computes_in_half_precision_on_a_gpu_alone(checkpoint):
    with pytest.raises(EngineError, match="fp16 on an NVIDIA GPU alone"):
        open_engine(checkpoint, "torch", "cpu", precision="fp16")


MENDED = 'pip install "onnxruntime-gpu[cuda,cudnn]==1.31.1"'


@needs_no_gpu
def test_a_gpu_that_is_not_granted_is_explained_quietly(graph_file):
    # The driver shows itself, but the CUDA libraries do not load: real ONNX Runtime, real failure.
    code = ("from online_tsm import engine\n"
            "engine.nvidia_visible = lambda: True\n"
            f"opened = engine.open_engine({str(graph_file)!r})\n"
            "print(opened.device, opened.provider)\n"
            "print(opened.note)\n"
            f"try: engine.open_engine({str(graph_file)!r}, device='cuda')\n"
            "except engine.EngineError as error: print(error)\n")
    done = python(code)
    assert done.stderr == ""  # none of ONNX Runtime's red lines
    device, note, refused = done.stdout.splitlines()
    assert device == "cpu CPUExecutionProvider"
    assert note.startswith("ONNX Runtime on the CPU, 1 thread; an NVIDIA GPU is present")
    assert refused.startswith("ONNX Runtime was not granted the NVIDIA GPU")
    for line in (note, refused):
        assert MENDED in line
        assert "preload_dlls()" in line


@needs_no_gpu
def test_torch_serves_where_onnxruntime_has_no_cuda(checkpoint, monkeypatch):
    # No GPU here: torch is only told that it has one, and then loads onto the CPU.
    monkeypatch.setattr(engines, "nvidia_visible", lambda: True)
    monkeypatch.setattr(engines, "torch_cuda", lambda: True)
    asked = []

    def on_cpu(load, device, threads, precision="fp32"):
        asked.append(device)
        network, card = load("cpu")
        from online_tsm.engine_torch import TorchEngine
        return TorchEngine(network, card, "cpu", threads)

    monkeypatch.setattr(engines, "_open_torch", on_cpu)
    engine = open_engine(checkpoint)
    assert (engine.name, asked) == ("torch", ["cuda"])
    assert engine.note.startswith("torch on the NVIDIA GPU; ONNX Runtime was not granted it.")
    assert MENDED in engine.note


@needs_no_gpu
@pytest.mark.parametrize(("device", "named"), [
    ("cpu", "TensorRT runs on an NVIDIA GPU alone"), ("cuda", "pip install tensorrt")])
def test_what_tensorrt_lacks_is_named(checkpoint, monkeypatch, device, named):
    monkeypatch.setattr(engines, "nvidia_visible", lambda: True)
    with pytest.raises(EngineError, match=named):
        open_engine(checkpoint, "tensorrt", device)


@needs_gpu
@pytest.mark.parametrize("engine", ["onnxruntime", "tensorrt", "torch"])
def test_cuda_agrees_with_the_cpu(checkpoint, engine):
    try:
        on_gpu = open_engine(checkpoint, engine, "cuda")
    except EngineError as error:
        pytest.skip(str(error))
    assert on_gpu.device == "cuda"
    on_cpu = open_engine(checkpoint, engine, "cpu")
    assert np.abs(logits_of(on_gpu, 12) - logits_of(on_cpu, 12)).max() < 5e-4


# Refusals


@pytest.mark.parametrize(("arguments", "named"), [
    ({"engine": "tvm"},
     "unknown engine 'tvm'; known: auto, onnxruntime, openvino, tensorrt, torch"),
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


def test_torch_threads_are_those_asked_for(checkpoint):
    before = torch.get_num_threads()
    try:
        assert open_engine(checkpoint, "torch", "cpu", threads=2).threads == 2
    finally:
        torch.set_num_threads(before)
