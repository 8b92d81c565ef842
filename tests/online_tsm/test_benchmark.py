"""The benchmark: what it measures, suggests and refuses; never how fast anything is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from online_tsm import benchmark, measuring, suggestion
from online_tsm.frames import read_frames
from online_tsm.measuring import Plan


def test_a_network_is_measured_with_its_anchors_streams_and_limit(report):
    rows = {row["name"]: row for row in report["networks"][0]["rows"]}
    assert len(rows) == 3 + 1 + 2 * 2
    row = rows["onnxruntime fp32, 1 thread"]
    assert row["faithful"]["faithful"]
    assert set(row["ratios"]) == {"eager", "window", "window without shift"}
    assert row["ratios"]["eager"] > 0
    assert set(row["hot"]["stages_ms"]) == {"preprocess", "network", "smoothing"}
    assert row["paced"]["frames"] == row["hot"]["frames"] == 6
    assert row["limit"]["times_roofline"] > 1
    assert row["limit"]["roofline_ms"] >= row["limit"]["compute_ms"] > 0
    assert rows["onnxruntime fp32, 1 thread, 2 streams"]["streams"] == 2
    assert set(rows["onnxruntime fp32, 1 thread, 2 streams"]["ratios"]) == {"eager"}
    assert rows["(b) window of 8, both ways, 1 thread"]["paced"] is None


def test_another_form_of_the_network_is_run_by_each_engine_for_cpus(monkeypatch):
    monkeypatch.setattr(measuring, "open_engine", lambda path, name, device, threads, **given: (
        path.name, name, device, given.get("precision")))
    engines = [("onnxruntime", "cpu", "fp32"), ("torch", "cpu", "fp32"),
               ("openvino", "cpu", "fp32"), ("openvino", "cpu", "bf16"),
               ("onnxruntime", "cuda", "fp32")]
    plan = Plan([], [1], [1], engines, [Path("int8.onnx")], 1, 1, False)
    opened = list(measuring._engines(Path("own.onnx"), plan, 1))
    assert [e for e in opened if e[0] == "int8.onnx"] == [
        ("int8.onnx", name, "cpu", None) for name in ("onnxruntime", "openvino")]
    assert len(opened) == len(engines) + 2


def test_the_fastest_faithful_engine_is_suggested(report, tmp_path, monkeypatch):
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path))
    rows = report["networks"][0]["rows"]
    fast = next(row for row in rows if row["name"] == "torch fp32, 1 thread")
    fast["paced"]["median_ms"] = 1e-6
    assert benchmark.best(rows) is fast
    benchmark._suggest(report)
    assert suggestion.kept() == suggestion.suggestion_of("torch", "cpu", 1)
    fast["faithful"]["faithful"] = False
    assert benchmark.best(rows)["name"] == "onnxruntime fp32, 1 thread"


@pytest.mark.parametrize(("flags", "named"), [
    (["--compare", "nowhere.json"], "nowhere.json is no report of this benchmark"),
    (["--model", "nowhere"], "nowhere is no file"),
    (["--source", "nowhere.mp4"], "no frame could be read from nowhere.mp4"),
])
def test_what_cannot_be_read_is_a_sentence(flags, named, capsys):
    assert benchmark.main(flags) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "named"), [
    (["--model", "graph.onnx"], "graph.onnx is a graph; give the checkpoint"),
    (["--int8", "nowhere.onnx"], "nowhere.onnx is no file"),
    (["--evaluate", "nowhere"], "nowhere is not there"),
    (["--json", "folder"], "folder cannot be written: it is a folder"),
    (["--json", "graph.onnx/a.json"], "graph.onnx is no folder"),
    (["--plot", "report.plot"], "report.plot: no plot is of this kind; known: "),
])
def test_what_would_end_it_later_is_told_at_once(flags, named, tmp_path, monkeypatch, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "graph.onnx").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(benchmark, "read_frames", lambda *_: pytest.fail("the work has begun"))
    assert benchmark.main(flags) == 2
    assert named in capsys.readouterr().err


def test_fresh_processes_find_a_model_and_a_video_by_their_whole_paths(
        model, measured, tmp_path, monkeypatch):
    given = []
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path))
    monkeypatch.chdir(model.parent)
    (model.parent / "a.mp4").touch()
    monkeypatch.setattr(benchmark, "read_frames", lambda *_: [])
    monkeypatch.setattr(benchmark, "usable", lambda *_: [("torch", "cpu", "fp32")])
    monkeypatch.setattr(benchmark, "_models", lambda _: [])
    monkeypatch.setattr(benchmark.fresh, "cold_start",
                        lambda flags: (given.append(flags[1]), (1.0, None))[1])
    monkeypatch.setattr(benchmark.fresh, "demo_stages",
                        lambda source, flags: given.extend([source, flags[1]]))
    monkeypatch.setattr(benchmark, "table", lambda _: "")
    assert benchmark.main(["--model", model.name, "--source", "a.mp4", "--cold-starts", "1"]) == 0
    assert given == [str(model), str(model.parent / "a.mp4"), str(model)]


def test_frames_are_spread_over_the_video_and_scaled():
    frames = read_frames(str(benchmark.fresh.SAMPLE), (320, 240), 8)
    assert len(frames) == 8
    assert all(frame.shape == (240, 320, 3) and frame.dtype == np.uint8 for frame in frames)
    assert np.abs(frames[0].astype(int) - frames[-1]).max() > 50  # not eight times the same


@pytest.mark.slow
def test_a_fresh_demo_tells_its_first_prediction_and_its_memory():
    seconds, memory = benchmark.fresh.cold_start([])
    assert seconds > 0
    assert memory is None or 10e6 < memory < 2e9


def test_a_demo_that_cannot_start_says_why():
    with pytest.raises(RuntimeError, match="nowhere is no file"):
        benchmark.fresh.cold_start(["--model", "nowhere"])
