"""The demo measuring itself: right figures, for runs of any length, in little memory."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fake_time import FakeTime

from online_tsm.latency import LatencyError, LatencyLog, StageClock
from online_tsm.machine import cpu_name, machine_info
from online_tsm.measures import TRACE_POINTS, DurationHistogram, Trace

ENGINE = SimpleNamespace(name="onnxruntime", provider="CPUExecutionProvider", device="cpu",
                         precision="fp32", threads=1, card=SimpleNamespace(name="tiny"))


def filled(frames: int = 400, rate: float = 25.0, warmup: int = 5, seed: int = 0) -> LatencyLog:
    """A run with known durations; every fiftieth frame is slow."""
    log, rng = LatencyLog(started=99.0), np.random.default_rng(seed)
    for frame in range(frames):
        network = 0.080 if frame % 50 == 49 else rng.uniform(0.006, 0.008)
        stages = {"show": 0.001, "wait": 0.02, "network": network, "preprocess": 0.002}
        log.add(stages, 0.003 + network, warm=frame >= warmup, now=100 + frame / rate)
    return log


def test_the_clock_times_each_stage_and_starts_anew_for_each_frame(
        monkeypatch: pytest.MonkeyPatch):
    time, clock = FakeTime(), StageClock()
    monkeypatch.setattr("online_tsm.latency.time", time)
    with clock("wait"):
        time.sleep(0.02)
    for _ in range(2):
        with clock("draw"):
            time.sleep(0.01)
    taken = clock.take()
    assert list(taken) == ["wait", "draw"]
    assert taken == pytest.approx({"wait": 0.02, "draw": 0.02})  # both times
    assert clock.take() == {}


def test_a_stage_that_fails_is_timed_too():
    clock = StageClock()
    with pytest.raises(KeyError), clock("draw"):
        raise KeyError
    assert "draw" in clock.take()


@pytest.mark.parametrize("share", [50, 90, 95, 99, 100])
@pytest.mark.parametrize("n", [1, 2, 7, 100, 20000])
def test_percentiles_are_within_one_percent_of_the_exact_ones(share, n):
    rng = np.random.default_rng(n)
    values = rng.lognormal(np.log(0.007), 1.0, n)
    histogram = DurationHistogram()
    for value in values:
        histogram.add(float(value))
    exact = np.percentile(values, share, method="inverted_cdf")
    assert histogram.percentile(share) == pytest.approx(exact, rel=0.0101)
    assert histogram.max == values.max()
    assert histogram.mean() == pytest.approx(values.mean())
    assert histogram.count == n


def test_percentiles_of_equal_durations_are_exact():
    histogram = DurationHistogram()
    for value in [0.010] * 94 + [0.020] * 6:
        histogram.add(value)
    assert histogram.percentile(94) == pytest.approx(0.010, rel=1e-12)
    assert histogram.percentile(95) == pytest.approx(0.020, rel=1e-12)


@pytest.mark.parametrize("seconds", [0.0, -1e-9, 1e-9, 5000.0])
def test_durations_beyond_the_bins_are_counted(seconds):
    histogram = DurationHistogram()
    histogram.add(seconds)
    assert histogram.percentile(50) == max(seconds, 0)


def test_memory_stays_flat_over_a_hundred_thousand_frames():
    log = LatencyLog(started=0.0)
    stages = dict.fromkeys(("wait", "preprocess", "network", "smoothing", "draw", "show"), 0.005)

    def run(start: int, frames: int) -> None:
        for frame in range(start, start + frames):
            log.add(dict(stages), 0.01 + frame * 1e-7, warm=True, now=frame / 30)

    run(0, 5000)
    before = len(pickle.dumps(log))
    run(5000, 100_000)
    assert len(pickle.dumps(log)) == pytest.approx(before, rel=0.01)
    assert before < 600_000  # bytes
    report = log.report()
    assert report.frames == 105_000
    assert len(report.course.first) <= TRACE_POINTS
    assert report.frame_age["p99"] == pytest.approx(0.01 + 0.99 * 0.0105, rel=0.01)


@pytest.mark.parametrize("frames", [1, 999, 1000, 1001, 5000])
def test_the_course_over_time_loses_no_frame_and_no_peak(frames):
    trace = Trace()
    for frame in range(frames):
        work = 0.5 if frame == frames // 3 else 0.01
        trace.add({"network": work, **({"show": 0.002} if frame >= 100 else {})}, work)
    course = trace.course()
    n = len(course.first)
    assert n <= TRACE_POINTS
    share = np.append(course.first[1:], frames) - course.first
    assert share.sum() == frames
    assert (course.means["network"] * share).sum() == pytest.approx(0.01 * (frames - 1) + 0.5)
    peak = np.argmax(course.longest)
    assert course.longest[peak] == 0.5
    assert course.first[peak] <= frames // 3 < course.first[peak] + course.stride
    if frames > 100:
        assert course.means["show"][course.first < 100 - course.stride].max(initial=0) == 0


def test_the_report_leaves_the_warm_up_out_and_counts_it():
    report = filled(frames=405, warmup=5).report()
    assert (report.frames, report.warmup_frames) == (400, 5)
    slow = LatencyLog()
    for frame in range(10):
        slow.add({"network": 9.0 if frame < 3 else 0.01}, None, warm=frame >= 3)
    assert slow.report().stages["network"]["max"] == 0.01
    assert slow.report().frame_age is None


def test_the_report_gives_percentiles_per_stage_in_a_frames_order():
    rows = filled().report().stages
    assert list(rows) == ["wait", "preprocess", "network", "show", "work", "whole"]
    assert rows["network"]["median"] == pytest.approx(0.007, rel=0.05)
    assert rows["network"]["p99"] == pytest.approx(0.08)
    assert rows["work"]["median"] == pytest.approx(rows["network"]["median"] + 0.003, rel=0.02)
    assert rows["whole"]["median"] == pytest.approx(rows["work"]["median"] + 0.02, rel=0.02)
    assert set(rows["wait"]) == {"median", "p90", "p95", "p99", "max", "mean"}


def test_frames_a_second_count_intervals_and_not_frames():
    log = LatencyLog()
    assert log.fps is None
    assert log.rolling_fps() is None
    for frame in range(5):
        log.add({}, None, warm=True, now=50 + frame / 10)
    assert log.fps == pytest.approx(10)
    assert log.rolling_fps() == pytest.approx(10)


def test_a_pause_is_no_frame_rate():
    log = LatencyLog()
    for frame in range(20):
        log.add({}, None, warm=True, now=frame / 10 + (600 if frame >= 10 else 0))
    assert log.fps == pytest.approx(10)
    report = log.report()
    assert report.pauses == 1
    assert "1 pauses" in report.text()


def test_the_cold_start_counts_from_the_programs_start_to_the_first_frame():
    assert filled().report().cold_start_s == pytest.approx(1.0)
    assert LatencyLog().report().cold_start_s is None


def test_rolling_figures_are_those_of_the_last_seconds():
    log = LatencyLog()
    for frame in range(300):  # 10 s; slow until 6 s, then a slow frame of twenty
        seconds = 0.5 if frame < 180 or frame % 20 == 0 else 0.010
        log.add({"show": 0.001, "network": seconds}, None, warm=True, now=frame / 30)
    rolling = log.rolling()
    assert list(rolling) == ["network", "show"]
    assert rolling["network"][0] == 0.010
    assert rolling["network"][1] in (0.010, 0.5)
    assert rolling["show"] == (0.001, 0.001)
    exact = [0.001 * value for value in range(1, 101)]
    log = LatencyLog()
    for place, seconds in enumerate(exact):
        log.add({"network": seconds}, None, warm=True, now=place / 100)
    assert log.rolling()["network"] == pytest.approx((0.050, 0.095))


def test_the_text_holds_what_a_reader_needs():
    machine = {**machine_info(ENGINE), "gpus": []}
    text = filled().report(machine, camera_fps=29.97, dropped=7).text()
    for part in ("395 frames", "5 warm-up frames left out", "network", "frame age", "p99",
                 "25.0 frames/s", "30.0 frames/s, 7 frames dropped", "cold start   1.00 s",
                 "onnxruntime, CPUExecutionProvider, cpu, fp32, 1 thread\n", "numpy",
                 cpu_name(), "none found"):
        assert part in text
    network = next(line for line in text.splitlines() if line.startswith("network"))
    assert float(network.split()[-1]) == 80.0  # max, ms


def test_the_json_says_the_same_in_plain_values(tmp_path):
    path = tmp_path / "latency.json"
    report = filled().report(machine_info(ENGINE), camera_fps=30.0, dropped=7)
    report.to_json(path)
    data = json.loads(path.read_text())
    assert data["stages_ms"]["network"]["max"] == 80.0
    assert data["stages_ms"]["show"]["median"] == pytest.approx(1.0)
    assert data["frame_age_ms"]["max"] == pytest.approx(83.0)
    assert (data["frames"], data["warmup_frames"], data["dropped_frames"]) == (395, 5, 7)
    assert data["model_fps"] == pytest.approx(25)
    assert data["machine"]["provider"] == "CPUExecutionProvider"


@pytest.mark.parametrize("frames", [0, 1, 2500])
def test_the_plot_is_a_picture_with_the_stages_colours(tmp_path, frames):
    path = tmp_path / "latency.png"
    filled(frames, warmup=0).report(machine_info(ENGINE)).plot(path)
    picture = cv2.imread(str(path))
    assert picture.shape[0] > 600
    assert picture.shape[1] > 1000
    network = np.all(picture == (0xb2, 0x72, 0x00), axis=2).sum()  # BGR of the network's blue
    assert (network > 5000) == (frames > 0)


def test_files_that_cannot_be_written_are_named(tmp_path):
    report = filled(20).report()
    nowhere = tmp_path / "missing" / "latency"
    with pytest.raises(LatencyError, match=r"latency\.json: the latency report cannot be written"):
        report.to_json(nowhere.with_suffix(".json"))
    with pytest.raises(LatencyError, match=r"latency\.png: the latency plot cannot be written"):
        report.plot(nowhere.with_suffix(".png"))
    with pytest.raises(LatencyError, match=r"latency\.docx"):
        report.plot(tmp_path / "latency.docx")


def test_the_machine_is_named_without_loading_anything_for_it():
    code = ("import sys; from online_tsm.latency import LatencyLog, machine_info;"
            "info = machine_info();"
            "heavy = {'torch', 'onnxruntime', 'matplotlib', 'cv2'} & set(sys.modules);"
            "assert not heavy, heavy;"
            "assert 'torch' not in info['versions'], info;"
            "assert info['cpu'] and info['cores'] > 0 and isinstance(info['gpus'], list), info")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_versions_are_those_that_are_loaded():
    info = machine_info(ENGINE)
    assert info["versions"]["numpy"] == np.__version__
    assert info["versions"]["opencv"] == cv2.__version__
    assert info["engine"] == "onnxruntime"
    assert info["model"] == "tiny"


def test_a_gpu_is_named_only_if_the_drivers_tool_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine_info()["gpus"] == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H200, 580.65'\n")
    tool.chmod(0o755)
    assert machine_info()["gpus"] == ["NVIDIA H200, driver 580.65"]
    tool.write_text("#!/bin/sh\necho 'no devices were found'\nexit 6\n")
    assert machine_info()["gpus"] == []
