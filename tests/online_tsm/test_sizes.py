"""The same network at other sizes of its input."""

from __future__ import annotations

import argparse

import pytest
from tiny_streams import pictures

from online_tsm.anchors import REFERENCE
from online_tsm.measuring import Plan
from online_tsm.preprocess import kept_box
from online_tsm.sizes import at_size, measure_sizes, size_of


def test_a_size_is_two_numbers_in_the_order_of_its_flag():
    assert size_of("96x128") == (96, 128)
    for wrong in ("96", "96x", "0x128", "96 by 128"):
        with pytest.raises(argparse.ArgumentTypeError, match="two whole numbers with an x"):
            size_of(wrong)


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
