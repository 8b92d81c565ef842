"""The event detector: from steady probabilities to one event a gesture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.card import ModelCard
from online_tsm.labels import indices, opposites

EPSILON_S = 1e-6  # times that differ by less are the same


@dataclass(frozen=True)
class Event:
    """A gesture, recognised once. `time`: stream time (s) of the frame that decided it;
    `index`: that frame's `Prediction.index`; `confidence`: its probability there, 0 to 1."""

    label: str
    time: float
    confidence: float
    index: int


class EventDetector:
    """Fires a class once, when it leads clearly for long enough; the card's `smoothing` says how.

    A class leads while it is the most probable one, at or above its upper threshold, and
    `margin` ahead of the second. After `hold_s` of leading, or as long as `holds` says of it, it
    fires. It cannot fire again before it has sunk below the lower threshold, nor within
    `cooldown_s`.

    If a class begins to lead within `return_s` after its opposite has fired, that is taken for
    the hand's way back: it stays silent until it has sunk and risen again. Other classes know
    nothing of it, so a different gesture right after is kept, and so are Thumb Up, Thumb Down,
    Thumb Up (`labels.opposites` says what is an opposite).

    Classes that were added when the thresholds of the others stood already (gestures taught by a
    user) take some of the probability of those; what they take is given back before it is held
    against a threshold of the others, upper or lower. The margin they keep.

    Background labels never fire, nor do the classes that the card disables.
    """

    def __init__(self, card: ModelCard) -> None:
        constants = card.smoothing
        self._constants = constants
        self._labels = card.labels
        self._opposites = opposites(card)
        self._mute = indices(card, (*constants.disabled, *card.background), "smoothing: disabled")
        self._added = np.array(sorted(indices(card, constants.added, "smoothing: added")), np.intp)
        self._shares = ~np.isin(np.arange(len(card.labels)), self._added)
        self._rise = np.full(len(card.labels), constants.rise)
        self._hold = np.full(len(card.labels), constants.hold_s)
        for of_class, key in ((self._rise, "thresholds"), (self._hold, "holds")):
            for name, value in getattr(constants, key).items():
                of_class[list(indices(card, [name], f"smoothing: {key}"))] = value
        # a class whose own upper threshold lies below the common lower one sinks at half of it
        self._fall = np.where(constants.fall < self._rise, constants.fall, self._rise / 2)
        self.reset()

    def reset(self) -> None:
        """Forget what has fired and what was rising."""
        self._armed = np.ones(len(self._labels), bool)
        self._fired: dict[int, float] = {}  # when each class fired last, s
        self._leader: int | None = None
        self._since = 0.0  # when it began to lead, s

    def update(self, time: float, probabilities: NDArray[np.float32], index: int = 0
               ) -> tuple[Event, ...]:
        """The events of the frame at `time` (s) with smoothed `probabilities` [K]: none or one.

        `index` is the frame's number, passed on into the event. Do not call it for cold frames.
        """
        left = self._left(probabilities)
        self._armed |= probabilities < self._fall * left
        leader = self._leading(probabilities, left)
        if leader != self._leader:
            self._leader, self._since = leader, time
            if leader is not None and self._is_way_back(leader, time):
                self._armed[leader] = False
        if leader is None or not self._armed[leader]:
            return ()
        if time - self._since < self._hold[leader] - EPSILON_S:
            return ()
        if self._elapsed(leader, time) < self._constants.cooldown_s - EPSILON_S:
            return ()
        self._armed[leader] = False
        self._fired[leader] = time
        return (Event(self._labels[leader], time, float(probabilities[leader]), index),)

    def _left(self, probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
        """What the added classes leave to each class [K], as a share of its thresholds."""
        return np.where(self._shares, 1 - probabilities[self._added].sum(), 1.0)

    def _leading(self, probabilities: NDArray[np.float32], left: NDArray[np.float64]
                 ) -> int | None:
        best = int(probabilities.argmax())
        top = probabilities[best]
        needed = self._rise[best] * left[best]
        if top < needed or best in self._mute:
            return None
        others = probabilities.copy()
        others[best] = 0
        return best if top - np.maximum.reduce(others) >= self._constants.margin else None

    def _is_way_back(self, place: int, time: float) -> bool:
        return any(self._elapsed(other, time) < self._constants.return_s - EPSILON_S
                   for other in self._opposites[place])

    def _elapsed(self, place: int, time: float) -> float:
        return time - self._fired.get(place, float("-inf"))
