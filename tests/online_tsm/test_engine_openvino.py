"""The OpenVINO engine against torch and ONNX Runtime; refusals where it is not installed."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from foreign_graphs import SHAPELESS
from tiny_streams import CARD, frames, run

from models.checkpoints import save_model
from online_tsm.engine import EngineError, open_engine
from online_tsm.engine_onnx import OnnxEngine, open_session
from online_tsm.graphs import PRECISION_KEY

ROOT = Path(__file__).parents[2]
INSTALLED = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not INSTALLED, reason="openvino is not installed")


@pytest.fixture(scope="module")
def model(graph, tmp_path_factory):
    path = tmp_path_factory.mktemp("openvino") / "tiny.onnx"
    path.write_bytes(graph)
    return path


@pytest.fixture(scope="module")
def engine(model):
    return open_engine(model, "openvino")


@pytest.mark.skipif(INSTALLED, reason="openvino is installed")
def test_without_openvino_the_command_that_installs_it_is_named(model):
    with pytest.raises(EngineError, match="pip install openvino"):
        open_engine(model, "openvino")


@pytest.mark.parametrize(("engine", "precision", "named"), [
    ("onnxruntime", "bf16", "bf16 needs --engine openvino or torch"),
    ("auto", "bf16", "bf16 needs --engine openvino or torch"),
    ("openvino", "fp16", "fp16 needs --engine torch or compiled or tensorrt;"),
    ("onnxruntime", "fp64", "unknown precision 'fp64'; known: fp32, bf16, fp16"),
])
def test_a_precision_that_an_engine_does_not_know_is_named(model, engine, precision, named):
    with pytest.raises(EngineError, match=named):
        open_engine(model, engine, precision=precision)


@needs_openvino
def test_streaming_equals_the_clip_in_float32(engine, network):
    clip = frames(14)
    with torch.inference_mode():
        expected = network(torch.from_numpy(clip)[None])[0].numpy()
    assert np.abs(run(engine, clip) - expected).max() < 5e-4
    assert (engine.name, engine.device, engine.precision, engine.threads) == (
        "openvino", "cpu", "fp32", 1)
    assert engine.shifted_blocks == 10


@needs_openvino
@pytest.mark.parametrize(("graph", "named"), SHAPELESS)
def test_a_state_or_logits_without_a_shape_are_refused_with_the_reason(graph, named, tmp_path):
    (tmp_path / "foreign.onnx").write_bytes(graph)
    (tmp_path / "foreign.yaml").write_text("labels: [a, b, c]\ninput_size: [4, 4]\n")
    with pytest.raises(EngineError, match=f"foreign.onnx.*{named}"):
        open_engine(tmp_path / "foreign.onnx", "openvino")


@needs_openvino
def test_the_state_matters(engine):
    clip = frames(6)
    without = np.array([run(engine, clip[i:i + 1])[0] for i in range(6)])
    assert np.abs(run(engine, clip) - without).max(axis=1)[1:].min() > 0.05


@needs_openvino
def test_inputs_may_be_views_in_any_order_and_read_only(engine):
    inputs = frames(1)
    expected, _ = engine.step(inputs, [engine.open_state()])
    for made in (inputs.copy(), inputs[:, ::-1].copy()[:, ::-1]):
        made.setflags(write=False)
        assert (engine.step(made, [engine.open_state()])[0] == expected).all()


@needs_openvino
def test_a_state_that_is_kept_is_never_written_to(engine):
    clip = frames(8)
    _, (kept,) = engine.step(clip[:1], [engine.open_state()])
    expected, (state,) = engine.step(clip[1:2], [kept])
    copy = expected.copy()
    for frame in clip[2:]:
        _, (state,) = engine.step(frame[None], [state])
    assert (expected == copy).all()
    assert (engine.step(clip[1:2], [kept])[0] == copy).all()


@needs_openvino
def test_two_futures_of_one_state_are_kept_apart(engine):
    clip = frames(4)
    _, (root,) = engine.step(clip[:1], [engine.open_state()])
    _, (one,) = engine.step(clip[1:2], [root])
    _, (two,) = engine.step(clip[2:3], [root])
    for state, frame in ((one, 1), (two, 2)):
        expected = run(engine, clip[[0, frame, 3]])[2]
        assert np.abs(engine.step(clip[3:], [state])[0] - expected).max() < 1e-4


@needs_openvino
def test_streams_in_a_batch_do_not_leak_change_places_and_reset_alone(engine):
    clips = frames(3, 6)
    states = [engine.open_state() for _ in range(3)]
    rows = []
    for t in range(6):
        if t == 3:
            states[1] = engine.open_state()
        logits, states = engine.step(clips[:, t].copy(), states)
        rows.append(logits)
    together = np.stack(rows, axis=1)
    assert np.abs(together[0] - run(engine, clips[0])).max() < 1e-4
    assert np.abs(together[2] - run(engine, clips[2])).max() < 1e-4
    assert np.abs(together[1, 3:] - run(engine, clips[1, 3:])).max() < 1e-4
    assert np.abs(together[1, 3:] - run(engine, clips[1])[3:]).max() > 0.01  # it did reset


@needs_openvino
def test_a_steady_stream_uses_its_state_tensors_again(model):
    engine = open_engine(model, "openvino")
    clip = frames(20)
    states = [engine.open_state() for _ in range(7)]
    seen = set()
    for frame in clip:
        for phase in range(7):
            _, (states[phase],) = engine.step(frame[None], [states[phase]])
            seen.add(states[phase].set.place[0].data.ctypes.data)
    assert len(seen) <= 8  # 140 steps, seven phases and a spare one
    assert len(engine._compiled[1].kept) <= 9  # one a pair of sets, and the spare one


SIGNALLED = """
import faulthandler, gc, os, signal, sys, numpy
from online_tsm.engine import open_engine

faulthandler.enable()  # as pytest does: signals have a stack of their own then
engines = [open_engine(sys.argv[1], "openvino") for _ in range(2)]
for engine in engines:
    engine.step(numpy.zeros((1, 3, 32, 32), numpy.float32), [engine.open_state()])
while engines:  # the first one goes first
    del engine, engines[0]
    gc.collect()
    engine = None
signal.signal(signal.SIGUSR1, lambda *_: print("told"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


@needs_openvino
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signals")
def test_a_signal_after_engines_have_gone_does_not_end_the_process(model):
    done = subprocess.run([sys.executable, "-c", SIGNALLED, str(model)], check=False,
                          text=True, capture_output=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr


@pytest.fixture(scope="module")
def in_bf16(model):
    try:
        return open_engine(model, "openvino", precision="bf16")
    except EngineError as error:
        return pytest.skip(str(error))


@needs_openvino
def test_bf16_by_request_is_near(model, in_bf16):
    clip = frames(8)
    exact = run(OnnxEngine(open_session(model), CARD, "tiny.onnx"), clip)
    difference = np.abs(run(in_bf16, clip) - exact).max()
    assert 1e-4 < difference < 0.25 * np.abs(exact).max()


@needs_openvino
def test_in_bf16_states_take_half_the_bytes_and_join_a_batch(in_bf16):
    clips = frames(2, 2)
    states = [in_bf16.step(clip[:1], [in_bf16.open_state()])[1][0] for clip in clips]
    assert states[0].set.place[0].byte_size == 2 * states[0].set.place[0].size
    logits, _ = in_bf16.step(clips[:, 1].copy(), states)
    alone = np.array([run(in_bf16, clip)[1] for clip in clips])
    without = np.array([run(in_bf16, clip[1:])[0] for clip in clips])
    assert np.abs(logits - alone).max() < np.abs(without - alone).max() / 5


@needs_openvino
def test_a_graph_that_is_rounded_already_is_told_as_such(model, tmp_path):
    rounded = onnx.load(model)
    rounded.metadata_props.add(key=PRECISION_KEY, value="int8")
    onnx.save(rounded, tmp_path / "int8.onnx")
    engine = open_engine(tmp_path / "int8.onnx", "openvino")
    assert engine.precision == "int8"
    assert np.isfinite(run(engine, frames(2))).all()


@needs_openvino
def test_a_checkpoint_is_run_by_its_graph(network, tmp_path, monkeypatch):
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.safetensors"
    save_model(network, CARD, path)
    clip = frames(3)
    assert np.abs(run(open_engine(path, "openvino"), clip)
                  - run(open_engine(path, "onnxruntime"), clip)).max() < 5e-4


@needs_openvino
def test_a_device_that_it_cannot_use_is_named(model):
    with pytest.raises(EngineError, match="OpenVINO cannot use an NVIDIA GPU"):
        open_engine(model, "openvino", "cuda")
