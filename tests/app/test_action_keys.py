"""Actions that press keys: shortcuts, and keys and packages that are missing."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from gesture_actions import LABELS, event, write

from app.action_file import KEYS, Action, read_actions
from app.actions import Actions, ActionsError

made: list[threading.Thread] = []  # the threads that opened a keyboard


def test_keys_without_the_package_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynput", None)
    path = write(tmp_path, "Thumb Up: {key: left}")
    with pytest.raises(ActionsError, match="-m pip install pynput"):
        Actions(read_actions(path, LABELS))


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """pynput's keyboard as far as it is used, for machines without a display or the package."""
    log: list[tuple[str, Any]] = []
    made.clear()

    class Controller:
        def __init__(self) -> None:
            made.append(threading.current_thread())

        def press(self, key: Any) -> None:
            if key == "é":
                raise ValueError("no such key here")
            log.append(("press", key))

        def release(self, key: Any) -> None:
            log.append(("release", key))

    class Key:
        ctrl, left = "<ctrl>", "<left>"

        def __class_getitem__(cls, name: str) -> str:
            return str(getattr(cls, name))

    package, module = ModuleType("pynput"), ModuleType("pynput.keyboard")
    module.Controller, module.Key = Controller, Key  # type: ignore[attr-defined]
    package.keyboard = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynput", package)
    monkeypatch.setitem(sys.modules, "pynput.keyboard", module)
    return log


def test_shortcut_is_held_and_let_go(keyboard: list[tuple[str, Any]]) -> None:
    with Actions({"Thumb Up": Action("key", ("ctrl", "plus"))}) as actions:
        actions.fire(event())
    assert keyboard == [("press", "<ctrl>"), ("press", "+"), ("release", "+"),
                        ("release", "<ctrl>")]


def test_shortcut_that_fails_half_way_leaves_no_key_down(keyboard: list[tuple[str, Any]]) -> None:
    with Actions({"Thumb Up": Action("key", ("ctrl", "left", "é"))}) as actions:
        actions.fire(event())
    assert keyboard == [("press", "<ctrl>"), ("press", "<left>"), ("release", "<left>"),
                        ("release", "<ctrl>")]


def test_the_keyboard_is_opened_once_and_by_the_main_thread(keyboard: list[tuple[str, Any]]
                                                            ) -> None:
    """macOS ends a process that asks for the keyboard's layout in another thread."""
    with Actions({"Thumb Up": Action("key", ("left",))}) as actions:
        actions.fire(event())
        actions.change({"Thumb Up": Action("key", ("ctrl",))})
        actions.fire(event())
    assert [name for _, name in keyboard[-2:]] == ["<ctrl>", "<ctrl>"]
    assert made == [threading.main_thread()]


@pytest.mark.usefixtures("keyboard")
def test_a_wayland_session_is_told(monkeypatch: pytest.MonkeyPatch,
                                   caplog: pytest.LogCaptureFixture) -> None:
    for session, told in [("x11", []), ("wayland", ["this is a Wayland session"])]:
        monkeypatch.setenv("XDG_SESSION_TYPE", session)
        with Actions({"Thumb Up": Action("key", ("left",))}):
            assert [message.partition(":")[0] for message in caplog.messages] == told


@pytest.mark.usefixtures("keyboard")
def test_a_keyboard_that_cannot_be_opened_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise RuntimeError("no access\nsecond line")

    monkeypatch.setattr(sys.modules["pynput.keyboard"], "Controller", refuse)
    with pytest.raises(ActionsError, match=r"^keys cannot be pressed here: no access$"):
        Actions({"Thumb Up": Action("key", ("left",))})


@pytest.mark.usefixtures("keyboard")
def test_key_this_system_lacks() -> None:
    with pytest.raises(ActionsError, match="no key 'insert'"):
        Actions({"Thumb Up": Action("key", ("insert",))})


@pytest.mark.skipif(not os.environ.get("DISPLAY"), reason="needs a display")
def test_key_names_are_those_of_pynput() -> None:
    keyboard = pytest.importorskip("pynput.keyboard")
    assert [key for key in KEYS if key != "plus" and not hasattr(keyboard.Key, key)] == []
