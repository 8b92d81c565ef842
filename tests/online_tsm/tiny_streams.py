"""A tiny network's card, what the network is shown, and its logits over a clip by an engine."""

from __future__ import annotations

import numpy as np

from models.card import ModelCard

CARD = ModelCard(name="tiny", architecture="mobilenet_v2", labels=("a", "b", "c"),
                 input_size=(32, 32), resize="whole-frame", width_multiplier=0.25)


def pictures(n: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (n, height, width, 3), np.uint8))
