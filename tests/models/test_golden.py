"""Logits that must never move: the official network's, and a small golden of our own."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.card import ModelCard
from models.checkpoints import load_model

SHARED = Path(__file__).parents[3] / "shared" / "golden"
OWN = Path(__file__).with_name("golden.json")  # logits of `reference` over `frames`
TOLERANCE = 5e-4


def frames(count=6, side=32):
    """A bright square that moves right over a gradient: RGB uint8 [count, side, side, 3]."""
    ramp = np.arange(side, dtype=np.uint8) * 4
    clip = np.broadcast_to(ramp[:, None, None], (count, side, side, 3)).copy()
    for t in range(count):
        clip[t, 8:20, 4 * t : 4 * t + 10] = (250, 40 * t, 90)
    return clip


def network_input(image, card):
    """RGB uint8 [H, W, 3] to [1, 3, H, W]."""
    x = (image.astype(np.float32) / 255 - np.float32(card.mean)) / np.float32(card.std)
    return torch.from_numpy(x.transpose(2, 0, 1)[None].copy())


def reference(weights, clip):
    """The online network once more, from the paper and the names alone: list of logits [K]."""
    def conv_bn(x, conv, norm, **how):
        x = functional.conv2d(x, weights[f"{conv}.weight"], **how)
        mean, var, scale, bias = (weights[f"{norm}.{n}"][:, None, None] for n in (
            "running_mean", "running_var", "weight", "bias"))
        return (x - mean) / (var + 1e-5).sqrt() * scale + bias

    strides = {2: 2, 4: 2, 7: 2, 14: 2}
    shifted = (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)
    before, logits = {}, []
    for frame in clip:
        x = conv_bn(frame, "features.0.0", "features.0.1", stride=2, padding=1).clamp(0, 6)
        for n in range(1, 18):
            block, shortcut, fold = f"features.{n}.conv", x, x.shape[1] // 8
            if n in shifted:
                past = before.get(n, torch.zeros_like(x))
                before[n] = x
                x = torch.cat([past[:, :fold], x[:, fold:]], 1)
            first = 0
            if n > 1:
                x, first = conv_bn(x, f"{block}.0", f"{block}.1").clamp(0, 6), 3
            x = conv_bn(x, f"{block}.{first}", f"{block}.{first + 1}", groups=x.shape[1],
                        stride=strides.get(n, 1), padding=1).clamp(0, 6)
            x = conv_bn(x, f"{block}.{first + 3}", f"{block}.{first + 4}")
            x = x + shortcut if n in shifted else x
        x = conv_bn(x, "features.18.0", "features.18.1").clamp(0, 6).mean((2, 3))
        logits.append((x @ weights["classifier.weight"].T + weights["classifier.bias"])[0])
    return logits


@torch.no_grad()
def streamed(network, inputs):
    state, logits = network.open_state(1, *inputs[0].shape[-2:]), []
    for x in inputs:
        y, state = network.step(x, state)
        logits.append(y[0])
    return torch.stack(logits)


def test_our_own_golden(tiny_network, tiny_card):
    inputs = [network_input(image, tiny_card) for image in frames()]
    expected = torch.stack(reference(tiny_network.state_dict(), inputs))
    ours = streamed(tiny_network, inputs)
    assert (ours - expected).abs().max() < 1e-4
    golden = torch.tensor(json.loads(OWN.read_text()))
    assert (ours - golden).abs().max() < TOLERANCE
    stateless = torch.cat([streamed(tiny_network, [x]) for x in inputs])
    assert (stateless - golden)[1:].abs().amax(1).min() > 100 * TOLERANCE


@pytest.mark.skipif(not SHARED.exists(), reason="the official golden values are not here")
@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_the_official_networks_logits(colour):
    import cv2
    network, card = load_model(SHARED / "online_demo_layout.pth.tar", overrides={"colour": colour})
    assert isinstance(card, ModelCard)
    inputs = []
    for path in sorted((SHARED / "frames").glob("*.png")):
        image = cv2.imread(str(path))[16:240, 16:240]
        inputs.append(network_input(image if card.colour == "bgr" else image[..., ::-1], card))
    golden = np.load(SHARED / "logits.npz")[colour]
    assert abs(streamed(network, inputs).numpy() - golden).max() < TOLERANCE
