"""State tensors that are used again once no state refers to them: in steady state, steps allocate
nothing. k phases need k sets and a spare one, which the step writes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from online_tsm.engine import Array

Tensors = Sequence[Any]  # of one runtime, [N, fold, h, w] each


class TensorSet:
    """What one step left behind. The tensors become free when the last state that refers to this
    set is gone."""

    __slots__ = ("_free", "tensors")

    def __init__(self, tensors: Tensors, free: list[Tensors]) -> None:
        self.tensors = tensors
        self._free = free

    def __del__(self) -> None:
        self._free.append(self.tensors)


class Pool:
    """Sets of equal tensors; `make` allocates one more."""

    def __init__(self, make: Callable[[], Tensors]) -> None:
        self._make = make
        self._free: list[Tensors] = []

    def take(self) -> TensorSet:
        """A set that no state refers to; what it holds is to be overwritten."""
        return TensorSet(self._free.pop() if self._free else self._make(), self._free)


class Row(NamedTuple):
    """One stream's state: row `row` of the `batch` rows of a set."""

    set: TensorSet
    row: int
    batch: int


def zeros(tensors: Tensors) -> Row:
    """The state of a stream before its first frame, from tensors of zeros [1, ...]."""
    return Row(TensorSet(tensors, []), 0, 1)


def together(states: Sequence[Row], read: Callable[[Any], Array], make: Callable[[Array], Any]
             ) -> Tensors:
    """The states of N streams as tensors [N, ...]: the very same ones if they lie so already, else
    copies, by `read` from a tensor and `make` to one."""
    first = states[0]
    if first.batch == len(states) and all(
            state.set is first.set and state.row == row for row, state in enumerate(states)):
        return first.set.tensors
    return [make(np.concatenate([read(s.set.tensors[i])[s.row:s.row + 1] for s in states]))
            for i in range(len(first.set.tensors))]
