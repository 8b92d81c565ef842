"""The ONNX Runtime engine: our graph against torch, states, batches, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny_streams import CARD, frames, run

from online_tsm.engine import EngineError
from online_tsm.engine_onnx import TENSORRT, OnnxEngine, _providers, open_session


@pytest.fixture
def engine(graph) -> OnnxEngine:
    return OnnxEngine(open_session(graph), CARD, "tiny.onnx")


def test_streaming_equals_the_clip(engine, network):
    clip = frames(14)
    with torch.inference_mode():
        expected = network(torch.from_numpy(clip)[None])[0].numpy()
    assert np.abs(run(engine, clip) - expected).max() < 5e-4


def test_the_state_matters(engine):
    clip = frames(6)
    without = np.array([run(engine, clip[i:i + 1])[0] for i in range(6)])
    assert np.abs(run(engine, clip) - without).max(axis=1)[1:].min() > 0.05


def test_a_state_can_be_stepped_from_twice(engine):
    clip = frames(3)
    _, (state,) = engine.step(clip[:1], [engine.open_state()])
    first, _ = engine.step(clip[1:2], [state])
    engine.step(clip[2:], [state])
    again, _ = engine.step(clip[1:2], [state])
    assert (first == again).all()


def test_two_futures_of_one_state_are_kept_apart(engine):
    clip = frames(4)
    _, (root,) = engine.step(clip[:1], [engine.open_state()])
    _, (one,) = engine.step(clip[1:2], [root])
    _, (two,) = engine.step(clip[2:3], [root])
    for state, frame in ((one, 1), (two, 2)):
        expected = run(engine, clip[[0, frame, 3]])[2]
        assert np.abs(engine.step(clip[3:], [state])[0] - expected).max() < 1e-4


def test_streams_in_a_batch_do_not_leak_and_reset_alone(engine):
    clips = frames(3, 9)
    states = [engine.open_state() for _ in range(3)]
    rows = []
    for t in range(9):
        if t == 5:
            states[1] = engine.open_state()
        logits, states = engine.step(clips[:, t].copy(), states)
        rows.append(logits)
    together = np.stack(rows, axis=1)
    assert np.abs(together[0] - run(engine, clips[0])).max() < 1e-4
    assert np.abs(together[2] - run(engine, clips[2])).max() < 1e-4
    assert np.abs(together[1, :5] - run(engine, clips[1, :5])).max() < 1e-4
    assert np.abs(together[1, 5:] - run(engine, clips[1, 5:])).max() < 1e-4
    assert np.abs(together[1, 5:] - run(engine, clips[1])[5:]).max() > 0.01  # it did reset


def test_streams_may_join_leave_and_change_places(engine):
    clips = frames(2, 4)
    states = [engine.open_state() for _ in range(2)]
    _, (first, second) = engine.step(clips[:, 0].copy(), states)
    swapped, (second, first) = engine.step(clips[::-1, 1].copy(), [second, first])
    alone, (first,) = engine.step(clips[:1, 2], [first])
    expected = run(engine, clips[0]), run(engine, clips[1])
    assert np.abs(swapped[1] - expected[0][1]).max() < 1e-4
    assert np.abs(swapped[0] - expected[1][1]).max() < 1e-4
    assert np.abs(alone[0] - expected[0][2]).max() < 1e-4


def test_earlier_logits_keep_their_values(engine):
    clip = frames(40)
    kept, copies, state = [], [], engine.open_state()
    for frame in clip:
        logits, (state,) = engine.step(frame[None], [state])
        kept.append(logits)
        copies.append(logits.copy())
    assert (np.array(kept) == np.array(copies)).all()


def test_what_the_engine_says_of_itself(engine):
    assert (engine.name, engine.device, engine.provider) == (
        "onnxruntime", "cpu", "CPUExecutionProvider")
    assert (engine.precision, engine.threads, engine.shifted_blocks) == ("fp32", 1, 10)


@pytest.mark.parametrize(("inputs", "states", "named"), [
    (np.zeros((1, 3, 32, 31), np.float32), 1, r"\[1, 3, 32, 31\]"),
    (np.zeros((1, 3, 32, 32)), 1, "float64"),
    (np.zeros((3, 32, 32), np.float32), 1, r"\[3, 32, 32\]"),
    (np.zeros((2, 3, 32, 32), np.float32), 1, "1 states for 2 inputs"),
    (np.zeros((0, 3, 32, 32), np.float32), 0, "0 states for 0 inputs"),
])
def test_a_step_that_does_not_fit_is_named(engine, inputs, states, named):
    with pytest.raises(EngineError, match=named):
        engine.step(inputs, [engine.open_state()] * states)


@pytest.mark.parametrize(("changes", "named"), [
    ({"labels": ("a", "b")}, "has 3 classes, but the card names 2 labels"),
    ({"input_size": (64, 64)}, r"takes images .*32, 32.* but the card says \[3, 64, 64\]"),
])
def test_a_card_that_does_not_fit_is_named(graph, changes, named):
    with pytest.raises(EngineError, match=f"tiny.onnx.*{named}"):
        OnnxEngine(open_session(graph), CARD.replace(**changes), "tiny.onnx")


def test_tensorrt_keeps_what_it_built_in_a_folder_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "new" / "cache"))
    for precision, half in (("fp16", "1"), ("fp32", "0")):
        (name, options), *others = _providers(TENSORRT, precision, capture=True)
        assert (name, options["trt_fp16_enable"]) == (TENSORRT, half)
        assert Path(options["trt_engine_cache_path"]).is_dir()
        assert others[0][1] == {"use_tf32": "0"}  # what TensorRT leaves is not captured


def test_our_graph_asks_for_no_shapes_at_run_time(graph):
    # Shape arithmetic would run on the CPU in the middle of a pass on the GPU.
    kinds = {node.op_type for node in onnx.load_model_from_string(graph).graph.node}
    assert not kinds & {"Shape", "Gather", "If", "Loop"}
