"""The smoothing head: from the logits of single frames to steady probabilities."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from models.card import ModelCard

EPSILON_S = 1e-6  # times that differ by less are the same
MAX_VOTES = 1000  # bounds the memory, should a source's clock stand still


class SmoothingHead:
    """Averages logits over the last `window_s` seconds, then temperature and softmax.

    The window is one of time, so that it is the same at any frame rate; the votes of all warm
    phases count alike. Classes that the card disables leave before the softmax: they get
    probability 0, and what would have been theirs goes to the others. To keep a class as a rival
    that hardly ever fires, give it a threshold of 1 instead.
    """

    def __init__(self, card: ModelCard) -> None:
        self._constants = card.smoothing
        self._masked = np.array([label in card.smoothing.disabled for label in card.labels])
        self._votes: deque[tuple[float, NDArray[np.float32]]] = deque(maxlen=MAX_VOTES)

    def reset(self) -> None:
        """Forget all votes."""
        self._votes.clear()

    def update(self, time: float, logits: NDArray[np.float32], *, cold: bool = False
               ) -> NDArray[np.float32]:
        """Smoothed probabilities [K] (they sum to 1) after the `logits` [K] of a frame at `time`.

        `time` in s, never before the last one's. `logits` must not be written to afterwards.
        Cold logits do not vote; while no vote is there, they alone are shown.
        """
        oldest = time - self._constants.window_s + EPSILON_S
        while self._votes and self._votes[0][0] <= oldest:
            self._votes.popleft()
        if not cold:
            self._votes.append((time, logits))
        votes = [vote for _, vote in self._votes] or [logits]
        return softmax(np.mean(votes, axis=0), self._constants.temperature, self._masked)


def softmax(logits: NDArray[np.float32], temperature: float = 1.0,
            masked: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Probabilities [K] of `logits` [K]; `masked` [K] classes get none."""
    scaled = np.asarray(logits, np.float64) / temperature
    if masked is not None:
        scaled = np.where(masked, -np.inf, scaled)
    raised = np.exp(scaled - scaled.max())
    return np.asarray(raised / raised.sum(), np.float32)
