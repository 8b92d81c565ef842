"""How far an engine's logits are from float32 eager torch, over recurrent steps of real frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.card import ModelCard
from models.network import OnlineNetwork
from online_tsm.engine import Array, Engine
from online_tsm.preprocess import Preprocessor
from online_tsm.rounds import Images

STEPS = 64
TOLERANCE = 5e-4  # of the logits where these are above 1: what float32 engines may differ by


@dataclass(frozen=True)
class Faithfulness:
    """`difference`: the largest of all logits; `scale`: the largest logit of the reference, at
    least 1; `agreement`: share of frames with the same decision (largest logit)."""

    difference: float
    scale: float
    agreement: float

    @property
    def faithful(self) -> bool:
        """Whether the engine counts as float32, and every decision is the same."""
        return self.difference <= TOLERANCE * self.scale and self.agreement == 1.0


def network_inputs(card: ModelCard, frames: Images, steps: int = STEPS) -> Array:
    """Inputs [steps, 3, h, w] of BGR frames, which repeat if there are fewer."""
    pre = Preprocessor(card)
    return np.stack([pre(frames[i % len(frames)]).copy() for i in range(steps)])


def eager_logits(network: OnlineNetwork, inputs: Array) -> Array:
    """Logits [T, K] of recurrent steps in eager float32."""
    state = network.open_state(1, *inputs.shape[2:])
    rows = []
    with torch.inference_mode():
        for frame in torch.from_numpy(inputs):
            logits, state = network.step(frame[None], state)
            rows.append(logits[0].numpy())
    return np.stack(rows)


def engine_logits(engine: Engine, inputs: Array) -> Array:
    """Logits [T, K] of recurrent steps of an engine."""
    state = engine.open_state()
    rows: list[NDArray[np.float32]] = []
    for frame in inputs:
        logits, (state,) = engine.step(frame[None], [state])
        rows.append(logits[0].copy())
    return np.stack(rows)


def compared(logits: Array, reference: Array) -> Faithfulness:
    """Two runs over the same frames, logits [T, K] each."""
    same = logits.argmax(1) == reference.argmax(1)
    return Faithfulness(float(np.abs(logits - reference).max()),
                        max(1.0, float(np.abs(reference).max())), float(same.mean()))
