"""What there is to teach, how much of it is recorded, and what is still missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from online_tsm.recordings import Recording, is_background, safe_label

Kind = Literal["new", "background", "gesture"]

WANTED = 5  # recordings of a gesture: docs/teach.md shows what fewer and more give
# How a gesture's recordings differ, over and over: what was shown only near is not known far away
# (docs/teach.md). training/rendered_users.py does the same.
WAYS = ("rest your hand", "sit farther away", "come nearer, do it faster",
        "farther away, to one side", "come nearer, do it slower")
BACKGROUND_WANTED = 4  # one of each activity
BACKGROUND = "background"  # the folder of it
ACTIVITIES = ("sit still and look at the screen", "talk, and move your hands as you do then",
              "drink, or take something and put it back", "scratch your head, lean back, type")


@dataclass(frozen=True)
class Choice:
    """One line of the list: `count` recordings of `label` out of the `wanted` ones."""

    label: str
    kind: Kind
    count: int = 0
    wanted: int = 0

    @property
    def title(self) -> str:
        """The label as it is shown."""
        if self.kind == "new":
            return "A new gesture …"
        return "Background" if self.kind == "background" else self.label


def choices(labels: Sequence[str], background: Sequence[str], recordings: Iterable[Recording],
            named: str = "") -> list[Choice]:
    """A new gesture, background, what is recorded already or `named` to be so, all other `labels`.
    """
    counts = Counter(BACKGROUND if recording.background else recording.label
                     for recording in recordings)
    rest = counts.pop(BACKGROUND, 0)
    shipped = [label for label in labels if label not in background]
    taught = sorted({*counts, named} - {"", BACKGROUND, *(set(shipped) - set(counts))})
    return [Choice("", "new"), Choice(BACKGROUND, "background", rest, BACKGROUND_WANTED),
            *(Choice(label, "gesture", counts[label], WANTED) for label in taught),
            *(Choice(label, "gesture", 0, WANTED) for label in shipped if label not in counts)]


def advice(choice: Choice) -> str:
    """What to do for the next recording, or with this line, in a sentence or two."""
    if choice.kind == "new":
        return "Any movement of a hand that you can repeat. It gets a name, and five recordings."
    if choice.kind == "background":
        return (f"What is no gesture. Next: {activity(choice.count)}. Without it the trainer "
                "could not tell a gesture from everyday life.")
    if choice.count == 0:
        return "Five recordings, each with the gesture once, and the hand at rest before and after."
    if choice.count < choice.wanted:
        return f"The next one: {way(choice.count)}. So it is known near and far."
    return "Enough to learn from; more, in other light and clothes, make it steadier."


def way(count: int) -> str:
    """How to sit and what to change in the recording of a gesture after `count` others."""
    return WAYS[count % len(WAYS)]


def asked(background: bool, count: int, *, waiting: bool) -> str:
    """What to do in the recording after `count` others, or while `waiting` for it."""
    if background:
        return activity(count).capitalize()
    if waiting:
        return f"{sentence(way(count))} At the red light: the gesture once"
    return "The gesture once, then the hand back to rest"


def activity(count: int) -> str:
    """What to do in the background recording after `count` others."""
    return ACTIVITIES[count % len(ACTIVITIES)]


def missing(recordings: Sequence[Recording]) -> str:
    """"" where the trainer can begin, else what it lacks, as one sentence."""
    gestures = Counter(recording.label for recording in recordings if not recording.background)
    alone = sorted(label for label, count in gestures.items() if count < 2)
    if not gestures:
        return "There is nothing to learn yet: record a gesture first."
    if alone:
        return f"{alone[0]} has one recording; a second one shows what belongs to the gesture."
    if all(not recording.background for recording in recordings):
        return "Learning needs background, too: what you do when you make no gesture."
    return ""


def named(text: str, known: Iterable[str]) -> str:
    """The label that a person means who typed `text`: a known one, or a new one in its style.

    Windows report no capital letters, so a new one gets those of the shipped labels. Raises
    RecordingError for what can be no label.
    """
    label = safe_label(" ".join(text.split()))
    if is_background(label):
        return BACKGROUND
    same = {name.casefold(): name for name in known}
    return same.get(label.casefold(), " ".join(word[0].upper() + word[1:]
                                               for word in label.split()))


def newest(choice: Choice, recordings: Iterable[Recording]) -> Recording | None:
    """The newest recording of that line, if it has one."""
    found = [recording for recording in recordings
             if (recording.background if choice.kind == "background"
                 else recording.label == choice.label and not recording.background)]
    return max(found, key=lambda recording: (recording.date, recording.path.name), default=None)


def sentence(words: str) -> str:
    """An error's words with a capital letter and a full stop."""
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")
