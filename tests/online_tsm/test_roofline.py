"""The limit: what a pass costs at least, by arithmetic and traffic; a machine's peaks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import onnx
import pytest
from gpu_marks import needs_cuda
from seeding import seed_weights

from models.build import build_network
from online_tsm import roofline
from online_tsm.anchors import REFERENCE
from online_tsm.export import export_network
from online_tsm.measuring import _limit
from online_tsm.quantize import _fold
from online_tsm.roofline import Count, Layer, Peaks, count, least_s, measured_peaks
from online_tsm.rounds import Block, Candidate

PEAKS = Peaks(1e9, {1000: 1e9, 1_000_000: 1e8})


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


@pytest.mark.parametrize(("seconds", "times"), [(0.002, 2.0), (0.0005, None)])
def test_a_limit_above_the_time_itself_was_measured_on_a_busy_machine(
        seconds: float, times: float | None, caplog: pytest.LogCaptureFixture) -> None:
    counted = Count((Layer("conv", "Conv", 1_000_000, 0),), 1, 0, 0)
    candidate = Candidate("ours", "torch", 1, 1, lambda _: {}, lambda: None)
    blocks = [Block([seconds], {"network": [seconds]}, seconds, {}, True)]
    found = _limit(candidate, counted, {("fp32", 1, "cpu"): PEAKS}, blocks)
    assert (found and found["times_roofline"]) == (times and pytest.approx(times))
    assert found is None or found["roofline_ms"] >= found["compute_ms"] > 0
    assert ("busy machine" in caplog.text) == (times is None)
