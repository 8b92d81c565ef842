"""Confidence intervals by the bootstrap: small sets say little, and the figure should say so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Figure:
    """A measured value with the 95 % interval of its bootstrap, from `n` parts.

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
              people: Sequence[str] = ()) -> Figure:
    """`statistic` of `parts` [n, ...] and of 2000 draws with replacement.

    `people` [n] says of whom each part is, "" where that is unknown. What one person does is alike,
    so whole people are drawn, with all of their parts: an interval over parts would be too narrow.
    Without at least two known people parts are drawn.
    A statistic that cannot be said gives NaN. The same parts give the same interval.
    """
    value = statistic(parts) if len(parts) else float("nan")
    if np.isnan(value):
        return Figure(None, None, None, len(parts))
    if len(parts) == 1:
        return Figure(float(value), None, None, 1)
    rng, units = np.random.default_rng(0), _units(people)
    draws = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(units or parts), size=len(units or parts))
        numbers = np.concatenate([units[i] for i in drawn]) if units else drawn
        draws.append(statistic(parts[numbers]))
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(float(value), float(low), float(high), len(parts))


def share(parts: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], float],
          people: Sequence[str] = ()) -> Figure:
    """As `bootstrap`, for a value from 0 to 1.

    Where all parts are wrong, or all right, every draw says the same, and the bootstrap would be
    sure. There the end is the exact one of a binomial with as many trials as people, or parts.
    """
    figure = bootstrap(parts, statistic, people)
    if figure.low is None or figure.low != figure.high or figure.value not in (0, 1):
        return figure
    reach = 1 - ((1 - LEVEL) / 2) ** (1 / (len(_units(people)) or len(parts)))
    ends = (0.0, reach) if figure.value == 0 else (1 - reach, 1.0)
    return replace(figure, low=ends[0], high=ends[1])


def rate(parts: NDArray[np.float64], people: Sequence[str] = ()) -> Figure:
    """Events, in the first column, over time, in the second; without any event the upper end is
    the exact one of a Poisson process."""
    figure = bootstrap(parts, ratio, people)
    if figure.value != 0 or figure.low is None:
        return figure
    return replace(figure, high=float(-np.log((1 - LEVEL) / 2) / parts[:, 1].sum()))


def _units(people: Sequence[str]) -> list[NDArray[np.int64]]:
    """Which parts belong together: those of a person; none at all where people are not known."""
    if len(set(people) - {""}) < 2:
        return []
    owners = [person or f"part {number}" for number, person in enumerate(people)]
    return [np.flatnonzero(np.array(owners) == owner) for owner in sorted(set(owners))]


def mean(parts: NDArray[np.float64]) -> float:
    return float(parts.mean())


def ratio(parts: NDArray[np.float64]) -> float:
    """Sum of the first column over the sum of the second; NaN where that is 0."""
    above, below = parts.sum(0)
    return float(above / below) if below else float("nan")
