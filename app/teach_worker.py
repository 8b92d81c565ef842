"""The session's work on disk, in a thread of its own, one request after another."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.teach_requests import Clip, Delete, Keep, Move, Request, Span, Undo
from models.card import CardError
from models.errors import CheckpointError
from online_tsm.engine import EngineError
from online_tsm.recordings import (
    Recording,
    RecordingError,
    delete_left,
    delete_recording,
    move_stroke,
    read_recording,
    recording_paths,
    refusal,
    save_recording,
)
from online_tsm.stroke import Curve, Image, Seconds, find_stroke

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Examined:
    """A clip is usable, and saved: its stroke (None for background) and motion."""

    stroke: Span | None
    energy: NDArray[np.float32] | None


@dataclass(frozen=True)
class Refused:
    """A clip is not usable, or was not saved, for this reason."""

    words: str


@dataclass(frozen=True)
class Listed:
    """These are all recordings now."""

    recordings: tuple[Recording, ...]


@dataclass(frozen=True)
class Failed:
    """Something else could not be done, for this reason."""

    words: str


Answer = Examined | Refused | Listed | Failed
Watch = Callable[[Sequence[Image], Seconds], Curve]  # as `Watcher` has it


class Worker:
    """Does requests in their order. What was asked for before `close` is done before it returns.

    The first answer lists what is in `folder`. A clip is saved before the person has looked at
    it: whatever ends the program meanwhile, it is not lost. `Undo` deletes it again. `watch` gives
    a clip's features, which help to find the stroke.
    """

    def __init__(self, folder: Path, watch: Watch) -> None:
        self._folder = folder
        self._watch = watch
        self._recordings: list[Recording] = []
        self._latest: Recording | None = None
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="recordings")
        self._thread.start()

    def ask(self, request: Request) -> None:
        """Puts a request at the end of the queue."""
        self._requests.put(request)

    def answers(self) -> list[Answer]:
        """What was answered since the last call. Raises what ended the thread, if anything did."""
        if self._error is not None:
            raise self._error
        found = []
        while not self._answers.empty():
            found.append(self._answers.get())
        return found

    def close(self) -> None:
        """Finishes what was asked for, and ends the thread; may be called twice."""
        self._requests.put(None)
        self._thread.join()

    def _work(self) -> None:
        do: dict[type, Callable[..., None]] = {
            Keep: self._keep, Move: self._move, Undo: self._undo, Delete: self._delete}
        try:
            self._do(self._read)
            while (request := self._requests.get()) is not None:
                self._do(do[type(request)], request)
        except BaseException as error:  # raised where the answers are taken
            self._error = error

    def _do(self, work: Callable[..., None], *request: Request) -> None:
        try:
            work(*request)
        except RecordingError as error:
            self._fail(error)
        self._answers.put(Listed(tuple(self._recordings)))

    def _fail(self, error: RecordingError) -> None:
        log.warning("%s", error)
        self._answers.put(Failed(str(error)))

    def _read(self) -> None:
        try:
            delete_left(self._folder)
        except RecordingError as error:
            self._fail(error)
        for path in recording_paths(self._folder) if self._folder.is_dir() else []:
            try:
                self._recordings.append(read_recording(path))
            except RecordingError as error:  # the others are there still
                self._fail(error)

    def _keep(self, request: Keep) -> None:
        clip, self._latest = request.clip, None
        words = refusal(clip.images, clip.times, background=clip.background)
        if words:
            self._answers.put(Refused(words))
            return
        stroke, energy = self._stroke_of(clip)
        try:
            self._latest = save_recording(self._folder, clip.label, clip.images, clip.times,
                                          stroke=stroke, background=clip.background)
        except RecordingError as error:
            self._answers.put(Refused(str(error)))
            return
        self._recordings = sorted([*self._recordings, self._latest], key=attrgetter("path"))
        self._answers.put(Examined(stroke, energy))

    def _move(self, request: Move) -> None:
        if self._latest is not None:
            self._latest = move_stroke(self._latest, request.stroke)
            self._forget(self._latest)  # after it: what cannot be moved is still there
            self._recordings = sorted([*self._recordings, self._latest], key=attrgetter("path"))

    def _undo(self, _: Undo) -> None:
        if self._latest is not None:
            self._delete(Delete(self._latest))
            self._latest = None

    def _delete(self, request: Delete) -> None:
        delete_recording(request.recording.path)
        self._forget(request.recording)

    def _forget(self, gone: Recording) -> None:
        self._recordings = [kept for kept in self._recordings if kept.path != gone.path]

    def _stroke_of(self, clip: Clip) -> tuple[Span | None, NDArray[np.float32] | None]:
        if clip.background:
            return None, None
        features = None
        try:
            features = self._watch(clip.images, clip.times)
        except (CardError, CheckpointError, EngineError) as error:
            log.warning("the stroke is found by motion alone: %s", error)
        found = find_stroke(clip.images, clip.times, features)
        return (found.start, found.end), found.energy
