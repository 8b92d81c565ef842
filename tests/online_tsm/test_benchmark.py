"""The benchmark: what it counts, how it drops noise, what it says; never how fast anything is."""

from __future__ import annotations

import copy
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from seeding import seed_weights
from torch.utils.flop_counter import FlopCounterMode

from models.build import build_network
from models.card import ModelCard
from models.checkpoints import save_model
from online_tsm import benchmark, benchmark_page, measuring, quiet, roofline, suggestion
from online_tsm.anchors import REFERENCE, anchors, official_input
from online_tsm.benchmark_page import KINDS
from online_tsm.benchmark_report import BenchmarkError, changes, read_report, table
from online_tsm.capacity import Point, bend, capacity, search
from online_tsm.engine import open_engine
from online_tsm.engine_torch import cuda_granted
from online_tsm.export import export_network
from online_tsm.faithful import compared, eager_logits, network_inputs
from online_tsm.frames import read_frames
from online_tsm.graphs import file_digest
from online_tsm.measuring import Plan, measure
from online_tsm.preprocess import kept_box
from online_tsm.quantize import _fold
from online_tsm.roofline import Count, Layer, Peaks, count, least_s, measured_peaks
from online_tsm.rounds import WARM_FRAMES, Block, Candidate, figures, ratio, timed
from online_tsm.sizes import at_size, measure_sizes

CARD = ModelCard(name="tiny", architecture="mobilenet_v2", labels=("a", "b", "c"),
                 input_size=(32, 32), resize="whole-frame", width_multiplier=0.25)
PEAKS = Peaks(1e9, {1000: 1e9, 1_000_000: 1e8})
needs_cuda = pytest.mark.skipif(not cuda_granted(), reason="torch has no CUDA here")


def pictures(n: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (n, height, width, 3), np.uint8))


@pytest.fixture(scope="module")
def network():
    return seed_weights(build_network(CARD))


@pytest.fixture(scope="module")
def model(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("benchmark") / "tiny.safetensors"
    save_model(network, CARD, path)
    path.with_suffix(".onnx").write_bytes(export_network(network, CARD, file_digest(path), 1))
    return path


@pytest.fixture(scope="module")
def measured(model) -> dict:
    """One measurement, which the tests share."""
    path = model
    plan = Plan(pictures(6), [1], [1, 2], [("onnxruntime", "cpu", "fp32"),
                                           ("torch", "cpu", "fp32")], [], 2, 3, True)
    return measure(path, plan, lambda precision, threads, device: PEAKS)


@pytest.fixture
def report(measured) -> dict:
    return {"date": "2026-01-31 12:00:00", "networks": [copy.deepcopy(measured)],
            "cold_starts": [], "demo": None, "frame_size": [64, 48], "source": "pictures",
            "warnings": [], "machine": {"cpu": "a processor", "cores": 2, "gpus": [],
                                        "system": "a system", "versions": {"python": "3.11"}}}


# The limit.


@pytest.fixture(scope="module")
def full_width() -> bytes:
    return export_network(seed_weights(build_network(REFERENCE)), REFERENCE, "0", 1)


def test_the_full_width_network_counts_as_published(full_width):
    counted = count(full_width)
    assert counted.macs == 299_528_832
    assert counted.state == 27_048
    assert counted.nodes <= 419
    assert 2_200_000 < sum(layer.weights for layer in counted.layers) <= counted.weights
    kinds = [layer.kind for layer in counted.layers]
    assert (kinds.count("Conv"), kinds.count("Concat"), kinds.count("Gemm")) == (52, 10, 1)
    least = sum(layer.macs for layer in counted.layers if layer.kind == "Conv")
    assert counted.macs - least == 1280 * 27


def test_what_is_left_to_run_after_folding(full_width, tmp_path):
    _fold(full_width, tmp_path / "folded.onnx")  # as every processor's session begins
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "folded.onnx").graph.node)
    assert kinds == {"Conv": 52, "Clip": 35, "Slice": 20, "Concat": 10, "Add": 10,
                     "ReduceMean": 1, "Gemm": 1}


def test_the_roofline_takes_the_longer_of_arithmetic_and_traffic_layer_by_layer():
    layers = (Layer("much arithmetic", "Conv", 4_000_000, 250), Layer("traffic", "Add", 0, 250_000))
    compute, roofline = least_s(Count(layers, 2, 0, 0), PEAKS)
    assert compute == pytest.approx(4e-3)
    assert roofline == pytest.approx(4e-3 + 1_000_000 / 1e8)
    assert least_s(Count(layers, 2, 0, 0), PEAKS, "bf16")[1] == pytest.approx(4e-3 + 5e-3)
    assert least_s(Count(layers, 2, 0, 0), PEAKS, streams=2)[0] == pytest.approx(8e-3)


def test_weights_are_read_once_for_all_streams():
    layers = (Layer("wide", "Conv", 0, 100_000, 150_000),)
    assert Count(layers, 1, 0, 0).elements == 250_000
    for streams, elements in ((1, 250_000), (4, 550_000)):
        assert least_s(Count(layers, 1, 0, 0), PEAKS, streams=streams)[1] == pytest.approx(
            4 * elements / 1e8)


@pytest.mark.parametrize(("device", "precision"), [
    ("cpu", "fp32"),
    *(pytest.param("cuda", p, marks=needs_cuda) for p in ("fp32", "bf16", "fp16"))])
def test_a_machines_peaks_are_found(device, precision, monkeypatch):
    monkeypatch.setattr(roofline, "MATMUL_SIDES", {device: (256,)})
    monkeypatch.setattr(roofline, "PEAK_S", 0.01)
    peaks = measured_peaks(precision, 1, device)
    assert peaks is not None
    assert peaks.macs_per_s > 1e8
    assert min(peaks.bytes_per_s.values()) > 1e8


def test_a_precision_that_torch_only_has_a_stopgap_for_gives_no_limit(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "MATMUL_SIDES", {"cpu": (256,)})
    monkeypatch.setattr(roofline, "PEAK_S", 0.01)
    slow: list[int] = []

    def product(side: int, device: str) -> Callable[[], object]:
        slow.append(side)
        return lambda: time.sleep(0.2)

    monkeypatch.setattr(roofline, "_int8_matmul", product)
    assert measured_peaks("int8", 1) is None
    assert slow  # it was this that was timed


# Rounds.


def candidate(name: str, run, anchor: str = "") -> Candidate:
    return Candidate(name, "torch", 1, 1, run, lambda: None, anchor=anchor)


def block(seconds: list[float], clean: bool | None) -> Block:
    return Block(seconds, {"network": seconds}, sum(seconds), {}, clean)


def test_blocks_are_interleaved_and_their_first_frames_do_not_count():
    order: list[str] = []

    def runner(name: str):
        def run(images):
            order.append(name)
            return {"network": 0.001}
        return run

    results = timed([candidate(n, runner(n)) for n in "ab"], pictures(3), 5, 6)
    played = order[4:]  # two trials each
    assert len(played) == 2 * 5 * (6 + WARM_FRAMES)
    turns = [played[i] for i in range(0, len(played), 6 + WARM_FRAMES)]
    assert sorted(turns) == ["a"] * 5 + ["b"] * 5
    assert all(set(turns[i:i + 2]) == {"a", "b"} for i in range(0, 10, 2))
    assert [len(b.seconds) for b in results["a"]] == [6] * 5


def test_paced_frames_begin_at_multiples_of_the_period():
    starts: list[float] = []

    def run(images):
        starts.append(time.perf_counter())
        return {}

    timed([candidate("a", run)], pictures(1), 1, 5, period_s=0.02)
    assert starts[-1] - starts[2] >= 0.02 * (5 + WARM_FRAMES - 1) - 0.01


def test_noisy_blocks_are_left_out_where_enough_are_clean():
    blocks = [block([0.001], True)] * 3 + [block([0.1], False)] * 5
    assert figures(blocks)["p99_ms"] == pytest.approx(1)
    assert figures(blocks)["clean_blocks"] == 3
    assert figures(blocks[2:])["median_ms"] == pytest.approx(100)  # too few; all count
    unknown = [block([0.001], None)] * 2 + [block([0.003], None)]
    assert figures(unknown)["median_ms"] == pytest.approx(1)


def test_ratios_are_taken_within_a_round():
    # The machine slows down tenfold in the middle; the anchor always takes four times as long.
    slow = [1, 1, 1, 10, 10]
    anchor = [block([0.004 * s], None) for s in slow]
    other = [block([0.001 * s], None) for s in slow]
    assert ratio(anchor, other) == pytest.approx(4)
    uneven = [block([s], None) for s in (8, 2, 1)], [block([s], None) for s in (2, 1, 8)]
    assert ratio(*uneven) == 2  # of 4, 2 and 1/8
    noisy = [block([1.0], False), *anchor[1:]]
    assert ratio(noisy, other) == pytest.approx(4)


def test_a_block_in_which_others_waited_for_a_core_is_noisy():
    assert quiet.clean(1.0, 1.0005, 0.1) is True
    assert quiet.clean(1.0, 1.02, 0.1) is False
    assert quiet.clean(None, None, 0.1) is None


# Anchors.


def test_the_official_preprocessing_is_pillows_resize_and_centre_crop():
    image = pictures(1, 480, 640)[0]
    card = REFERENCE
    whole = np.asarray(Image.fromarray(image).resize((341, 256), Image.Resampling.BILINEAR))
    crop = whole[16:240, 58:282] / 255
    expected = (crop - np.array(card.mean)) / np.array(card.std)
    made = official_input(card, image)[0].permute(1, 2, 0).numpy()
    assert np.abs(made - expected).max() < 1e-5


def test_the_windows_cost_eight_frames_and_the_step_one(network):
    counts: dict[str, int] = {}
    assert network.shift.direction == "past"
    for anchor in anchors(network, CARD, 1, 1):
        both = anchor.run._network.shift.direction == "both"
        assert both == (anchor.anchor == "window")
        with FlopCounterMode(display=False) as flops:
            anchor.run(pictures(1))
        counts[anchor.anchor] = flops.get_total_flops()
    assert counts["window"] == counts["window without shift"] == 8 * counts["eager"] > 0


# Faithfulness.


def test_logits_off_and_decisions_changed_are_told(network):
    inputs = network_inputs(CARD, pictures(4), 10)
    reference = eager_logits(network, inputs)
    assert len(reference) == 10
    assert compared(reference, reference).faithful
    swapped = reference.copy()
    swapped[3] = -swapped[3]
    found = compared(swapped, reference)
    assert found.agreement == pytest.approx(0.9)
    assert found.difference == pytest.approx(2 * np.abs(reference[3]).max())
    assert not found.faithful
    assert not compared(reference + 0.01, reference).faithful  # same decisions, other numbers
    near = np.array([[1, 1.0001]], np.float32)
    assert not compared(near[:, ::-1], near).faithful  # same numbers, another decision


# Many cameras, and other sizes.


def passes(costs):
    """Passes of n streams that take `costs(n)` ms."""
    return lambda n: Point(n, costs(n), costs(n))


@pytest.mark.parametrize(("each_ms", "largest"), [(40, 0), (20, 1), (1.0, 33), (0.33, 101)])
def test_the_largest_number_of_streams_is_found(each_ms, largest):
    found, points = search(passes(lambda n: n * each_ms))
    assert largest - largest / 16 <= found <= largest
    assert {p.streams for p in points} >= {1, found or 1}
    assert len(points) < 16


def test_a_number_that_fails_once_is_measured_again():
    seen: list[int] = []

    def measure(n: int) -> Point:
        seen.append(n)
        spike = 50.0 if n in (1, 4) and seen.count(n) == 1 else 0.0
        return Point(n, float(n), n + spike)

    found, points = search(measure)
    assert 31 <= found <= 33
    assert [p.p99_ms for p in points if p.streams in (1, 4)] == [1.0, 4.0]
    assert max(Counter(seen).values()) == 2


def test_no_more_streams_than_wanted_are_tried():
    found, points = search(passes(lambda n: 1.0), most=20)
    assert 16 <= found <= 20
    assert max(p.streams for p in points) <= 20


def test_the_curve_bends_where_streams_begin_to_cost():
    _, points = search(passes(lambda n: max(8, n)), most=64)
    assert bend(points) == 8


def test_a_real_engine_serves_some_cameras(model, monkeypatch):
    monkeypatch.setattr("online_tsm.capacity.ROUNDS", 1)
    monkeypatch.setattr("online_tsm.capacity.BLOCK", 4)
    found = capacity(open_engine(model, "onnxruntime", "cpu", 1), pictures(2), most=3)
    assert found["whole"]["largest"] in range(4)
    assert [p["streams"] for p in found["whole"]["points"]][:1] == [1]
    assert all(p["p99_ms"] >= p["median_ms"] > 0 for p in found["whole"]["points"])
    assert found["network"] is None  # the same thread does both


@needs_cuda
def test_an_engine_on_cuda_serves_cameras_with_and_without_preprocessing(model, monkeypatch):
    monkeypatch.setattr("online_tsm.capacity.ROUNDS", 1)
    monkeypatch.setattr("online_tsm.capacity.BLOCK", 4)
    found = capacity(open_engine(model, "torch", "cuda"), pictures(2), most=3)
    for part in ("whole", "network"):
        assert [p["streams"] for p in found[part]["points"]][:1] == [1]
        assert all(p["p99_ms"] >= p["median_ms"] > 0 for p in found[part]["points"])


def test_a_size_keeps_what_is_seen():
    assert at_size(REFERENCE, (112, 112)) == {"input_size": [112, 112], "resize_side": 128}
    card = REFERENCE.replace(**at_size(REFERENCE, (128, 128)))
    assert kept_box(card, 480, 640) == pytest.approx(kept_box(REFERENCE, 480, 640), abs=3)


def test_sizes_are_timed_side_by_side(model, monkeypatch, tmp_path):
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path))
    plan = Plan(pictures(2), [1], [1], [("onnxruntime", "cpu", "fp32")], [], 1, 2, False)
    small, large = measure_sizes(model, [(32, 32), (64, 96)], plan)
    assert (small["input_size"], large["input_size"]) == ([32, 32], [64, 96])
    assert 4 < large["macs"] / small["macs"] < 8
    assert small["hot"]["frames"] == 2


# The report.


def test_a_network_is_measured_with_its_anchors_streams_and_limit(report):
    rows = {row["name"]: row for row in report["networks"][0]["rows"]}
    assert len(rows) == 3 + 1 + 2 * 2
    row = rows["onnxruntime fp32, 1 thread"]
    assert row["faithful"]["faithful"]
    assert set(row["ratios"]) == {"eager", "window", "window without shift"}
    assert row["ratios"]["eager"] > 0
    assert set(row["hot"]["stages_ms"]) == {"preprocess", "network", "smoothing"}
    assert row["paced"]["frames"] == row["hot"]["frames"] == 6
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


def test_the_table_names_every_row_and_the_json_gives_it_back(report, tmp_path):
    text = table(report)
    for row in report["networks"][0]["rows"]:
        assert row["name"] in text
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert table(read_report(path)) == text
    new = json.loads(path.read_text())
    new["networks"][0]["rows"][0]["hot"]["median_ms"] *= 1.5
    assert "+50 %" in changes(report, new)


@pytest.fixture
def whole(report) -> dict:
    """A report with everything in it."""
    row = {"input_size": [32, 32], "precision": "fp32", "engine": "torch", "device": "cpu"}
    hot = report["networks"][0]["rows"][0]["hot"]
    judged = {**row, "engine": "onnxruntime", "agreement": None,
              "top1": {"value": 0.612, "low": 0.5, "high": 0.7}}
    points = [{"streams": n, "median_ms": 2.0 * n, "p99_ms": 3.0 * n} for n in (1, 2, 4)]
    return {
        **report, "warnings": ["all was quiet"],
        "sizes": [{**row, "name": "32 x 32, torch", "macs": 5e6, "hot": hot, "paced": hot},
                  {**row, "name": "64 x 96, torch", "input_size": [64, 96], "macs": 3e7,
                   "hot": hot, "paced": None}],
        "accuracy": {"set": "people", "clips": 9, "rows": [
            judged, {**judged, "precision": "bf16", "engine": "openvino", "agreement": 0.99,
                     "top1": {"value": 1.0, "low": None, "high": None}}]},
        "capacity": [{"engine": "torch", "device": "cuda", "precision": "fp16", "threads": 1,
                      "whole": {"largest": 80, "bend": 4, "points": points},
                      "network": {"largest": 900, "bend": 64, "points": points}}],
        "cold_starts": [{"engine": "torch", "device": "cpu", "precision": "fp32",
                         "median_s": 2.5, "min_s": 2.25, "peak_memory": None}]}


def test_the_table_tells_sizes_with_their_accuracy_and_cameras(whole):
    lines = table(whole).splitlines()
    assert next(line for line in lines if line.startswith("32 x 32, torch")).endswith("61.2%")
    assert next(line for line in lines if line.startswith("64 x 96, torch")).endswith(" -")
    assert "61.2% [50.0%, 70.0%]" in table(whole)
    assert "decides as float32 on 99.00% of frames" in table(whole)
    assert any("80 (the curve bends at 4); the network alone 900, bends at 64" in line
               for line in lines)


def test_pages_get_the_figures_of_their_report(whole, tmp_path, capsys):
    path, page = tmp_path / "cpu.json", tmp_path / "page.md"
    path.write_text(json.dumps(whole))
    kinds = "".join(f"<!-- figures: cpu.json {kind} -->\nold\n<!-- end -->\n" for kind in KINDS)
    page.write_text(f"before\n{kinds}<!-- figures: gpu.json ratios -->\nkept\n<!-- end -->\nafter")
    assert benchmark_page.main([str(path), str(page)]) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("gpu.json ratios -->\nkept\n<!-- end -->\nafter")
    assert "old" not in text
    first = whole["networks"][0]["rows"][0]["hot"]["median_ms"]
    for words in ("| 32 x 32 | (a) eager, official preprocessing |", f"| {first:.2f} |",
                  "| 61.2% (50.0% to 70.0%) |", "| torch fp16 on CUDA | 80 | 4 | 900 | 64 |",
                  "| torch fp32 | 2.50 | 2.25 | - |", "all was quiet", "99.00% of frames"):
        assert words in text
    benchmark_page.main([str(path), str(page)])
    assert page.read_text() == text  # and again


@pytest.mark.parametrize(("text", "named"), [
    ("nothing", "no lines <!-- figures: cpu.json ratios -->"),
    ("<!-- figures: cpu.json speed -->\n<!-- end -->", "unknown figures 'speed'; known: ratios"),
])
def test_a_page_without_a_place_for_figures_is_named(whole, tmp_path, capsys, text, named):
    (tmp_path / "cpu.json").write_text(json.dumps(whole))
    (tmp_path / "page.md").write_text(text)
    assert benchmark_page.main([str(tmp_path / "cpu.json"), str(tmp_path / "page.md")]) == 2
    assert named in capsys.readouterr().err
    assert (tmp_path / "page.md").read_text() == text


def test_the_plot_is_drawn(report, whole, tmp_path):
    from online_tsm.benchmark_plot import draw
    draw(report, tmp_path / "report.png")
    draw(whole, tmp_path / "whole.png")
    few, all_ = (Image.open(tmp_path / f"{name}.png").size for name in ("report", "whole"))
    assert few[0] == all_[0] > 800
    assert all_[1] > few[1] + 400  # two panels more


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


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"networks": [{"name": "a"}]}'])
def test_what_is_no_report_is_refused(text, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(BenchmarkError, match="no report of this benchmark"):
        read_report(path)


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
