"""The smoothing head: from the logits of single frames to steady probabilities."""

from __future__ import annotations

from collections import deque
from typing import Any

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
        self._times: deque[float] = deque()  # of the votes, which are the last rows before `_end`
        self._rows = np.empty((2 * MAX_VOTES, len(card.labels)), np.float32)
        self._end = 0

    def reset(self) -> None:
        """Forget all votes."""
        self._times.clear()

    def update(self, time: float, logits: NDArray[np.float32], *, cold: bool = False
               ) -> NDArray[np.float32]:
        """Smoothed probabilities [K] (they sum to 1) after the `logits` [K] of a frame at `time`.

        `time` in s, never before the last one's. Cold logits do not vote; while no vote is there,
        they alone are shown.
        """
        oldest = time - self._constants.window_s + EPSILON_S
        while self._times and self._times[0] <= oldest:
            self._times.popleft()
        if not cold:
            self._vote(time, logits)
        n = len(self._times)
        if n:
            votes = self._rows[self._end - n:self._end]
            logits = np.add.reduce(votes, axis=0, dtype=np.float64) / n
        return softmax(logits, self._constants.temperature, self._masked)

    def _vote(self, time: float, logits: NDArray[np.float32]) -> None:
        if len(self._times) == MAX_VOTES:
            self._times.popleft()
        n = len(self._times)
        if self._end == len(self._rows):
            self._rows[:n] = self._rows[self._end - n:]
            self._end = n
        self._rows[self._end] = logits
        self._end += 1
        self._times.append(time)


def softmax(logits: NDArray[Any], temperature: float = 1.0,
            masked: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Probabilities [K] of `logits` [K]; `masked` [K] classes get none."""
    raised = np.divide(logits, temperature, dtype=np.float64)
    if masked is not None:
        raised[masked] = -np.inf
    raised -= np.maximum.reduce(raised)
    np.exp(raised, out=raised)
    raised /= np.add.reduce(raised)
    return np.asarray(raised, np.float32)
