"""The demo's loop: source -> stream -> overlay -> outputs, and the keys."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import deque
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.keys import command_of
from app.overlay import Overlay
from app.scene import Panel, Scene
from app.settings import Settings
from app.sinks import Sinks
from app.sources import Frame, Source
from app.window import Window
from online_tsm.engine import Engine
from online_tsm.events import Event
from online_tsm.latency import LatencyLog, LatencyReport, StageClock, machine_info
from online_tsm.stream import Prediction, Stream

log = logging.getLogger(__name__)

TIMELINE_S = 10.0
EVENTS_SHOWN = 6
EVENT_SHOWN_S = 8.0
NOTE_S = 4.0  # how long a note such as "snapshot saved" stays
PAUSED_POLL_S = 0.05
SLOW = 0.9  # of the trained rate: a camera below it is told
BLANK: NDArray[np.uint8] = np.zeros((480, 640, 3), np.uint8)  # before the first frame


class Demo:
    """Plays sources through one stream until they end, or until it is told to stop."""

    def __init__(self, settings: Settings, engine: Engine, sinks: Sinks, window: Window | None,
                 started: float) -> None:
        self.frames = 0
        self._settings = settings
        self._engine = engine
        self._sinks = sinks
        self._window = window
        self._stream = Stream(engine, phases=settings.phases, allow=settings.allow,
                              deny=settings.deny, preset=settings.preset)
        self._overlay = Overlay(self._stream.card, settings.overlay)
        self._latency = LatencyLog(started)
        self._clock = StageClock()
        self._source: Source | None = None
        self._epoch = 0
        self._first_time: float | None = None
        self._mirror = False
        self._paused = False
        self._stopped = False
        self._warned = False  # of a slow camera, in the log
        self._note, self._note_until = "", 0.0
        self._timeline: deque[tuple[float, str, float]] = deque()
        self._events: deque[Event] = deque(maxlen=EVENTS_SHOWN)
        self._scene = Scene(BLANK)

    def stop(self) -> None:
        """Ends `play` after the frame in hand. Safe to call from a signal handler."""
        self._stopped = True

    def play(self, source: Source) -> None:
        """Every frame of `source`, until it ends, the user quits or a limit is reached.

        Raises SourceError where the source cannot be used.
        """
        self._source = source
        self._epoch = source.epoch
        self._mirror = source.live if self._settings.mirror is None else self._settings.mirror
        self._restart()
        for frame in self._timed(self._with_progress(source)):
            if frame is None:
                self._idle(source.status)
            else:
                self._process(frame, source)
            self._pause()
            if self._ended():
                return

    def report(self) -> LatencyReport:
        """What all frames so far took."""
        source = self._source
        return self._latency.report(
            machine_info(self._engine),
            camera_fps=source.rate if source is not None and source.live else None,
            dropped=source.dropped if source is not None else 0)

    def _timed(self, frames: Iterable[Frame | None]) -> Iterable[Frame | None]:
        """The same frames, with the wait for each on the clock."""
        iterator = iter(frames)
        while True:
            with self._clock("wait"):
                frame = next(iterator, StopIteration)
            if frame is StopIteration:
                return
            yield frame  # type: ignore[misc]

    def _with_progress(self, source: Source) -> Iterable[Frame | None]:
        """A progress bar on stderr, where no window shows the progress."""
        if self._window is not None:
            yield from source
            return
        limits = [n for n in (source.frame_count, self._settings.max_frames) if n]
        with tqdm(total=min(limits, default=None), unit=" frames", disable=None) as bar:
            for frame in source:
                yield frame
                if frame is not None:
                    bar.update(frame.index + 1 - bar.n)

    def _process(self, frame: Frame, source: Source) -> None:
        """One frame, from the network to the outputs."""
        if source.epoch != self._epoch:
            self._epoch = source.epoch
            self._restart()
        prediction = self._stream.step(frame.image, frame.time)
        self._remember(prediction, frame)
        self._sinks.write(frame, prediction)
        status = source.status or self._slow_camera(source)
        picture = None
        if self._window is not None or self._sinks.recording:
            with self._clock("draw"):
                self._scene = self._scene_of(frame, prediction, source)
                picture = self._overlay.annotate(self._scene)
            self._show(picture, status, self._clock)
        age = time.perf_counter() - frame.grabbed
        if self._sinks.recording and picture is not None:
            with self._clock("record"):
                self._sinks.record(picture, frame.time, source.rate)
        self.frames += 1
        self._latency.add({**self._clock.take(), **prediction.stages}, age,
                          warm=not prediction.cold)

    def _remember(self, prediction: Prediction, frame: Frame) -> None:
        """What the overlay shows of the past."""
        if self._first_time is None:
            self._first_time = frame.time
        self._events.extendleft(prediction.events)
        self._timeline.append((prediction.time, prediction.label, prediction.confidence))
        while self._timeline[0][0] < prediction.time - TIMELINE_S:
            self._timeline.popleft()
        while self._events and self._events[-1].time < prediction.time - TIMELINE_S:
            self._events.pop()

    def _scene_of(self, frame: Frame, prediction: Prediction, source: Source) -> Scene:
        image = cv2.flip(frame.image, 1) if self._mirror else frame.image
        if self._window is not None and not self._sinks.recording:
            image = self._window.fitted(np.asarray(image))  # text drawn later is sharper
        panel = Panel(
            camera_fps=source.rate, model_fps=self._latency.rolling_fps(),
            lookback_s=prediction.lookback_s, trained_step_s=1 / self._engine.card.frame_rate,
            age_s=time.perf_counter() - frame.grabbed, stages=self._latency.rolling(),
            dropped=source.dropped, engine=self._engine.name, device=self._engine.device,
            model=self._engine.card.name, phases=prediction.phases, cold=prediction.cold)
        shown = [(event, prediction.time - event.time) for event in self._events
                 if prediction.time - event.time < EVENT_SHOWN_S]
        return Scene(np.asarray(image), prediction, shown, tuple(self._timeline), panel)

    def _idle(self, status: str, wait_s: float = 0.001) -> None:
        """Nothing new: keep the window alive, say why, and wait so long for a key."""
        if self._window is not None and not self._window.closed:
            self._show(self._overlay.annotate(self._scene), status, StageClock(), wait_s)

    def _slow_camera(self, source: Source) -> str:
        """A sentence if a live source gives fewer frames than the network was trained at."""
        trained = self._engine.card.frame_rate
        if not source.live or source.rate is None or source.rate > SLOW * trained:
            return ""
        words = (f"the camera gives {source.rate:.0f} frames a second, the model wants "
                 f"{trained:.0f}; more light often helps")
        if not self._warned:
            self._warned = True
            log.warning("%s", words)
        return words

    def _pause(self) -> None:
        """Waits while the user wants a pause; a file waits, too, a camera's frames are dropped."""
        while self._paused and not self._ended():
            self._idle("", PAUSED_POLL_S)

    def _show(self, picture: NDArray[np.uint8], status: str, clock: StageClock,
              wait_s: float = 0.001) -> None:
        """`picture` with the notices of the moment in the window, and the key pressed there."""
        if self._window is None:
            return
        note = self._note if time.perf_counter() < self._note_until else ""
        scene = dataclasses.replace(
            self._scene, message=status or self._sinks.problem or note,
            recording=self._sinks.recording, recording_s=self._sinks.recording_s,
            paused=self._paused)
        with clock("draw"):
            noticed = self._overlay.notices(picture, scene)
        with clock("show"):
            key = self._window.show(noticed, wait_s)
        self._obey(command_of(key), picture)

    def _obey(self, command: str, picture: NDArray[np.uint8]) -> None:
        if command == "quit":
            self.stop()
        elif command == "fullscreen" and self._window is not None:
            self._window.toggle_fullscreen()
        elif command == "help":
            self._overlay.help = not self._overlay.help
        elif command == "mirror":
            self._mirror = not self._mirror
        elif command == "overlay":
            self._overlay.next_mode()
        elif command == "pause":
            self._paused = not self._paused
        elif command == "reset":
            self._restart()
            self._say("the network starts anew")
        elif command == "record":
            self._say(self._sinks.toggle_recording())
        elif command == "snapshot":
            self._say(self._sinks.snapshot(picture))

    def _say(self, words: str) -> None:
        self._note, self._note_until = words, time.perf_counter() + NOTE_S

    def _restart(self) -> None:
        """Forgets what was seen: another source, a reconnection, or the user's wish."""
        self._stream.reset()
        self._timeline.clear()
        self._events.clear()

    def _ended(self) -> bool:
        settings = self._settings
        if self._stopped or (self._window is not None and self._window.closed):
            return True
        if settings.max_frames is not None and self.frames >= settings.max_frames:
            return True
        return (settings.max_seconds is not None and self._first_time is not None
                and bool(self._timeline)
                and self._timeline[-1][0] - self._first_time >= settings.max_seconds)
