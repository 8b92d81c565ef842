"""The guided session in which a person teaches gestures: a state machine without a window.

Keys and frames go in. What takes time (examining, disks, learning) comes out as `requests`, and
its answers go in again: `examined`, `refused`, `listed`. Nothing here draws, waits or opens files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.teach_list import BACKGROUND, Choice, asked, choices, missing, named, newest, sentence
from app.teach_requests import Clip, Delete, Image, Keep, Learn, Move, Request, Span, Undo, held
from models.card import ModelCard
from online_tsm.recordings import LONGEST_LABEL, Recording, RecordingError

Step = Literal["choose", "name", "countdown", "record", "examine", "review", "refused", "delete"]

COUNTDOWN_S = 3.0
RECORD_S = 3.0
BACKGROUND_S = 6.0
PAUSE_S = 0.6  # between two replays
HOLD_S = 1.5  # the frame at an edge of the stroke is shown so long after that was moved
SHORTEST_STROKE_S = 0.2


class Session:
    """`step` says what is on; the other attributes what is to be seen. `open` ends with it."""

    def __init__(self, card: ModelCard, recordings: Sequence[Recording] = ()) -> None:
        self.open = True
        self.step: Step = "choose"
        self.elapsed = 0.0  # s of the step, on the frames' clock
        self.notice = ""  # a sentence for the person
        self.typed = ""  # of a new name
        self.cursor = 0
        self.label, self.number = "", 1  # what is recorded, and its how manieth recording this is
        self.clip: Clip | None = None  # what was recorded last
        self.energy: NDArray[np.float32] | None = None  # [T] of the clip, 1 at its peak
        self.stroke: Span | None = None  # s on the clip's clock
        self.edge = 0  # of the stroke, that the arrows move
        self._card = card
        self._recordings = list(recordings)
        self._requests: list[Request] = []
        self._since: float | None = None
        self._found: Span | None = None
        self._held: float | None = None  # moment of the clip shown for a while
        self._images: list[Image] = []
        self._times: list[float] = []
        self.choices: list[Choice] = []
        self.listed(recordings)

    # What is to be seen

    @property
    def chosen(self) -> Choice:
        """The line of the list under the cursor."""
        return self.choices[self.cursor]

    @property
    def background(self) -> bool:
        """Whether background is recorded."""
        return self.label == BACKGROUND

    @property
    def length_s(self) -> float:
        """Of a recording."""
        return BACKGROUND_S if self.background else RECORD_S

    @property
    def task(self) -> str:
        """What to do now, or when the red light is on."""
        return asked(self.background, self.number - 1, waiting=self.step == "countdown")

    @property
    def replayed_s(self) -> float:
        """The moment of the clip that is shown, s from its start."""
        if self.clip is None:
            return 0.0
        elapsed, end = self.elapsed, float(self.clip.times[-1])
        if self._held is not None:
            if elapsed < HOLD_S:
                return self._held
            elapsed -= HOLD_S
        return min(elapsed % (end + PAUSE_S), end)

    @property
    def replayed(self) -> Image | None:
        """The frame of the clip that is shown instead of the camera's, if it is replayed now."""
        if self.step not in ("review", "refused") or self.clip is None:
            return None
        return self.clip.images[int(np.searchsorted(self.clip.times, self.replayed_s, "right")) - 1]

    @property
    def newest(self) -> Recording | None:
        """The newest recording of the line under the cursor."""
        return newest(self.chosen, self._recordings)

    # What goes in

    def frame(self, image: Image, time: float) -> None:
        """A frame of the camera, BGR uint8 [H, W, 3], and its time in s."""
        if self._since is None or time < self._since:  # another source's clock
            self._since = time
        self.elapsed = time - self._since
        if self.step == "countdown" and self.elapsed >= COUNTDOWN_S:
            self._go("record")
            self._images, self._times, self._since = [], [], time
        if self.step != "record":
            return
        self._images.append(held(image))
        self._times.append(time)
        if self.elapsed >= self.length_s:
            self.clip = Clip(self.label, self.background, tuple(self._images),
                             np.array(self._times) - self._times[0])
            self._requests.append(Keep(self.clip))
            self._go("examine")

    def key(self, key: str) -> bool:
        """Obeys a key by its name; False for one that means nothing now."""
        keys = self._keys()
        if self.step == "name" and key not in keys and key != "":
            self._type(key)
        elif key in keys:
            self.notice = ""
            keys[key]()
        else:
            return key == "esc"  # which quits the demo, but never out of a session
        return True

    def listed(self, recordings: Sequence[Recording]) -> None:
        """These are the recordings now."""
        label = self.chosen.label if self.choices else self.label
        self._recordings = list(recordings)
        self._list()
        self._point_at(label)

    def taught(self, card: ModelCard) -> None:
        """This is the model's card now."""
        self._card = card
        self.listed(self._recordings)

    def examined(self, stroke: Span | None, energy: NDArray[np.float32] | None) -> None:
        """The clip is usable, its stroke was found (None for background), and it is saved."""
        if self.step == "examine":
            self._found = self.stroke = stroke
            self.energy, self.edge = energy, 0
            self._go("review")

    def refused(self, words: str) -> None:
        """The clip is not usable or was not saved, for this reason."""
        self.notice = words
        self._go("refused")

    def take_requests(self) -> list[Request]:
        """What is to be done now, in this order."""
        taken, self._requests = self._requests, []
        return taken

    # What keys do

    def _keys(self) -> dict[str, Callable[[], None]]:
        choose = {"up": lambda: self._scroll(-1), "down": lambda: self._scroll(1),
                  "enter": self._choose, "n": self._ask_name, "d": self._ask_delete,
                  "l": self._learn, "esc": self._leave}
        review = {"enter": self._keep, "r": self._redo, "esc": self._drop}
        if self.stroke is not None:
            review |= {"left": lambda: self._move(-1), "right": lambda: self._move(1),
                       "up": lambda: self._turn_to(0), "down": lambda: self._turn_to(1)}
        keys: dict[Step, dict[str, Callable[[], None]]] = {
            "choose": choose,
            "name": {"enter": self._name, "esc": self._back, "backspace": self._erase,
                     "space": lambda: self._type(" ")},
            "countdown": {"esc": self._back},
            "record": {"esc": self._back},
            "examine": {},
            "review": review,
            "refused": {"enter": self._again, "r": self._again, "esc": self._back},
            "delete": {"enter": self._delete, "d": self._delete, "esc": self._back},
        }
        return keys[self.step]

    def _go(self, step: Step) -> None:
        self.step, self.elapsed, self._since, self._held = step, 0.0, None, None

    def _back(self) -> None:
        self._go("choose")

    def _leave(self) -> None:
        self.open = False

    def _scroll(self, by: int) -> None:
        self.cursor = (self.cursor + by) % len(self.choices)

    def _point_at(self, label: str) -> None:
        """The cursor on the line of `label`, else where it is."""
        places = [place for place, choice in enumerate(self.choices) if choice.label == label]
        self.cursor = places[0] if places else min(self.cursor, len(self.choices) - 1)

    def _choose(self) -> None:
        if self.chosen.kind == "new":
            self._ask_name()
        else:
            self._begin(self.chosen.label)

    def _ask_name(self) -> None:
        self.typed = ""
        self._go("name")

    def _type(self, letter: str) -> None:
        if len(letter) == 1 and len(self.typed) < LONGEST_LABEL:
            self.typed += letter
        self.notice = ""

    def _erase(self) -> None:
        self.typed = self.typed[:-1]

    def _name(self) -> None:
        try:
            label = named(self.typed, [choice.label for choice in self.choices[1:]])
        except RecordingError as error:
            self.notice = sentence(str(error))
            return
        self._begin(label)

    def _list(self) -> None:
        self.choices = choices(self._card.labels, self._card.background, self._recordings,
                               self.label)

    def _begin(self, label: str) -> None:
        self.label = label
        self._list()  # a new one is in it before its first recording is on disk
        self._point_at(label)
        self.number = 1 + sum(choice.count for choice in self.choices if choice.label == label)
        self._again()

    def _again(self) -> None:
        self.clip = self.stroke = self.energy = None
        self._go("countdown")

    def _move(self, frames: int) -> None:
        """The edge in hand by so many frames, within the clip and off the other edge."""
        if self.clip is None or self.stroke is None:
            return
        times = self.clip.times
        place = int(np.argmin(np.abs(times - self.stroke[self.edge]))) + frames
        moved = list(self.stroke)
        moved[self.edge] = float(times[min(max(place, 0), len(times) - 1)])
        if moved[1] - moved[0] >= SHORTEST_STROKE_S:
            self.stroke = (moved[0], moved[1])
        self._hold()

    def _turn_to(self, edge: int) -> None:
        self.edge = edge
        self._hold()

    def _hold(self) -> None:
        """Shows the frame at the edge in hand for a while."""
        assert self.stroke is not None
        self._go("review")
        self._held = self.stroke[self.edge]

    def _keep(self) -> None:
        if self.stroke is not None and self.stroke != self._found:
            self._requests.append(Move(self.stroke))
        self.notice = f"Kept. {'Background' if self.background else self.label}: Enter records " \
                      "the next one."
        self._go("choose")
        self._point_at(self.label)

    def _redo(self) -> None:
        self._requests.append(Undo())
        self._again()

    def _drop(self) -> None:
        self._requests.append(Undo())
        self._go("choose")

    def _ask_delete(self) -> None:
        if self.newest is not None:
            self._go("delete")

    def _delete(self) -> None:
        if self.newest is not None:
            self._requests.append(Delete(self.newest))
        self._go("choose")

    def _learn(self) -> None:
        self.notice = missing(self._recordings)
        if not self.notice:
            self._requests.append(Learn())
            self.open = False
