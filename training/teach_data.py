"""Recordings as lessons: checked, read once, made small, cut into training's clips."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.card import ModelCard
from online_tsm.preprocess import kept_box
from online_tsm.recordings import (
    Recording,
    RecordingError,
    is_background,
    read_recordings,
    refusal,
)
from online_tsm.stroke import Curve, Seconds, find_stroke
from training.data import Clip, Image
from training.events_file import LabelledEvent

Watch = Callable[[Sequence[Image], Seconds], Curve]  # as `Watcher` has it

FEWEST = 2  # recordings of a gesture: one to learn from while the other judges
HIGHEST_RATE = 15.0  # frames a second that are kept: a network's own rate is a fraction of it
DETAIL = 1.25  # kept pixels for each one of the network's, for crops
LONGEST_S = 20.0  # of a gesture's recording, which holds one of it
MOST_BACKGROUND_S = 300.0  # altogether; it lies in memory
SEGMENT_S = 6.0  # background is cut into pieces about so long
RISE_S, RETURN_S = 0.35, 0.4  # the hand's way to the stroke and back
HAPPENED = 0.6  # share of the stroke after which a gesture can be known
TWICE = 6.0  # grey levels at the spot that differs most: two performances differ by more


class TeachError(ValueError):
    """Recordings that nothing can be learnt from; the message says what to do."""


@dataclass(frozen=True)
class Lesson:
    """One recorded gesture, or a piece of background: a clip in memory, and where it came from.

    `label` is the card's own spelling where the card has it. `turn` counts a label's recordings
    from 0: lessons of one turn, or of one background recording, are left out together when the
    others are judged.
    """

    clip: Clip
    label: str
    background: bool
    turn: int
    source: str


def read_lessons(folder: Path, card: ModelCard, fewest: int = FEWEST, watch: Watch | None = None
                 ) -> list[Lesson]:
    """All recordings in a folder; where nobody said when the stroke is, it is looked for, with
    `watch` if given. Raises RecordingError for a folder that is not there, and TeachError, with a
    line for each clip that cannot be used."""
    bad: dict[Path, str] = {}
    recordings = read_recordings(folder, bad)
    spelt = {label.lower(): label for label in card.labels}
    recordings = [replace(one, label=spelt.setdefault(one.label.lower(), one.label))
                  for one in recordings]
    if not bad:
        _check_folder(folder, recordings, card, fewest)
    bad |= _too_long(recordings, card)
    bad |= _copies(recordings)
    lessons, refused = _lessons([one for one in recordings if one.path not in bad], card, watch)
    bad |= refused
    bad |= _repeated(folder, lessons)
    if bad:
        raise TeachError("\n".join(dict.fromkeys(bad[path] for path in sorted(bad))))
    return lessons


def _check_folder(folder: Path, recordings: Sequence[Recording], card: ModelCard, fewest: int
                  ) -> None:
    if not recordings:
        raise TeachError(f"{folder} holds no recordings; expected a folder a gesture with a few "
                         "videos each, as in 'double wave/1.mp4', and one named 'background'")
    gestures = [one for one in recordings if not _background(one, card)]
    if not gestures:
        raise TeachError(f"{folder} holds background only; record a gesture, too")
    if len(gestures) == len(recordings):
        raise TeachError(
            f"{folder} holds no background recordings. Without them nothing shows how often the "
            "gestures would be seen while you do something else, and no threshold can be set: "
            "record half a minute of sitting, talking, drinking and scratching your head into a "
            "folder named 'background'")
    for label in sorted({one.label for one in gestures}):
        count = sum(one.label == label for one in gestures)
        if count < fewest:
            raise TeachError(f"{label!r} has {_counted(count)}; at least {fewest} are needed, and "
                             "5 are better: each one is judged by what the others taught")


def lesson_from(clip: Clip, label: str, turn: int, card: ModelCard, *, background: bool,
                stroke: tuple[float, float] | None = None, watch: Watch | None = None
                ) -> list[Lesson]:
    """The lessons in a clip: one for a gesture, several for background. `stroke` None: it is
    looked for, with `watch` if given."""
    numbers = kept_frames(clip.times)
    images = [small(image, card) for image in clip.read(numbers)]
    times = clip.times[numbers]
    if not background:
        if stroke is None:
            found = find_stroke(images, times, watch(images, times) if watch else None)
            stroke = found.start, found.end
        return [Lesson(_in_memory(clip, images, times, (_event(label, stroke, times),)), label,
                       False, turn, clip.name)]
    pieces = max(1, round(float(times[-1] - times[0]) / SEGMENT_S))
    return [Lesson(_in_memory(clip, [images[i] for i in part], times[part], ()), label, True,
                   turn + number, clip.name)
            for number, part in enumerate(np.array_split(np.arange(len(images)), pieces))]


def _lessons(recordings: Sequence[Recording], card: ModelCard, watch: Watch | None
             ) -> tuple[list[Lesson], dict[Path, str]]:
    lessons: list[Lesson] = []
    bad: dict[Path, str] = {}
    turns: dict[str, int] = {}
    for recording in recordings:
        background = _background(recording, card)
        key = "" if background else recording.label
        try:
            clip = _thinned(recording, card)
        except (RecordingError, TeachError) as error:
            bad[recording.path] = str(error)
            continue
        made = lesson_from(clip, card.background[0] if background else recording.label,
                           turns.get(key, 0), card, background=background,
                           stroke=recording.stroke, watch=watch)
        turns[key] = turns.get(key, 0) + len(made)
        lessons += made
    return lessons, bad


def _background(recording: Recording, card: ModelCard) -> bool:
    return (recording.background or is_background(recording.label)
            or recording.label in card.background)


def _counted(count: int) -> str:
    return "one recording" if count == 1 else f"{count} recordings"


def _too_long(recordings: Sequence[Recording], card: ModelCard) -> dict[Path, str]:
    background = [one for one in recordings if _background(one, card)]
    bad = {one.path: f"{one.path} lasts {one.times[-1]:.0f} s; a recording shows the gesture once, "
                     f"in at most {LONGEST_S:.0f} s: cut it"
           for one in recordings if not _background(one, card) and one.times[-1] > LONGEST_S}
    total = sum(float(one.times[-1]) for one in background)
    if total > MOST_BACKGROUND_S:
        bad |= dict.fromkeys(
            (one.path for one in background),
            f"there are {total / 60:.0f} minutes of background; half a minute is enough, and "
            f"{MOST_BACKGROUND_S / 60:.0f} minutes are possible")
    return bad


def _copies(recordings: Sequence[Recording]) -> dict[Path, str]:
    seen: dict[str, Path] = {}
    bad = {}
    for recording in recordings:
        with recording.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest in seen:
            bad[recording.path] = (
                f"{recording.path} is the same clip as {seen[digest]}; delete one of them and "
                "record the gesture once more")
        seen.setdefault(digest, recording.path)
    return bad


def _repeated(folder: Path, lessons: Sequence[Lesson]) -> dict[Path, str]:
    """The same performance twice in two files: recompressed, or cut a little differently."""
    looks = [(lesson, _look(lesson)) for lesson in lessons if not lesson.background]
    bad = {}
    for number, (lesson, look) in enumerate(looks):
        for other, other_look in looks[:number]:
            if float(np.abs(look - other_look).max(axis=(1, 2)).mean()) < TWICE:
                bad[folder / lesson.source] = (
                    f"{lesson.source} shows the same performance as {other.source}; delete one of "
                    "them and record the gesture once more")
                break
    return bad


def _look(lesson: Lesson) -> NDArray[np.float32]:
    """Small grey pictures over the whole clip [24, 12, 16]."""
    clip = lesson.clip
    moments = np.linspace(clip.times[0], clip.times[-1], 24)
    numbers = np.clip(np.searchsorted(clip.times, moments), 0, len(clip.times) - 1)
    return np.stack([cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (16, 12),
                                interpolation=cv2.INTER_AREA).astype(np.float32)
                     for image in clip.read(numbers.tolist())])


def kept_frames(times: NDArray[np.float64]) -> list[int]:
    """Numbers of the frames that are kept: all of a slow clip, every n-th of a fast one."""
    rate = (len(times) - 1) / max(float(times[-1] - times[0]), 1e-6)
    return list(range(0, len(times), max(1, round(rate / HIGHEST_RATE))))


def _thinned(recording: Recording, card: ModelCard) -> Clip:
    """A recording in memory: some of its frames, small, turned back if stored as in a mirror.

    A plain clip is looked at as one of the session's was. Raises TeachError.
    """
    kept = set(kept_frames(recording.times))
    images = [small(image[:, ::-1] if recording.mirror else image, card)
              for number, image in enumerate(recording.each_frame()) if number in kept]
    clip = Clip(f"{recording.path.parent.name}/{recording.path.name}", recording.times, (), _none)
    times = recording.times[sorted(kept)]
    words = "" if recording.sidecar.is_file() else refusal(
        images, times, background=_background(recording, card), pieces=True)
    if words:
        raise TeachError(f"{recording.path} cannot be used. {words}")
    return _in_memory(clip, images, times, ())


def _none(_: Sequence[int]) -> list[Image]:
    return []


def small(image: Image, card: ModelCard) -> Image:
    left, _, right, _ = kept_box(card, *image.shape[:2])
    factor = DETAIL * card.input_size[1] / (right - left)
    if factor < 1:
        size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(image)


def _in_memory(clip: Clip, images: list[Image], times: NDArray[np.float64],
               events: tuple[LabelledEvent, ...]) -> Clip:
    return Clip(clip.name, times, events, lambda numbers: [images[i] for i in numbers], clip.person)


def _event(label: str, stroke: tuple[float, float], times: NDArray[np.float64]) -> LabelledEvent:
    start, end = stroke
    return LabelledEvent(
        label, start=max(float(times[0]), start - RISE_S),
        end=min(float(times[-1]), end + RETURN_S), stroke=stroke,
        happened=start + HAPPENED * (end - start))
