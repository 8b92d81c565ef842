"""A tiny network's card, what the network is shown, and its logits over a clip by an engine."""

from __future__ import annotations

import numpy as np

from models.card import ModelCard

CARD = ModelCard(name="tiny", architecture="mobilenet_v2", labels=("a", "b", "c"),
                 input_size=(32, 32), resize="whole-frame", width_multiplier=0.25)


def pictures(n: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (n, height, width, 3), np.uint8))


def frames(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((*shape, 3, 32, 32)).astype(np.float32)


def run(engine, clip: np.ndarray) -> np.ndarray:
    """Logits [T, K] of one stream over a clip [T, 3, h, w]."""
    state, rows = engine.open_state(), []
    for frame in clip:
        logits, (state,) = engine.step(frame[None], [state])
        rows.append(logits[0])
    return np.array(rows)


def logits_of(engine, steps: int = 4) -> np.ndarray:
    """Logits [T, K] of the engine's own stream over noise of the card's size."""
    clip = np.random.default_rng(5).standard_normal((steps, 1, 3, *engine.card.input_size))
    state, rows = engine.open_state(), []
    for frame in clip.astype(np.float32):
        logits, (state,) = engine.step(frame, [state])
        rows.append(logits[0])
    return np.array(rows)
