"""The meter's command, with a made-up network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from toy_shards import STROKE_S, write_shard

from models.jester import ALPHABETICAL
from training.data import read_shards
from training.events_file import LabelledEvent
from training.meter import FRAMES, MEAN, SIDE, SPAN_S, main, moments, network_input


def made_up(path: Path, frames: int = FRAMES, classes: int = len(ALPHABETICAL)) -> Path:
    """Says Thumb Up to dark pictures, and then Stop Sign, Swiping Left."""
    weights = np.zeros((3, classes), np.float32)
    for place, label in enumerate(("Thumb Up", "Stop Sign", "Swiping Left")):
        weights[0, ALPHABETICAL.index(label) % classes] = place - 3
    shape = [1, 3, frames, SIDE, SIDE]
    nodes = [helper.make_node("GlobalAveragePool", ["clip"], ["mean"]),
             helper.make_node("Flatten", ["mean"], ["flat"]),
             helper.make_node("MatMul", ["flat", "w"], ["logits"])]
    graph = helper.make_graph(
        nodes, "made_up", [helper.make_tensor_value_info("clip", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, classes])],
        [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture
def people(tmp_path: Path) -> Path:
    write_shard(tmp_path / "shards", ["Thumb Up", "Thumb Up", "Swiping Left", "Shaking Hand"])
    return tmp_path / "shards"


def test_the_table_the_answers_and_the_sheets(people: Path, tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    network, out = made_up(tmp_path / "m.onnx"), tmp_path / "out"
    assert main([str(network), "--shards", str(people), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "top-1: 0.500" in told
    assert "top-3: 0.750" in told
    rows = {line[:30].strip(): line[30:].split(maxsplit=3) for line in told.splitlines()}
    assert rows["Thumb Up"] == ["2", "1.00", "1.00"]
    assert rows["Swiping Left"] == ["1", "0.00", "1.00", "Thumb Up 1"]
    lines = (out / "answers.csv").read_text().splitlines()
    assert lines[1] == "shard-00000:0,Thumb Up,Thumb Up,Stop Sign,Swiping Left"
    assert len(list(out.glob("*.jpg"))) == 3


def test_clips_are_judged_backwards(people: Path, tmp_path: Path,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    network, out = made_up(tmp_path / "m.onnx"), tmp_path / "out"
    flags = [str(network), "--shards", str(people), "--out", str(out), "--backwards"]
    assert main(flags) == 0
    lines = (out / "answers.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in lines[1:]] == ["Swiping Right"]  # the others are none
    write_shard(people, ["Thumb Up"])
    assert main(flags) == 2
    assert "none of these clips shows another gesture backwards" in capsys.readouterr().err


def test_the_window_lies_around_the_stroke_and_inside_the_clip(people: Path) -> None:
    clip = read_shards(people)[0]
    times = moments(clip, clip.events[0])
    assert len(times) == FRAMES
    assert np.diff(times) == pytest.approx(1 / 6)
    assert times[-1] - times[0] == pytest.approx(SPAN_S)
    middle = 0.6 * sum(STROKE_S) / 2 + 0.4 * (clip.events[0].start + clip.events[0].end) / 2
    assert (times[0] + times[-1]) / 2 == pytest.approx(middle, abs=0.02)
    late = moments(clip, LabelledEvent("x", 3.0, 3.2))
    assert late[-1] == pytest.approx(clip.times[-1])
    short = dataclasses.replace(clip, times=clip.times[:13])
    assert np.ptp(moments(short, clip.events[0])) == pytest.approx(1.0)


def test_pictures_are_cut_in_the_middle_red_first() -> None:
    picture = np.zeros((SIDE, 2 * SIDE, 3), np.uint8)
    picture[:, SIDE // 2:-SIDE // 2] = (10, 20, 30)
    given = network_input([picture] * FRAMES)
    assert given.shape == (1, 3, FRAMES, SIDE, SIDE)
    assert np.abs(given[0, :, 5].transpose(1, 2, 0) - ((30, 20, 10) - MEAN)).max() < 1e-4


def test_a_wrong_file_is_a_sentence(people: Path, tmp_path: Path,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.onnx"
    assert main([str(wrong), "--shards", str(people)]) == 2
    made_up(wrong, frames=8)
    assert main([str(wrong), "--shards", str(people)]) == 2
    assert "not [1, 3, 16, 112, 112]" in capsys.readouterr().err
    made_up(wrong, classes=5)
    assert main([str(wrong), "--shards", str(people)]) == 2
    assert "knows 5 classes" in capsys.readouterr().err
    assert main([str(wrong), "--clips", str(tmp_path / "none.csv")]) == 2
