"""What a gesture sets off: a text, a key, a program, a request. In a thread of its own."""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from app.action_file import WAIT_S, Action, ActionsError
from app.outputs import say
from app.streams import http_request, safe_name

if TYPE_CHECKING:
    from online_tsm.events import Event

__all__ = ["Action", "Actions", "ActionsError"]

logger = logging.getLogger(__name__)

WAITING = 8  # actions in the queue; a gesture beyond them is dropped, and said
STDERR = 2  # the file descriptor; programs write there, since our stdout is for data
# Ctrl-C in the demo's terminal ends the demo, not what it has launched.
if sys.platform == "win32":
    APART: dict[str, Any] = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
else:
    APART: dict[str, Any] = {"start_new_session": True}
CLOSE_S = 2.0  # how long close() waits for what is still under way


class Actions:
    """Performs actions beside the video loop, in the order of their gestures. One that starts a
    program or asks a server holds back the same gesture's next one alone: a key is pressed at once.

    What fails is logged as a warning and never raised. With `dry_run` nothing is done, only
    said, on stderr. ActionsError where keys are to be pressed and cannot be.
    """

    def __init__(self, actions: Mapping[str, Action], dry_run: bool = False) -> None:
        self._actions: Mapping[str, Action] = {}
        self._dry_run = dry_run
        self._keys: Keys | None = None
        self.change(actions)
        self._lanes: dict[str | None, _Lane] = {}  # by gesture where it takes a while
        self._closed = False

    def change(self, actions: Mapping[str, Action]) -> None:
        """These are the actions from now on; ActionsError as above, and then nothing changes. For
        the main thread: on macOS the keyboard's layout may be asked for there alone."""
        if not self._dry_run and any(action.kind == "key" for action in actions.values()):
            self._keys = self._keys or Keys()
            self._keys.check(actions.values())
        self._actions = actions

    def bound(self, labels: Iterable[str]) -> dict[str, Action]:
        """The actions of these gestures, in the file's order."""
        return {label: action for label, action in self._actions.items() if label in set(labels)}

    def waiting(self, labels: Iterable[str]) -> list[str]:
        """The gestures that have an action and are none of these."""
        return [label for label in self._actions if label not in set(labels)]

    def fire(self, event: Event) -> None:
        """Sets off the gesture's action, if it has one. Returns at once."""
        action = self._actions.get(event.label)
        if action is None or self._closed:
            return
        if self._dry_run:
            say(f"{event.label}: would {describe(action)}")
            return
        name = event.label if action.kind in WAIT_S else None
        if name not in self._lanes:
            self._lanes[name] = _Lane(self._perform)
        if not self._lanes[name].put(action, event):
            logger.warning("%s: dropped, %d actions are waiting already", event.label, WAITING)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets what is waiting happen, for two seconds at most; the rest is dropped, and said."""
        if self._closed:
            return
        self._closed = True
        end = time.monotonic() + CLOSE_S
        for lane in self._lanes.values():
            lane.finish()
        dropped = [left for lane in self._lanes.values()
                   if (left := lane.abandon(end)) is not None]
        if dropped:
            logger.warning("an action is still under way, %d more were dropped", sum(dropped))

    def _perform(self, action: Action, event: Event) -> None:
        if action.kind == "print":
            print(*action.words, file=sys.stderr, flush=True)
        elif action.kind == "run":
            _run(action)
        elif action.kind == "post":
            _post(action, event)
        elif self._keys is not None:  # always: `change` has opened them
            self._keys.press(action.words)


class _Lane:
    """A thread that performs actions one after another."""

    def __init__(self, perform: Callable[[Action, Event], None]) -> None:
        self._perform = perform
        self._queue: queue.SimpleQueue[tuple[Action, Event] | None] = queue.SimpleQueue()
        self._abandoned = False
        self._thread = threading.Thread(target=self._work, name="actions", daemon=True)
        self._thread.start()

    def put(self, action: Action, event: Event) -> bool:
        """Whether there was room for it."""
        if self._queue.qsize() >= WAITING:
            return False
        self._queue.put((action, event))
        return True

    def finish(self) -> None:
        """What waits is the last."""
        self._queue.put(None)

    def abandon(self, end: float) -> int | None:
        """Waits for the last action until `end`, then drops those that wait. Returns how many; None
        where all were done."""
        self._thread.join(max(0.0, end - time.monotonic()))
        if not self._thread.is_alive():
            return None
        self._abandoned = True
        return max(self._queue.qsize() - 1, 0)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None and not self._abandoned:
            action, event = job
            try:
                self._perform(action, event)
            except Exception as error:  # whatever a driver raises, the next gesture counts again
                logger.warning("%s: could not %s: %s", event.label, describe(action), _why(error))
                logger.debug("the failure in full", exc_info=True)


def describe(action: Action) -> str:
    """The action in words, without what may be secret: "press ctrl+t", "run notify-send Stop"."""
    if action.kind == "key":
        return f"press {'+'.join(action.words)}"
    if action.kind == "post":
        return f"post to {safe_name(action.words[0])}"
    return f"{action.kind} {' '.join(action.words)}"


def _run(action: Action) -> None:
    """Runs a program; one that takes longer than the timeout goes on, and is not waited for."""
    words = list(action.words)
    if words[0] == "python" and shutil.which("python") is None:
        words[0] = sys.executable  # Debian has no program of that name outside of an environment
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=STDERR, **APART)
    try:
        code = process.wait(action.timeout_s)
    except subprocess.TimeoutExpired:
        logger.info("%s still runs after %g s", action.words[0], action.timeout_s)
        return
    if code != 0:
        raise RuntimeError(f"it ended with code {code}")


def _post(action: Action, event: Event) -> None:
    from urllib.request import urlopen  # 30 ms, which a start need not pay

    body = {"label": event.label, "time": float(event.time), "confidence": float(event.confidence)}
    request = http_request(action.words[0])
    request.data = json.dumps(body).encode()
    request.add_header("Content-Type", "application/json")
    with urlopen(request, timeout=action.timeout_s) as answer:
        logger.debug("%s: %s", safe_name(action.words[0]), answer.status)


def _why(error: Exception) -> str:
    """An exception in words: that of the system where there is one."""
    from urllib.error import URLError

    cause: object = error
    if isinstance(error, URLError) and isinstance(error.reason, OSError):
        cause = error.reason
    return str((isinstance(cause, OSError) and cause.strerror) or cause)


class Keys:
    """A keyboard to press keys of, by pynput. ActionsError where keys cannot be pressed."""

    def __init__(self) -> None:
        try:
            from pynput import keyboard  # an optional dependency
        except ImportError as error:
            if error.name == "pynput":
                raise ActionsError("pressing keys needs the package pynput: "
                                   f"`{sys.executable} -m pip install pynput`") from error
            raise ActionsError(f"keys cannot be pressed here: {_first_line(error)}") from error
        try:
            self._controller = keyboard.Controller()
        except Exception as error:  # of its own for every system
            raise ActionsError(f"keys cannot be pressed here: {_first_line(error)}") from error
        self._names: Any = keyboard.Key
        if os.environ.get("XDG_SESSION_TYPE") == "wayland":
            logger.warning("this is a Wayland session: keys reach the windows of X programs only")

    def check(self, actions: Iterable[Action]) -> None:
        """ActionsError for a key that this system lacks."""
        for action in actions:
            for key in action.words if action.kind == "key" else ():
                if len(key) > 1 and key != "plus" and not hasattr(self._names, key):
                    raise ActionsError(f"this system has no key '{key}'")

    def press(self, keys: Sequence[str]) -> None:
        """Presses keys one after the other, and lets go of all."""
        codes = ["+" if key == "plus" else key if len(key) == 1 else self._names[key]
                 for key in keys]
        with ExitStack() as held:  # whatever fails half-way, no key stays down
            for code in codes:
                self._controller.press(code)
                held.callback(self._controller.release, code)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
