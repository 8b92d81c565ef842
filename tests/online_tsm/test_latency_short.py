"""A run that ends within its warm-up has no figures, and says so."""

from __future__ import annotations

import cv2
import pytest

from online_tsm.latency import LatencyLog, LatencyReport
from online_tsm.latency_plot import _titles


@pytest.fixture
def short() -> LatencyReport:
    log = LatencyLog(started=99.0)
    for frame in range(4):
        log.add({"network": 0.01}, 0.02, warm=False, now=100 + frame / 10)
    return log.report()


def test_a_sentence_takes_the_place_of_an_empty_table(short: LatencyReport) -> None:
    text = short.text()
    assert text.startswith("No latency was measured: the run ended within its warm-up (frames: 4).")
    assert "median" not in text
    assert "0.00" not in text
    assert "model        10.0 frames/s" in text  # what is known stays
    assert "cold start   1.00 s" in text


def test_no_zeros_stand_for_what_was_not_measured(short: LatencyReport, tmp_path) -> None:
    assert short.as_dict()["stages_ms"] == {}
    assert short.as_dict()["warmup_frames"] == 4
    short.plot(tmp_path / "latency.png")
    assert cv2.imread(str(tmp_path / "latency.png")) is not None


def test_the_picture_says_so_too(short: LatencyReport) -> None:
    assert _titles(short)[0] == short.why_empty
