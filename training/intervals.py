"""Confidence intervals by the bootstrap: small sets say little, and the figure should say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Figure:
    """A measured value with the 95 % interval of its bootstrap, from `n` independent parts.

    None where it cannot be said: precision without any event found, an interval of one part.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        if self.value is None:
            return f"- (n {self.n})"
        if self.low is None:
            return f"{self.value:.3f} (n {self.n})"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n {self.n})"


def bootstrap(parts: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], float],
              seed: int = 0) -> Figure:
    """`statistic` of `parts` [n, ...] and of 2000 draws of n parts with replacement.

    A statistic that cannot be said gives NaN. The same seed gives the same interval.
    """
    value = statistic(parts) if len(parts) else float("nan")
    if np.isnan(value):
        return Figure(None, None, None, len(parts))
    if len(parts) == 1:
        return Figure(float(value), None, None, 1)
    rng = np.random.default_rng(seed)
    draws = [statistic(parts[rng.integers(len(parts), size=len(parts))]) for _ in range(RESAMPLES)]
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(float(value), float(low), float(high), len(parts))


def mean(parts: NDArray[np.float64]) -> float:
    return float(parts.mean())


def ratio(parts: NDArray[np.float64]) -> float:
    """Sum of the first column over the sum of the second; NaN where that is 0."""
    above, below = parts.sum(0)
    return float(above / below) if below else float("nan")
