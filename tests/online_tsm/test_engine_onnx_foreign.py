"""Foreign graphs by ONNX Runtime: those that serve, and why the others are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from foreign_graphs import SHAPELESS, clip_model, foreign, image_model, shrinking_state
from onnx import TensorProto

from models.card import ModelCard
from online_tsm.engine import EngineError
from online_tsm.engine_onnx import OnnxEngine, open_session

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
