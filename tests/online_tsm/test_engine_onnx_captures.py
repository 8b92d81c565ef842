"""CUDA graphs: without a GPU, all but the capture, as a session on the CPU ignores the number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_streams import CARD, frames, run

from online_tsm.engine_onnx import NO_GRAPH, OnnxEngine, open_session


@pytest.fixture
def capturing(graph) -> OnnxEngine:
    engine = OnnxEngine(open_session(graph), CARD, "tiny.onnx")
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
