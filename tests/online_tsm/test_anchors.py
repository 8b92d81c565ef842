"""What engines are held against: the anchors' speed, and the eager network's logits."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from tiny_streams import CARD, pictures
from torch.utils.flop_counter import FlopCounterMode

from online_tsm.anchors import REFERENCE, anchors, official_input
from online_tsm.faithful import compared, eager_logits, network_inputs


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
