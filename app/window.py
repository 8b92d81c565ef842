"""The window: shows pictures undistorted, returns the keys pressed, survives being closed."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from pathlib import Path

import numpy as np

from app.keys import key_name
from app.opencv import cv2
from app.scene import Image

_LARGEST_START = (1280, 800)  # width, height at which a window opens; the user may enlarge it
_QT_PLUGIN = Path(cv2.__file__).parent / "qt" / "plugins" / "platforms" / "libqxcb.so"
_NO_SCREEN = "no display: neither DISPLAY nor WAYLAND_DISPLAY is set"


def display_available() -> str:
    """"" if a window can be opened, else why not and what to do, as one sentence.

    To be asked before any window call: OpenCV ends the whole process where there is no display.
    """
    framework = cv2.currentUIFramework()
    if not framework:
        return ("this OpenCV was built without windows: "
                "pip uninstall opencv-python-headless, then pip install opencv-python")
    if not sys.platform.startswith("linux"):
        return ""
    if framework.startswith("GTK") and os.environ.get("WAYLAND_DISPLAY"):
        return ""
    reason = x_server_problem(os.environ.get("DISPLAY", ""))
    if not reason and framework.startswith("QT") and _QT_PLUGIN.exists():
        reason = plugin_problem(_QT_PLUGIN)
    return reason


def x_server_problem(display: str) -> str:
    """"" if the X server called `display` answers and lets us in, else what is wrong."""
    if not display:
        if os.environ.get("WAYLAND_DISPLAY"):
            return "no display: OpenCV's windows need XWayland, and DISPLAY is not set"
        return _NO_SCREEN
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return "no display: libxcb.so.1 is missing (Debian, Ubuntu: apt-get install libxcb1)"
    xcb.xcb_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xcb.xcb_connect(display.encode(), None))
    if xcb.xcb_connection_has_error(connection):
        xcb.xcb_disconnect(connection)
        return f"no display: the X server of DISPLAY={display} does not answer or refuses access"
    # The connection stays open until the process ends: a bare X server, such as Xvfb, starts
    # over when its last client leaves, and OpenCV's window would meet it doing so.
    return ""


def plugin_problem(plugin: Path) -> str:
    """"" if Qt's platform plugin can be loaded, else which library is missing."""
    try:
        ctypes.CDLL(str(plugin))
    except OSError as error:
        return (f"no window: a system library is missing ({error}); "
                "Debian, Ubuntu: apt-get install libsm6 libgl1 libglib2.0-0")
    return ""


class Window:
    """One window of the screen; only the main thread may use it.

    Ask `display_available` first. `closed` is True once the user or `close` has closed it.
    """

    def __init__(self, title: str, fullscreen: bool = False) -> None:
        _require_main_thread()
        _prepare_qt()
        self.closed = False
        self._title = title
        self._shape = (0, 0)  # height, width of the last picture
        self._asked = (0, 0)  # width, height asked for; another one is the user's choice
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL)
        self._fullscreen = False
        if fullscreen:
            self.toggle_fullscreen()

    def show(self, image: Image, wait_s: float = 0.001) -> str:
        """Shows a BGR picture with black bars where the shapes differ; returns the key pressed.

        Waits up to `wait_s` for a key; keeps the window alive, so call it also when there is
        nothing new. Returns a name such as "q", "esc" or "space", or "" for no key.
        """
        _require_main_thread()
        if self.closed:
            return ""
        cv2.imshow(self._title, _framed(self.fitted(image), self._size()))
        key = key_name(cv2.waitKeyEx(max(1, round(wait_s * 1000))))
        self.closed = not self._visible()
        return key

    def fitted(self, image: Image) -> Image:
        """`image` at the size at which the window shows it.

        Text is sharper when drawn after this than before. Returns `image` itself if it fits.
        """
        _require_main_thread()
        if self.closed:
            return image
        self._follow(image)
        width, height = self._size()
        if min(width, height) < 1:
            return image
        scale = min(width / image.shape[1], height / image.shape[0])
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        if size == (image.shape[1], image.shape[0]):
            return image
        smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, size, interpolation=smooth))

    def toggle_fullscreen(self) -> None:
        """Full screen on or off."""
        _require_main_thread()
        self._fullscreen = not self._fullscreen
        self._shape = (0, 0)  # a window that opened full screen has no size of its own yet
        mode = cv2.WINDOW_FULLSCREEN if self._fullscreen else cv2.WINDOW_NORMAL
        cv2.setWindowProperty(self._title, cv2.WND_PROP_FULLSCREEN, mode)

    def close(self) -> None:
        """Closes the window; may be called twice."""
        _require_main_thread()
        if not self.closed:
            self.closed = True
            cv2.destroyWindow(self._title)
            cv2.waitKeyEx(1)  # some systems take a window away only while events are handled

    def _visible(self) -> bool:
        try:
            seen = cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
            return bool(seen or sys.platform == "darwin")  # there 0 is a window in the Dock
        except cv2.error:  # Qt, once the user has closed the last window
            return False

    def _size(self) -> tuple[int, int]:
        """Width and height of the picture area, in pixels."""
        _, _, width, height = cv2.getWindowImageRect(self._title)
        return width, height

    def _follow(self, image: Image) -> None:
        """Gives the window the picture's size, until the user has given it another one."""
        shape, asked = image.shape[:2], self._asked
        changed, self._shape = shape != self._shape, (shape[0], shape[1])
        if not changed or self._fullscreen or (asked != (0, 0) and self._size() != asked):
            return
        scale = min(1.0, _LARGEST_START[0] / shape[1], _LARGEST_START[1] / shape[0])
        self._asked = (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))
        cv2.resizeWindow(self._title, *self._asked)


def _framed(image: Image, size: tuple[int, int]) -> Image:
    """`image` in the middle of a black picture of `size` (width, height)."""
    height, width = image.shape[:2]
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    if left < 0 or top < 0 or (left, top) == (0, 0) == (size[0] - width, size[1] - height):
        return image
    framed = np.zeros((size[1], size[0], 3), np.uint8)
    framed[top:top + height, left:left + width] = image
    return framed


def _require_main_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("windows may be used from the main thread only")


def _prepare_qt() -> None:
    """What Qt reads once, when the first window opens."""
    # OpenCV brings no fonts for Qt, which then complains line by line on stderr.
    os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")
    if _QT_PLUGIN.exists():
        # The only platform OpenCV brings: another one asked for would end the process.
        os.environ["QT_QPA_PLATFORM"] = "xcb"
