"""The demo's loop: source -> stream -> overlay -> outputs, and the keys."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from app.feed import say_above, timed, with_progress
from app.keys import command_of
from app.outputs import STDOUT, say
from app.overlay import Overlay
from app.scene import Panel, Scene
from app.settings import Settings
from app.sinks import Sinks
from app.sources import Frame, Source
from app.teaching import Teaching
from app.window import Window
from online_tsm.engine import Engine
from online_tsm.events import Event
from online_tsm.latency import LatencyLog, LatencyReport, StageClock, machine_info
from online_tsm.stream import Prediction, Stream

log = logging.getLogger(__name__)

TIMELINE_S = 10.0
EVENTS_SHOWN = 6
NOTE_S, LETTER_S = 4.0, 0.04  # how long a note such as "snapshot saved" stays, and each letter
SESSION_COMMANDS = ("quit", "fullscreen", "mirror")  # what keys still do while gestures are taught
PAUSED_POLL_S = 0.05
SLOW = 0.9  # of the trained rate: a camera below it is told
BLANK: NDArray[np.uint8] = np.zeros((480, 640, 3), np.uint8)  # before the first frame


def new_stream(settings: Settings, engine: Engine) -> Stream:
    """A stream with the settings in force. Raises StreamError or LabelError."""
    return Stream(engine, phases=settings.phases, allow=settings.allow, deny=settings.deny,
                  preset=settings.preset)


class Demo:
    """Plays sources through one stream until they end, or until it is told to stop."""

    def __init__(self, settings: Settings, engine: Engine, sinks: Sinks, window: Window | None,
                 teaching: Teaching | None = None, *, started: float, stopping: threading.Event
                 ) -> None:
        """`started`: `time.perf_counter()` when the program began. `stopping`, once set, ends
        `play` after the frame in hand."""
        self.frames = 0
        self._settings = settings
        self._engine = engine
        self._sinks = sinks
        self._window = window
        self._teaching = teaching
        self._stream = new_stream(settings, engine)
        self._overlay = Overlay(self._stream.card, settings.overlay)
        self._latency = LatencyLog(started)
        self._clock = StageClock()
        self._source: Source | None = None
        self._dropped = 0  # frames of the source, until its play ended
        self._epoch = 0
        self._origin: float | None = None  # of the source's times, s
        self._played_s = 0.0  # from the source's first frame to its latest
        self._mirror = False
        self._paused = False
        self._stopping = stopping
        self._age_s: float | None = None  # of the latest frame, when it was shown
        self._told: set[str] = set()  # what the log was told of the source
        self._note, self._note_until = "", 0.0
        self._timeline: deque[tuple[float, str, float]] = deque()
        self._events: deque[Event] = deque(maxlen=EVENTS_SHOWN)
        self._scene = Scene(BLANK)

    def play(self, source: Source) -> bool:
        """Every frame of `source`, until it ends, the user quits or a limit is reached.

        Returns whether it has ended. Raises SourceError where the source cannot be used.
        """
        self._source = source
        self._epoch = source.epoch
        self._origin = None
        self._mirror = source.live if self._settings.mirror is None else self._settings.mirror
        self._restart()
        ended = True
        frames = source if self._window is not None else with_progress(
            source, self._settings.max_frames)
        for frame in timed(frames, self._clock):
            if frame is None:
                self._idle()
            elif self._teaching is not None and self._teaching.active:
                self._teach(frame, self._teaching)
            else:
                self._process(frame, source)
            self._follow_teaching()
            self._pause()
            if self._ended():
                ended = False
                break
        self._dropped = source.dropped  # now: it counts on while outputs close
        return ended

    def report(self) -> LatencyReport:
        """What all frames so far took."""
        source = self._source
        report = self._latency.report(
            machine_info(self._engine),
            camera_fps=source.rate if source is not None and source.live else None,
            dropped=self._dropped)
        # A session before the first prediction is no part of a cold start.
        return dataclasses.replace(report, cold_start_s=None) if self._settings.teach else report

    def _process(self, frame: Frame, source: Source) -> None:
        """One frame, from the network to the outputs."""
        if source.epoch != self._epoch:
            self._epoch = source.epoch
            self._restart()
        if self._origin is None:
            self._origin = frame.time
        # A camera's clock starts anywhere, a run's at 0; a file's times are kept as they are.
        time_s = frame.time - self._origin if source.live else frame.time
        self._played_s = frame.time - self._origin
        prediction = self._stream.step(frame.image, time_s)
        self._remember(prediction)
        self._sinks.write(frame, prediction)
        if self._window is None and self._settings.events != STDOUT:
            for event in prediction.events:
                say_above(f"{event.time:8.2f} s  {event.label}  {event.confidence:.0%}")
        self._tell(source.status or self._slow_camera())
        recording = self._sinks.recording  # before a key may change it: the picture is made for it
        if self._window is not None or recording:
            with self._clock("draw"):
                self._scene = self._scene_of(frame.image, prediction, source, recording)
                picture = self._overlay.annotate(self._scene)
            self._show(picture, self._clock)
        self._age_s = time.perf_counter() - frame.grabbed
        if recording:
            with self._clock("record"):
                self._sinks.record(picture, prediction.time, source.rate)
        self.frames += 1
        self._latency.add({**self._clock.take(), **prediction.stages}, self._age_s,
                          warm=not prediction.cold)

    def _teach(self, frame: Frame, teaching: Teaching) -> None:
        """One frame for the session. The network rests, so that nothing sets off actions."""
        teaching.see(frame.image, frame.time)
        self._scene = Scene(frame.image)
        self.frames += 1
        self._show_session(teaching)

    def _show_session(self, teaching: Teaching, wait_s: float = 0.001) -> None:
        if self._window is None:
            return
        picture = teaching.picture(self._scene.image, self._prepared, self._mirror)
        key = self._window.show(picture, wait_s)
        if not teaching.key(key) and command_of(key) in SESSION_COMMANDS:
            self._obey(command_of(key), self._scene.image)

    def _follow_teaching(self) -> None:
        """Between two frames: what the session asks for, and the model that was learned."""
        if self._teaching is None:
            return
        active = self._teaching.active
        if active:
            self._clock.take()  # or the frame after the session would have waited for all of it
        learned = self._teaching.poll()
        if learned is not None:  # first, for the picture keeps what is said last
            self._say(self._sinks.follow(learned.card))
        while self._teaching.notes:
            self._say(self._teaching.notes.pop(0))
        if learned is not None:
            self._stream, self._engine, self._overlay.card = learned, learned.engine, learned.card
        if learned is not None or active != self._teaching.active:
            self._restart()

    def _prepared(self, image: NDArray[np.uint8], fit: bool = True) -> NDArray[np.uint8]:
        """Mirrored where that is wished, and `fit` to the window: text drawn later is sharper."""
        if self._mirror:
            image = np.asarray(cv2.flip(image, 1), np.uint8)
        return self._window.fitted(image) if fit and self._window is not None else image

    def _remember(self, prediction: Prediction) -> None:
        """What the overlay shows of the past."""
        self._events.extendleft(prediction.events)
        self._timeline.append((prediction.time, prediction.label, prediction.confidence))
        while self._timeline[0][0] < prediction.time - TIMELINE_S:
            self._timeline.popleft()
        while self._events and self._events[-1].time < prediction.time - TIMELINE_S:
            self._events.pop()

    def _scene_of(self, image: NDArray[np.uint8], prediction: Prediction, source: Source,
                  recording: bool) -> Scene:
        image = self._prepared(image, fit=not recording)
        panel = Panel(
            camera_fps=source.rate, model_fps=self._latency.rolling_fps(),
            lookback_s=prediction.lookback_s, trained_step_s=1 / self._engine.card.frame_rate,
            age_s=self._age_s, stages=self._latency.rolling(),
            dropped=source.dropped, engine=self._engine.name, device=self._engine.device,
            precision=self._engine.precision, model=self._engine.card.name,
            phases=prediction.phases, cold=prediction.cold)
        shown = [(event, prediction.time - event.time) for event in self._events]
        return Scene(image, prediction, shown, tuple(self._timeline), panel, mirrored=self._mirror)

    def _idle(self, wait_s: float = 0.001) -> None:
        """Nothing new: keep the window alive, say why, and wait so long for a key."""
        if self._teaching is not None and self._teaching.active:
            self._show_session(self._teaching, wait_s)
        elif self._window is not None and not self._window.closed:
            self._show(self._overlay.annotate(self._scene), StageClock(), wait_s)

    def _message(self) -> str:
        """The sentence of the moment for the overlay, the most urgent one."""
        status = self._source.status if self._source is not None else ""
        note = self._note if time.perf_counter() < self._note_until else ""
        return status or self._sinks.problem or note or self._slow_camera()

    def _slow_camera(self) -> str:
        """A sentence if a live source gives fewer frames than the network was trained at."""
        source, trained = self._source, self._engine.card.frame_rate
        if source is None or not source.live or source.rate is None or self.frames < 2:
            return ""
        if source.rate > SLOW * trained:
            return ""
        return (f"the camera gives {source.rate:.0f} frames a second, the model wants "
                f"{trained:.0f}; more light often helps")

    def _tell(self, words: str) -> None:
        """What is wrong with a source that does give frames goes to the log, once."""
        if words and words not in self._told:
            self._told.add(words)
            log.warning("%s", words)

    def _pause(self) -> None:
        """Waits while the user wants a pause; a file waits, too, a camera's frames are dropped."""
        while self._paused and not self._ended():
            self._idle(PAUSED_POLL_S)
            self._follow_teaching()

    def _show(self, picture: NDArray[np.uint8], clock: StageClock, wait_s: float = 0.001) -> None:
        """`picture` with the notices of the moment in the window, and the key pressed there."""
        if self._window is None:
            return
        scene = dataclasses.replace(
            self._scene, message=self._message(), recording=self._sinks.recording,
            recording_s=self._sinks.recording_s, paused=self._paused,
            task=self._teaching.learning if self._teaching is not None else None)
        with clock("draw"):
            noticed = self._overlay.notices(picture, scene)
        with clock("show"):
            key = self._window.show(noticed, wait_s)
        if key == "esc" and self._overlay.help:  # back first, as in a session
            self._overlay.help = 0
        else:
            self._obey(command_of(key), picture)

    def _obey(self, command: str, picture: NDArray[np.uint8]) -> None:
        if command == "quit":
            self._stopping.set()
        elif command == "fullscreen" and self._window is not None:
            self._window.toggle_fullscreen()
        elif command == "help":
            self._overlay.turn_help(picture)
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
        elif command == "teach" and self._teaching is not None:
            self._paused = False
            self._teaching.start()

    def _say(self, words: str) -> None:
        """For the person at the window: on the picture for a while, and on stderr to be kept."""
        if words:
            say(words)
        self._note, self._note_until = words, time.perf_counter() + NOTE_S + LETTER_S * len(words)

    def _restart(self) -> None:
        """Forgets what was seen: another source, a reconnection, or the user's wish."""
        self._stream.reset()
        self._timeline.clear()
        self._events.clear()

    def _ended(self) -> bool:
        settings = self._settings
        if self._window is None and self._sinks.hung_up:
            return True
        if self._stopping.is_set() or (self._window is not None and self._window.closed):
            return True
        if settings.max_frames is not None and self.frames >= settings.max_frames:
            return True
        return settings.max_seconds is not None and self._played_s >= settings.max_seconds
