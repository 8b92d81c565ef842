"""The window, for real: an X server of its own, keys from xdotool, pictures of the screen."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.window import Window, display_available, plugin_problem, x_server_problem

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = Path(cv2.__file__).parent / "qt" / "plugins" / "platforms" / "libqxcb.so"

# Shows four colours at 640x480, at 1920x1080 after "h"; says every key; ends at "q".
PROGRAM = """
import sys, time
import numpy as np
from app.window import Window, display_available
assert display_available() == "", display_available()
def colours(height, width):
    picture = np.zeros((height, width, 3), np.uint8)
    for row, column, colour in ((0, 0, (0, 0, 200)), (0, 1, (0, 200, 0)), (1, 0, (200, 0, 0)),
                                (1, 1, (200, 200, 200))):
        picture[row * height // 2:][:height // 2, column * width // 2:][:, :width // 2] = colour
    return picture
window = Window("gestures")
picture, end, shown = colours(480, 640), time.monotonic() + 120, 0
while not window.closed and time.monotonic() < end:
    key = window.show(window.fitted(picture))
    shown += 1
    if shown == 3:
        print("ready", flush=True)
    if key:
        print(key, flush=True)
    if key == "f":
        window.toggle_fullscreen()
    if key == "h":
        picture = colours(1080, 1920)
    if key == "q":
        break
print("closed" if window.closed else "open", flush=True)
window.close()
window.close()
assert window.show(picture) == ""
"""


class Shown:
    """PROGRAM running on a screen."""

    def __init__(self, screen: str, tmp_path: Path) -> None:
        self.environment = {**os.environ, "DISPLAY": screen, "PYTHONPATH": str(ROOT),
                            "QT_QPA_PLATFORM": "wayland"}  # as some desktops set it
        self.screen, self.shot = screen, tmp_path / "screen.png"
        self.process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=self.environment,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()
        self.window = self.xdotool("search", "--sync", "--name", "gestures").split()[-1]

    def xdotool(self, *words: str) -> str:
        done = subprocess.run(["xdotool", *words], env=self.environment, check=True, timeout=10,
                              capture_output=True, text=True)
        return done.stdout

    def press(self, key: str, heard: str) -> None:
        """Presses a key and waits until the program has `heard` it; "" for not at all."""
        # not checked: the last key may have closed the window before it is released
        subprocess.run(["xdotool", "key", "--window", self.window, key], env=self.environment,
                       check=False, timeout=20)
        if heard:
            assert self.process.stdout is not None
            assert self.process.stdout.readline().strip() == heard

    def picture(self) -> np.ndarray:
        subprocess.run(["import", "-window", "root", str(self.shot)], env=self.environment,
                       check=True, timeout=20)
        return cv2.imread(str(self.shot))

    def resize(self, width: int, height: int) -> None:
        self.xdotool("windowsize", "--sync", self.window, str(width), str(height))

    def wait_for(self, width: int, height: int, window: tuple[int, int] | None = None
                 ) -> tuple[int, int, np.ndarray]:
        """The screen once it shows a picture of this size (2 pixels more or less), and where.

        `window` is the size that the window was given: without a window manager Qt now and then
        misses that, too, and is told again.
        """
        for attempt in range(1, 61):
            picture = self.picture()
            left, top, *size = extent(picture)
            if abs(size[0] - width) <= 2 and abs(size[1] - height) <= 2:
                return left, top, picture
            if size == [0, 0]:
                # Without a window manager Qt now and then misses that its window is on the
                # screen, and paints nothing until it is put there once more.
                self.xdotool("windowunmap", self.window)
                self.xdotool("windowmap", self.window)
            elif window is not None and attempt % 5 == 0:
                self.resize(window[0] + 10, window[1] + 10)
                self.resize(*window)
            time.sleep(0.2)
        raise AssertionError(f"the picture on the screen is {size}")

    def finish(self) -> str:
        """What it printed since; fails on any complaint on stderr and on a bad exit."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        said, complaints = self.process.stdout.read(), self.process.stderr.read()
        assert complaints == ""
        assert self.process.wait(timeout=20) == 0
        return said.strip()


@pytest.fixture
def shown(screen, tmp_path):
    running = Shown(screen, tmp_path)
    yield running
    running.process.kill()
    running.process.communicate()


def extent(picture: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, width and height of all that is not black."""
    ys, xs = np.nonzero(picture.max(axis=2) > 60)
    if not len(xs):
        return 0, 0, 0, 0
    return int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1


def test_pictures_of_two_sizes_and_keys(shown):
    left, top, picture = shown.wait_for(640, 480)
    assert tuple(picture[top + 5, left + 5]) == (0, 0, 200)
    shown.press("h", "h")
    shown.wait_for(1280, 720)  # 1920x1080, made to fit
    for key, heard in (("Left", "left"), ("F1", ""), ("Shift_L", ""), ("X", "x"),
                       ("space", "space"), ("f", "f"), ("Escape", "esc"), ("q", "q")):
        shown.press(key, heard)
    assert shown.finish() == "open"


def test_a_resized_window_keeps_the_shape_of_the_picture(shown):
    for width, height, wanted in ((900, 400, (533, 400)), (300, 700, (300, 225))):
        shown.resize(width, height)
        left, top, _ = shown.wait_for(*wanted, window=(width, height))
        assert left == pytest.approx((width - wanted[0]) / 2, abs=2)
        assert top == pytest.approx((height - wanted[1]) / 2, abs=2)
    shown.press("q", "q")
    shown.finish()


def test_the_users_close_button_ends_it(shown):
    press_close_button(shown.screen, int(shown.window))
    assert shown.finish() == "closed"


def press_close_button(screen: str, window: int) -> None:
    """What a window manager sends when its close button is pressed (ICCCM, WM_DELETE_WINDOW)."""
    xlib = ctypes.CDLL("libX11.so.6")
    xlib.XOpenDisplay.restype = ctypes.c_void_p
    xlib.XInternAtom.restype = ctypes.c_ulong
    display = ctypes.c_void_p(xlib.XOpenDisplay(screen.encode()))

    class ClientMessage(ctypes.Structure):
        _fields_ = [("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("sent", ctypes.c_int),
                    ("display", ctypes.c_void_p), ("window", ctypes.c_ulong),
                    ("message", ctypes.c_ulong), ("format", ctypes.c_int),
                    ("data", ctypes.c_long * 5), ("rest", ctypes.c_long * 12)]

    atoms = [xlib.XInternAtom(display, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")]
    message = ClientMessage(33, 0, 1, display, window, atoms[0], 32, (ctypes.c_long * 5)(atoms[1]))
    xlib.XSendEvent(display, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(message))
    xlib.XCloseDisplay(display)


@pytest.mark.parametrize(("system", "closed"), [("darwin", False), ("win32", True)])
def test_a_window_in_the_dock_is_not_closed(monkeypatch, system, closed):
    monkeypatch.setattr(sys, "platform", system)
    for name, answer in {"namedWindow": None, "imshow": None, "waitKeyEx": -1, "resizeWindow": None,
                         "getWindowImageRect": (0, 0, 64, 48), "getWindowProperty": 0.0}.items():
        monkeypatch.setattr(cv2, name, lambda *_, answer=answer: answer)
    window = Window("Gestures")
    window.show(np.zeros((48, 64, 3), np.uint8))
    assert window.closed == closed


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X is of Linux")


@linux
def test_no_display_is_told_and_not_tried(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert "DISPLAY" in display_available()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert "XWayland" in display_available()


@linux
@pytest.mark.parametrize("name", [":987", "nonsense", "127.0.0.1:987"])
def test_a_display_that_does_not_answer_is_named(name, monkeypatch):
    monkeypatch.setenv("DISPLAY", name)
    assert f"DISPLAY={name} does not answer" in display_available()


def test_a_display_that_answers(screen, monkeypatch):
    assert x_server_problem(screen) == ""
    monkeypatch.setenv("DISPLAY", screen)
    assert display_available() == ""


@pytest.mark.skipif(not PLUGIN.exists(), reason="this OpenCV does not use Qt on X")
def test_a_missing_system_library_is_named(tmp_path):
    """OpenCV's own plugin, as it would be found where libsm6 is not installed."""
    plugin = tmp_path / "cv2" / "qt" / "plugins" / "platforms" / "libqxcb.so"
    plugin.parent.mkdir(parents=True)
    (tmp_path / "opencv_python.libs").symlink_to(Path(cv2.__file__).parents[1]
                                                 / "opencv_python.libs")
    plugin.write_bytes(PLUGIN.read_bytes())
    assert plugin_problem(plugin) == ""
    plugin = plugin.with_name("libqxcb_other.so")  # the loader knows the first one by now
    plugin.write_bytes(PLUGIN.read_bytes().replace(b"libSM.so.6\0", b"libSM.so.0\0"))
    problem = plugin_problem(plugin)
    assert "libSM.so.0" in problem
    assert "apt-get install libsm6" in problem


def test_windows_are_refused_outside_the_main_thread():
    raised: list[Exception] = []

    def work() -> None:
        try:
            Window("gestures")
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "main thread" in str(raised[0])
