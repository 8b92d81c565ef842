"""What states are kept in is used again once no state refers to it: in steady state, steps allocate
nothing. k phases need k places and a spare one, which the step writes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from online_tsm.engine import Array, State

Tensors = Sequence[Any]  # of one runtime, [N, fold, h, w] each
Place = TypeVar("Place")


class Held(Generic[Place]):
    """A place that a step wrote to. It becomes free when the last state that refers to it is
    gone."""

    __slots__ = ("_free", "place")

    def __init__(self, place: Place, free: list[Place]) -> None:
        self.place = place
        self._free = free

    def __del__(self) -> None:
        self._free.append(self.place)


class Pool(Generic[Place]):
    """Places for states, all alike; `make` allocates one more."""

    def __init__(self, make: Callable[[], Place]) -> None:
        self._make = make
        self._free: list[Place] = []

    def take(self) -> Held[Place]:
        """A place that no state refers to; what it holds is to be overwritten."""
        return Held(self._free.pop() if self._free else self._make(), self._free)


class Row(NamedTuple):
    """One stream's state: row `row` of the `batch` rows of a set of tensors."""

    set: Held[Tensors]
    row: int
    batch: int


def zeros(tensors: Tensors) -> Row:
    """The state of a stream before its first frame, from tensors of zeros [1, ...]."""
    return Row(Held(tensors, []), 0, 1)


def together(states: Sequence[Row], read: Callable[[Any], Array], make: Callable[[Array], Any]
             ) -> Tensors:
    """The states of N streams as tensors [N, ...]: the very same ones if they lie so already, else
    copies, by `read` from a tensor and `make` to one."""
    first = states[0]
    if first.batch == len(states) and all(
            state.set is first.set and state.row == row for row, state in enumerate(states)):
        return first.set.place
    return [make(np.concatenate([read(s.set.place[i])[s.row:s.row + 1] for s in states]))
            for i in range(len(first.set.place))]


def in_turn(run: Callable[[Array, Sequence[Row]], tuple[Array, list[State]]], inputs: Array,
            states: Sequence[Row]) -> tuple[Array, list[State]]:
    """N streams by a graph whose batch is one: `run` for each by itself."""
    parts = [run(inputs[i:i + 1], states[i:i + 1]) for i in range(len(states))]
    return np.concatenate([part[0] for part in parts]), [part[1][0] for part in parts]
