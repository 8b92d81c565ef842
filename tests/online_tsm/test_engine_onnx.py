"""The ONNX Runtime engine: our graph against torch, batches, foreign graphs, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from seeding import seed_weights

from models.build import build_network
from models.card import ModelCard
from online_tsm.engine import EngineError
from online_tsm.engine_onnx import NO_GRAPH, TENSORRT, OnnxEngine, _providers, open_session
from online_tsm.export import export_network

CARD = ModelCard(name="tiny", architecture="mobilenet_v2", labels=("a", "b", "c"),
                 input_size=(32, 32), resize="whole-frame", width_multiplier=0.25)


@pytest.fixture(scope="module")
def network():
    return seed_weights(build_network(CARD))


@pytest.fixture(scope="module")
def graph(network) -> bytes:
    return export_network(network, CARD, "0" * 64)


@pytest.fixture
def engine(graph) -> OnnxEngine:
    return OnnxEngine(open_session(graph), CARD, "tiny.onnx")


def frames(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((*shape, 3, 32, 32)).astype(np.float32)


def run(engine, clip: np.ndarray, state=None) -> np.ndarray:
    """Logits [T, K] of one stream over a clip [T, 3, h, w]."""
    state = engine.open_state() if state is None else state
    rows = []
    for frame in clip:
        logits, (state,) = engine.step(frame[None], [state])
        rows.append(logits[0])
    return np.array(rows)


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


# CUDA graphs. Without a GPU, everything but the capture: a session on the CPU ignores its number.


@pytest.fixture
def capturing(engine) -> OnnxEngine:
    engine._captures = True
    return engine


@pytest.fixture
def replayed(capturing, monkeypatch) -> list[tuple[str, tuple[int, ...]]]:
    """For each run the number of its graph, and where all lay that it read and wrote."""
    seen = []
    real = capturing._session.run_with_iobinding

    def run_with_iobinding(io, options):
        bound = [*io._bound_inputs.values(), *io._bound_outputs.values()]
        seen.append((options.get_run_config_entry("gpu_graph_id"),
                     tuple(value.data_ptr() for value in bound)))
        real(io, options)

    monkeypatch.setattr(capturing._session, "run_with_iobinding", run_with_iobinding)
    return seen


@pytest.mark.parametrize("phases", [1, 7])
def test_a_captured_graph_reads_and_writes_the_same_places_at_every_replay(
        capturing, network, replayed, phases):
    clips = frames(phases, 6)
    states = [capturing.open_state() for _ in clips]
    rows = np.empty((phases, 6, 3), np.float32)
    for t in range(6):
        for phase in range(phases):
            logits, (states[phase],) = capturing.step(clips[phase, t:t + 1], [states[phase]])
            rows[phase, t] = logits[0]
    with torch.inference_mode():
        assert np.abs(rows - network(torch.from_numpy(clips)).numpy()).max() < 5e-4
    places = {}
    for number, where in replayed:
        if number != NO_GRAPH:
            assert places.setdefault(number, where) == where
    assert [number for number, _ in replayed[:phases]] == [NO_GRAPH] * phases  # from the zeros
    assert len(places) == phases + 1  # a ring of as many sets
    assert len(set(places.values())) == len(places)


def test_streams_that_are_brought_together_are_never_captured(capturing, replayed):
    clips = frames(2, 3)
    states = [capturing.step(clip[:1], [capturing.open_state()])[1][0] for clip in clips]
    _, states = capturing.step(clips[:, 1].copy(), states)  # their states are copied side by side
    logits, _ = capturing.step(clips[:, 2].copy(), states)  # where they lie now
    numbers = [number for number, _ in replayed]
    assert numbers[:3] == [NO_GRAPH] * 3
    assert numbers[3] != NO_GRAPH
    assert np.abs(logits[1] - run(capturing, clips[1])[2]).max() < 1e-4


def test_batches_of_other_numbers_have_graphs_of_their_own(capturing, replayed):
    clips = frames(2, 4)
    state = capturing.open_state()
    states = [capturing.open_state() for _ in clips]
    for t in range(4):
        _, (state,) = capturing.step(clips[:1, t], [state])
        _, states = capturing.step(clips[:, t].copy(), states)
    places = {}
    for number, where in replayed:
        if number != NO_GRAPH:
            assert places.setdefault(number, where) == where
    assert len(places) >= 4


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


# Foreign graphs: logits = mean of image and state, next state = image + half the state.


def foreign(batch: int | str = 1, classes: int = 3, rename: tuple[str, ...] = (),
            size: int | str = 4, kind: int = TensorProto.FLOAT) -> bytes:
    names = dict(zip(("i0", "i1", "o0", "o1"), rename or ("i0", "i1", "o0", "o1"), strict=True))
    shape = [batch, classes, size, size]
    nodes = [
        helper.make_node("Add", [names["i0"], names["i1"]], ["sum"]),
        helper.make_node("ReduceMean", ["sum"], [names["o0"]], axes=[2, 3], keepdims=0),
        helper.make_node("Mul", [names["i1"], "half"], ["less"]),
        helper.make_node("Add", [names["i0"], "less"], [names["o1"]]),
    ]
    half = helper.make_tensor("half", kind, [1], [0.5])
    graph = helper.make_graph(
        nodes, "foreign",
        [helper.make_tensor_value_info(names[n], kind, shape) for n in ("i0", "i1")],
        [helper.make_tensor_value_info(names["o0"], kind, [batch, classes]),
         helper.make_tensor_value_info(names["o1"], kind, shape)], [half])
    return _model(graph)


def _model(graph) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString()


SMALL = ModelCard(name="foreign", architecture="mobilenet_v2", labels=("a", "b", "c"),
                  input_size=(4, 4), resize="whole-frame")


@pytest.mark.parametrize("batch", [1, "n"])
@pytest.mark.parametrize("rename", [(), ("x", "s0", "y", "ns0")])
def test_a_foreign_graph_serves_several_streams(batch, rename):
    engine = OnnxEngine(open_session(foreign(batch, rename=rename)), SMALL, "foreign.onnx")
    clips = np.random.default_rng(1).standard_normal((3, 4, 3, 4, 4)).astype(np.float32)
    states = [engine.open_state() for _ in range(3)]
    memory = np.zeros_like(clips[:, 0])
    for t in range(4):
        logits, states = engine.step(clips[:, t].copy(), states)
        assert np.abs(logits - (clips[:, t] + memory).mean(axis=(2, 3))).max() < 1e-5
        memory = clips[:, t] + memory / 2
    assert engine.shifted_blocks == 1


def clip_model() -> bytes:
    node = helper.make_node("ReduceMean", ["clip"], ["logits"], axes=[2, 3, 4], keepdims=0)
    return _model(helper.make_graph(
        [node], "clip",
        [helper.make_tensor_value_info("clip", TensorProto.FLOAT, [1, 3, 8, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])]))


def image_model() -> bytes:
    node = helper.make_node("ReduceMean", ["image"], ["logits"], axes=[2, 3], keepdims=0)
    return _model(helper.make_graph(
        [node], "image",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])]))


def shrinking_state() -> bytes:
    shapes = {"image": [1, 3, 4, 4], "state": [1, 3, 4, 4], "logits": [1, 3], "next": [1, 3, 1, 1]}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
              for name, shape in shapes.items()]
    nodes = [helper.make_node("ReduceMean", ["image"], ["logits"], axes=[2, 3], keepdims=0),
             helper.make_node("GlobalAveragePool", ["state"], ["next"])]
    return _model(helper.make_graph(nodes, "shrinking", values[:2], values[2:]))


def with_state(shape: list[int] | None, kind: int = TensorProto.FLOAT,
               logits: tuple[int, ...] = (1, 3)) -> bytes:
    """A graph whose state goes through as it is."""
    axes = {"axes": [2, 3]} if logits else {}
    nodes = [helper.make_node("ReduceMean", ["image"], ["logits"], keepdims=0, **axes),
             helper.make_node("Identity", ["state"], ["next"])]
    return _model(helper.make_graph(
        nodes, "stateful",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4]),
         helper.make_tensor_value_info("state", kind, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, logits),
         helper.make_tensor_value_info("next", kind, shape)]))


SHAPELESS = [  # and what is said of each
    (with_state([]), "state has no shape, or is a single number"),
    (with_state(None), "state has no shape, or is a single number"),
    (with_state([], TensorProto.INT64), "state is .*64.*only float32"),
    (with_state([1, 4], logits=()), "logits has no shape, or is a single number"),
]


@pytest.mark.parametrize(("graph", "named"), [
    *SHAPELESS,
    (clip_model(), "takes whole clips .* no online network"),
    (image_model(), "1 inputs and 1 outputs"),
    (shrinking_state(), r"state \[1, 3, 4, 4\] and next \[1, 3, 1, 1\]"),
    (foreign(batch=2), "is for 2 streams at once"),
    (foreign(size="side"), "is not fixed"),
    (foreign(kind=TensorProto.DOUBLE), "only float32"),
])
def test_a_graph_that_is_no_online_network_is_refused_with_the_reason(graph, named):
    session = open_session(graph)
    with pytest.raises(EngineError, match=f"foreign.onnx.*{named}"):
        OnnxEngine(session, SMALL, "foreign.onnx")


@pytest.mark.parametrize("content", [b"", b"no graph at all", None])
def test_a_file_that_is_no_graph_is_named(tmp_path: Path, content, graph):
    path = tmp_path / "broken.onnx"
    path.write_bytes(graph[:5000] if content is None else content)
    with pytest.raises(EngineError, match=r"broken\.onnx"):
        open_session(path)


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
