"""The official online demo's decision, so that its checkpoint can be compared like for like.

Source: mit-han-lab/temporal-shift-module, online_demo/main.py (arXiv 1811.08383).
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from models.card import ModelCard
from models.jester import ALPHABETICAL
from online_tsm.events import Event
from online_tsm.labels import LabelError
from online_tsm.phases import MAX_PHASES, Turn
from online_tsm.smoothing import softmax

SUMMED_STEPS = 12
HELD_STEPS = 2  # a label stays for at least so many steps
NOTHING = "No gesture"
SHOWN_AS_NOTHING = "Doing other things"
MASKED = ("Pulling Hand In", "Rolling Hand Backward", "Rolling Hand Forward",
          "Turning Hand Clockwise", "Turning Hand Counterclockwise")


class OfficialHead:
    """Decides as the official demo does, and fires an event at each change to a gesture.

    The logits of the last 12 steps are summed, and the highest sum wins. Where a masked class
    wins, the last label stays; "Doing other things" is shown as "No gesture"; and a new label is
    taken only if the last two shown were the same. The demo crashes if its first label is a
    gesture, because its history holds a single entry then; here it begins with two.

    The demo knows one cache. With k phases, steps are counted in card periods: 12 k logits are
    summed and 2 k shown labels must agree; for k = 1 it is the demo's arithmetic to the letter.
    Cold steps count as well, as they do there, but fire nothing.

    Raises LabelError unless the card's labels are Jester's 27, in any order.
    """

    def __init__(self, card: ModelCard) -> None:
        strange = set(ALPHABETICAL) ^ set(card.labels)
        if strange:
            raise LabelError(
                "the official preset decides among the 27 Jester labels; model "
                f"{card.name!r} has {len(card.labels)} labels, and the two lists differ in "
                f"{', '.join(map(repr, sorted(strange)[:3]))}{' ...' if len(strange) > 3 else ''}")
        self._labels = card.labels
        self._masked = {card.labels.index(label) for label in MASKED}
        self._nothing = card.labels.index(NOTHING)
        self._shown_as_nothing = card.labels.index(SHOWN_AS_NOTHING)
        self.reset()

    def reset(self) -> None:
        """Back to "No gesture", with no logits."""
        self._logits: deque[NDArray[np.float32]] = deque(maxlen=SUMMED_STEPS * MAX_PHASES)
        self._shown = deque([self._nothing] * HELD_STEPS * MAX_PHASES,
                            maxlen=HELD_STEPS * MAX_PHASES)

    def update(self, turn: Turn, logits: NDArray[np.float32], index: int
               ) -> tuple[int, NDArray[np.float32], tuple[Event, ...]]:
        """The shown label's place, probabilities [K] (softmax of the mean logits), and events."""
        self._logits.append(logits)
        total = np.sum(list(self._logits)[-SUMMED_STEPS * turn.phases:], axis=0)
        count = min(len(self._logits), SUMMED_STEPS * turn.phases)
        last = self._shown[-1]
        shown = self._decide(int(np.argmax(total)), turn.phases)
        self._shown.append(shown)
        probabilities = softmax(total / count)
        if turn.cold or shown in (last, self._nothing):
            return shown, probabilities, ()
        event = Event(self._labels[shown], turn.time, float(probabilities[shown]), index)
        return shown, probabilities, (event,)

    def _decide(self, best: int, phases: int) -> int:
        last = self._shown[-1]
        if best in self._masked:
            best = last
        if best == self._shown_as_nothing:
            best = self._nothing
        held = set(list(self._shown)[-HELD_STEPS * phases:]) == {last}
        return best if held else last
