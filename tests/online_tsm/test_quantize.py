"""INT8: the graph that comes out, its states, and how its decisions are told."""

from __future__ import annotations

import os
import stat

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from foreign_graphs import foreign
from onnx import helper, numpy_helper
from seeding import seed_weights
from tiny_streams import CARD

from models.build import build_network
from models.checkpoints import save_model
from online_tsm import quantize
from online_tsm.engine import open_engine
from online_tsm.export import export_network
from online_tsm.faithful import Faithfulness, engine_logits
from online_tsm.graphs import write_atomically


def pictures(n: int) -> list[np.ndarray]:
    """Frames that differ as a whole, so that the network's decisions do."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (1, 1, 3), np.uint8) // 2
            + rng.integers(0, 127, (40, 40, 3), np.uint8) for _ in range(n)]


@pytest.fixture(scope="module")
def graph() -> bytes:
    return export_network(seed_weights(build_network(CARD)), CARD, "0" * 64)


@pytest.fixture(scope="module")
def inputs() -> np.ndarray:
    return quantize.network_inputs(CARD, pictures(24), 24)


@pytest.fixture(scope="module")
def int8(graph, inputs) -> bytes:
    return quantize.quantised(graph, inputs[:16])


def kinds(graph: bytes) -> dict[str, list[str]]:
    """The types of the weights of each convolution, and of the activations that it reads."""
    model = onnx.load_model_from_string(graph).graph
    made = {output: node for node in model.node for output in node.output}
    types = {tensor.name: tensor.data_type for tensor in model.initializer}
    found: dict[str, list[str]] = {"weights": [], "activations": []}
    for node in model.node:
        if node.op_type == "Conv":
            for kind, name in zip(found, (node.input[1], node.input[0]), strict=True):
                source = made.get(name)
                of = types[source.input[2]] if source is not None and len(
                    source.input) > 2 and source.op_type == "DequantizeLinear" else 1
                found[kind].append(onnx.TensorProto.DataType.Name(of))
    return found


def test_weights_are_signed_and_activations_unsigned(int8):
    found = kinds(int8)
    assert found == {"weights": ["INT8"] * 52, "activations": ["UINT8"] * 52}


def test_weights_have_a_scale_a_channel(int8):
    model = onnx.load_model_from_string(int8).graph
    scales = {tensor.name: list(tensor.dims) for tensor in model.initializer}
    weights = {tensor.name: list(tensor.dims) for tensor in model.initializer
               if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4}
    assert len(weights) == 52
    for node in model.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in weights:
            assert scales[node.input[1]] == weights[node.input[0]][:1]


def test_it_is_a_model_like_any_other(int8, graph, inputs, tmp_path):
    path = tmp_path / "int8.onnx"
    path.write_bytes(int8)
    engine = open_engine(path)
    assert (engine.precision, engine.card.labels) == ("int8", CARD.labels)
    logits = engine_logits(engine, inputs)
    exact = tmp_path / "fp32.onnx"
    exact.write_bytes(graph)
    expected = engine_logits(open_engine(exact), inputs)
    assert 1e-3 < np.abs(logits - expected).mean() < 0.5 * np.abs(expected).mean()
    alone = np.stack([engine_logits(engine, frame[None])[0] for frame in inputs])
    assert np.abs(logits - alone)[1:].max() > 0.05  # its states matter


def in_float(graph: bytes, inputs: np.ndarray) -> np.ndarray:
    """Logits [T, K] of the graph as it is written: its rounded numbers, multiplied in float32."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    first, *others = session.get_inputs()
    state = [np.zeros([1, *one.shape[1:]], np.float32) for one in others]
    rows = []
    for frame in inputs:
        feed = {first.name: frame[None], **{o.name: s for o, s in zip(others, state, strict=True)}}
        logits, *state = session.run(None, feed)
        rows.append(logits[0])
    return np.stack(rows)


def test_no_sum_of_products_overflows_on_this_processor(int8, inputs, tmp_path):
    path = tmp_path / "int8.onnx"
    path.write_bytes(int8)
    expected = in_float(int8, inputs)
    difference = np.abs(engine_logits(open_engine(path), inputs) - expected)
    assert difference.max() < 0.1 * np.abs(expected).max()


def test_the_first_layers_and_the_last_ones_can_stay_in_float32(graph, inputs):
    made = quantize.quantised(graph, inputs[:4], 1 / 3)
    assert kinds(made)["weights"] == ["FLOAT"] * 18 + ["INT8"] * 33 + ["FLOAT"]  # and the last
    model = onnx.load_model_from_string(made).graph
    sources = {output: node.op_type for node in model.node for output in node.output}
    sums = [[sources[name] for name in node.input] for node in model.node if node.op_type == "Add"]
    rounded = ["DequantizeLinear" in kinds for kinds in sums]
    assert rounded == [False] * 3 + [True] * 7  # what a stream sums up is not rounded there either


def test_as_little_stays_in_float32_as_it_takes(graph, monkeypatch):
    found = {0.0: Faithfulness(2.0, 9.0, 0.5), 1 / 3: Faithfulness(1.0, 9.0, 0.4),
             1 / 2: Faithfulness(3.0, 9.0, 0.3), 2 / 3: Faithfulness(4.0, 9.0, 0.2)}
    shares: list[float] = []

    def quantised(_graph, _inputs, share):
        shares.append(share)
        return str(share).encode()

    monkeypatch.setattr(quantize, "quantised", quantised)
    monkeypatch.setattr(quantize, "compare", lambda *_: found[shares[-1]])
    def share() -> float:
        return quantize.make(graph, graph, CARD, quantize.network_inputs(CARD, pictures(4), 4))[2]

    assert share() == 1 / 3  # none agrees: the nearest
    monkeypatch.setattr(quantize, "AGREEMENT", 0.5)
    shares.clear()
    assert share() == 0.0  # enough: nothing else is tried
    assert shares == [0.0]


def test_no_two_neighbours_that_are_summed_exceed_16_bits_together(int8):
    model = onnx.load_model_from_string(int8)
    weights = [numpy_helper.to_array(tensor).astype(int) for tensor in model.graph.initializer
               if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4]
    largest = 0
    for values in weights:
        if values.shape[1] > 1:  # not depthwise
            rows = values.transpose(0, 2, 3, 1).reshape(len(values), -1)
            largest = max(largest, int(np.abs(rows[:, 1:] + rows[:, :-1]).max()))
    assert 120 < largest <= 128  # times 255 it fits, and no bit is wasted
    assert max(int(np.abs(values).max()) for values in weights if values.shape[1] == 1) == 127


@pytest.mark.parametrize("last", ["Gemm", "MatMul"])
def test_graphs_of_others_with_groups_and_a_last_layer_the_other_way_round(last, inputs):
    """Weights [inputs, outputs], and a convolution of two groups, all of one sign."""
    rng = np.random.default_rng(0)
    shapes = {"stem": (16, 3, 3, 3), "grouped": (16, 8, 1, 1), "last": (16, 5), "bias": (5,)}
    weights = {name: rng.uniform(0.8, 1, shape) for name, shape in shapes.items()}
    nodes = [helper.make_node("Conv", ["frame", "stem"], ["a"]),
             helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("Conv", ["b", "grouped"], ["c"], group=2),
             helper.make_node("GlobalAveragePool", ["c"], ["d"]),
             helper.make_node("Flatten", ["d"], ["e"]),
             helper.make_node(last, ["e", "last", "bias"][:3 if last == "Gemm" else 2], ["logits"])]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name, shape in (("frame", [1, 3, 32, 32]), ("logits", [1, 5]))]
    model = helper.make_model(helper.make_graph(
        nodes, last, ends[:1], ends[1:],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()]),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    made = quantize.quantised(model.SerializeToString(), inputs[:8])
    stored = {tensor.name.removesuffix("_quantized"): numpy_helper.to_array(tensor).astype(int)
              for tensor in onnx.load_model_from_string(made).graph.initializer}
    grouped, final = stored["grouped"][:, :, 0, 0], stored["last"].T
    for rows in (grouped, final):  # the channels that an output sums up
        assert 100 < np.abs(rows[:, 1:] + rows[:, :-1]).max() <= 128
    expected = in_float(model.SerializeToString(), inputs)
    assert np.abs(in_float(made, inputs) - expected).max() < 0.05 * np.abs(expected).max()


def test_what_a_weight_of_127_stands_for():
    weights = np.array([[3, 1, -5, 0], [3, 4, 0, 4], [0, 0, 0, 0]], np.float32)
    assert quantize.safe_ranges(weights, False).tolist()[:2] == [5, 4]
    assert quantize.safe_ranges(weights, True).tolist()[:2] == [5, 7]
    assert quantize.safe_ranges(weights, True)[2] > 0  # a dead channel has a range, too
    places = np.zeros((1, 2, 1, 2), np.float32)
    places[0, 0, 0] = [1, 0]
    places[0, 1, 0] = [2, 4]
    assert quantize.safe_ranges(places, True).tolist() == [6]  # the channel's places in a row


def test_what_does_not_agree_is_said(graph, tmp_path, monkeypatch, capsys):
    path, out = tmp_path / "tiny.onnx", tmp_path / "int8.onnx"
    path.write_bytes(graph)
    monkeypatch.setattr(quantize, "AGREEMENT", 1.01)
    monkeypatch.setattr(quantize, "read_frames", lambda video, limit: pictures(12))
    assert quantize.main([str(path), str(out)]) == 0
    said = capsys.readouterr().out
    assert "of 6 frames that it was not calibrated on" in said
    assert "warning: fewer than 101%" in said
    assert out.stat().st_size < len(graph)


def test_beside_its_checkpoint_it_is_not_taken_by_itself(tmp_path, monkeypatch):
    path = tmp_path / "tiny.safetensors"
    save_model(seed_weights(build_network(CARD)), CARD, path)
    monkeypatch.setattr(quantize, "read_frames", lambda video, limit: pictures(12))
    assert quantize.main([str(path), str(path.with_suffix(".onnx"))]) == 0
    assert open_engine(path.with_suffix(".onnx")).precision == "int8"
    assert open_engine(path, "onnxruntime", "cpu").precision == "fp32"


@pytest.mark.parametrize(("arguments", "named"), [
    (["nowhere", "out.onnx"], "nowhere is no file"),
    (["mobilenet_v2_rendered", "out.onnx", "--frames", "nowhere.mp4"], "read from nowhere.mp4"),
])
def test_what_cannot_be_read_is_a_sentence(arguments, named, capsys):
    assert quantize.main(arguments) == 2
    assert named in capsys.readouterr().err


def test_a_single_picture_calibrates_nothing(graph, tmp_path, capsys):
    path, picture = tmp_path / "tiny.onnx", tmp_path / "one.png"
    path.write_bytes(graph)
    cv2.imwrite(str(picture), pictures(1)[0])
    assert quantize.main([str(path), str(tmp_path / "out.onnx"), "--frames", str(picture)]) == 2
    assert f"{picture} has a single frame" in capsys.readouterr().err


@pytest.mark.parametrize(("made", "named"), [
    (foreign(size="s"), "the shape of i1 [1, 3, 's', 's'] is not fixed"),
    (foreign(kind=onnx.TensorProto.FLOAT16), "only float32 is run here"),
    (foreign(batch=2), "is for 2 streams at once"),
])
def test_a_graph_that_no_engine_runs_is_told_as_by_an_engine(made, named, tmp_path, capsys):
    path = tmp_path / "foreign.onnx"
    path.write_bytes(made)
    path.with_suffix(".yaml").write_text("{labels: [a, b, c], input_size: [4, 4]}")
    assert quantize.main([str(path), str(tmp_path / "out.onnx")]) == 2
    assert named in capsys.readouterr().err


def test_what_is_int8_already_is_told(int8, tmp_path, capsys):
    path = tmp_path / "int8.onnx"
    path.write_bytes(int8)
    assert quantize.main([str(path), str(tmp_path / "again.onnx")]) == 2
    assert "int8.onnx is INT8 already" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_only_an_ordinary_file_is_replaced_and_a_link_stays_one(tmp_path):
    pipe, real, link = tmp_path / "pipe", tmp_path / "real", tmp_path / "link"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="no ordinary file"):
        write_atomically(pipe, b"new")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    real.write_bytes(b"old")
    link.symlink_to(real)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert {one.name for one in tmp_path.iterdir()} == {"pipe", "real", "link"}
