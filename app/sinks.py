"""Everything a run writes to: events, predictions, actions, the recording, snapshots."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.action_file import Action, ActionsError, read_actions
from app.actions import Actions, describe
from app.outputs import STDOUT, JsonLines, OutputError, RunFolder, save_snapshot
from app.personal import taught_names, teach_dir
from app.recording import VideoRecorder, unused
from app.settings import AUTO, Settings
from app.sources import Frame
from models.card import ModelCard
from online_tsm.labels import restricted
from online_tsm.stream import Prediction

LIVE_RATE = 30.0  # of a recording that starts before a camera's rate is known


class Sinks:
    """Opens what the settings ask for, and takes what every frame gives.

    Without a window (`headless`) a run records its events and its annotated video in the run
    folder, unless the settings say otherwise. `recording` says whether pictures are recorded
    now. Opening raises OutputError or ActionsError; what fails later stops nothing else: `problem`
    says it at once, `failures` in the end. A run folder in which nothing was written goes again.
    """

    def __init__(self, settings: Settings, card: ModelCard, headless: bool) -> None:
        self.folder = RunFolder(Path(settings.out))
        self.recording = settings.record != "off" and (headless or settings.record is not None)
        self._record_to = settings.record if settings.record not in (None, AUTO, "off") else None
        self._recorder: VideoRecorder | None = None
        self._recorded_from = 0.0
        self._recorded_to = 0.0
        self._recordings = 0
        self._snapshots = 0
        self._problem = ""
        self._failed_recordings: list[str] = []
        with ExitStack() as failed, ExitStack() as stack:
            failed.callback(self.folder.remove_empty)
            events = settings.events or (
                str(self.folder.file("events.jsonl")) if headless else None)
            self._events = stack.enter_context(JsonLines(events)) if events else None
            self._predictions = (stack.enter_context(JsonLines(settings.predictions))
                                 if settings.predictions else None)
            self._settings, self._labels = settings, card.labels
            self._off = restricted(card, settings.allow, settings.deny).smoothing.disabled
            self._actions = stack.enter_context(
                Actions(self._read_actions(settings.actions), settings.dry_run)
            ) if settings.actions else None
            if self.recording:
                self._check_recording()
            self._open = stack.pop_all()
            failed.pop_all()

    @property
    def recording_s(self) -> float:
        """The recording's length so far, s."""
        return self._recorded_to - self._recorded_from

    @property
    def problem(self) -> str:
        """A sentence on what cannot be written any more, or "". It goes where the person begins
        another recording."""
        return self._problem or next(iter(self._failed_lines()), "")

    @property
    def failures(self) -> list[str]:
        """A sentence on each output that could not be written to its end."""
        return [*self._failed_recordings, *self._failed_lines()]

    @property
    def hung_up(self) -> bool:
        """Whether the reader of what goes to stdout has left: nothing is wanted any more."""
        return any(sink is not None and sink.target == STDOUT and sink.ended and not sink.failed
                   for sink in (self._events, self._predictions))

    @property
    def waiting(self) -> str:
        """A sentence on the gestures that have an action but are not in the model yet, or are left
        out; or ""."""
        if self._actions is None:
            return ""
        unknown = [f"the model does not know {name!r}: its action waits until it is taught"
                   for name in self._actions.waiting(self._labels)]
        denied = self._settings.deny
        off = [f"{name!r} is left out: its action waits "
               f"{'while --deny names it' if name in denied else 'for an --allow that names it'}"
               for name in self._actions.bound(self._off)]
        return "; ".join([*unknown, *off])

    def follow(self, card: ModelCard) -> str:
        """Another model is in use: its gestures set off actions from now on, and no others. The
        actions file is read anew, for what was written into it meanwhile. Returns what changes,
        as a sentence, or "".
        """
        if self._actions is None or self._settings.actions is None:
            return ""
        said, before, self._labels = [], self._actions.bound(self._labels), card.labels
        try:
            self._actions.change(self._read_actions(self._settings.actions))
        except ActionsError as error:
            said.append(f"the actions stay as they were: {error}")
        now = self._actions.bound(card.labels)
        said += [f"{label} will {describe(action)}" for label, action in now.items()
                 if before.get(label) != action]
        said += [f"{label} does nothing any more" for label in before if label not in now]
        return "; ".join(said)

    def _read_actions(self, path: str) -> dict[str, Action]:
        """The file's actions for the model's gestures and those that are recorded or taught; a
        session that is asked for may bring any other. Raises ActionsError."""
        names = [*self._labels, *sorted(taught_names(teach_dir(self._settings)))]
        return read_actions(Path(path), names, others=self._settings.teach)

    def write(self, frame: Frame, prediction: Prediction) -> None:
        """The frame's prediction, and its events, which set off their actions."""
        if self._events is not None:
            self._events.begin()  # a frame without events is a result, too
        if self._predictions is not None:
            self._predictions.write({
                "frame": frame.index, "time": round(prediction.time, 6), "label": prediction.label,
                "confidence": prediction.confidence, "cold": prediction.cold,
                "logits": prediction.logits, "probabilities": prediction.probabilities})
        for event in prediction.events:
            if self._events is not None:
                self._events.write({"time": round(event.time, 6), "label": event.label,
                                    "confidence": event.confidence, "frame": frame.index})
            if self._actions is not None:
                self._actions.fire(event)

    def record(self, picture: NDArray[np.uint8], time: float, rate: float | None) -> None:
        """One picture (BGR) of the recording, at its time in s, if one is under way."""
        if not self.recording:
            return
        try:
            if self._recorder is None:
                self._recordings += 1
                path = self._recording_path(self._recordings)
                self._recorder = VideoRecorder(path, rate or LIVE_RATE)
                self._recorded_from = time
        except OutputError as error:
            self._end_recording(str(error))
            return
        self._recorder.write(picture, time)
        self._recorded_to = max(time, self._recorded_from)
        if self._recorder.failed:
            self._end_recording(self._recorder.failed)

    def toggle_recording(self) -> str:
        """Starts or ends a recording; returns a sentence for the overlay."""
        if not self.recording:
            self.recording, self._problem = True, ""
            self._recorded_from = self._recorded_to = 0.0
            return "recording"
        recorder = self._recorder
        self._end_recording("")
        return f"recorded {recorder.path}" if recorder is not None and not self._problem else ""

    def snapshot(self, picture: NDArray[np.uint8]) -> str:
        """Saves a picture in the run folder; returns a sentence for the overlay."""
        self._snapshots += 1
        try:
            path = self.folder.file(f"snapshot-{self._snapshots}.png")
            return f"saved {save_snapshot(picture, path)}"
        except OutputError as error:
            return str(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.folder.remove_empty()  # not sooner: the report of a run goes there after `close`

    def close(self) -> None:
        """Finishes the recording and all files; lets waiting actions happen."""
        if self._recorder is not None:
            self._end_recording("")
        self._open.close()

    def _check_recording(self) -> None:
        """A recording asked for at the start must be possible: better now than at its end."""
        VideoRecorder(self._recording_path(1), LIVE_RATE).close()

    def _recording_path(self, number: int) -> Path:
        """The file of the run's first, second, ... recording; only the first may overwrite one,
        since its name was asked for."""
        wanted = Path(self._record_to) if self._record_to else self.folder.file("annotated.mp4")
        return wanted if number == 1 else unused(wanted)

    def _end_recording(self, problem: str) -> None:
        self.recording = False
        if self._recorder is not None:
            self._recorder.close()
            problem = problem or self._recorder.failed
        self._recorder = None
        self._problem = problem
        if problem:
            self._failed_recordings.append(problem)

    def _failed_lines(self) -> list[str]:
        lines = [sink.failed for sink in (self._events, self._predictions) if sink is not None]
        return [words for words in lines if words]
