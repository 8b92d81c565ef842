"""The keys of the window: one table, from which the help page lists and the loop decides."""

from __future__ import annotations

from dataclasses import dataclass

_NAMES = {8: "backspace", 13: "enter", 27: "esc", 32: "space", 127: "backspace",  # macOS: 127
          0xFF08: "backspace", 0xFF0D: "enter", 0xFF8D: "enter",  # GTK
          0xFF51: "left", 0xFF52: "up", 0xFF53: "right", 0xFF54: "down"}  # GTK, and Qt on Linux
_ARROWS = {0x250000: "left", 0x260000: "up", 0x270000: "right", 0x280000: "down",  # Windows
           63232: "up", 63233: "down", 63234: "left", 63235: "right"}  # macOS
_KEY = 0xFFFF  # GTK reports modifiers above these bits, among them Num Lock
_CONTROL_OR_ALT = 0xC0000


@dataclass(frozen=True)
class Command:
    """What a key does; any of `keys` asks for it."""

    name: str
    keys: tuple[str, ...]
    help: str


COMMANDS = (
    Command("quit", ("q", "esc"), "Quit"),
    Command("fullscreen", ("f",), "Full screen"),
    Command("help", ("h",), "This page"),
    Command("mirror", ("m",), "Mirror the picture"),
    Command("overlay", ("o",), "Change overlay"),
    Command("record", ("r",), "Record, stop"),
    Command("snapshot", ("s",), "Save a snapshot"),
    Command("reset", ("x",), "Reset the network"),
    Command("pause", ("space",), "Pause, go on"),
    Command("teach", ("t",), "Teach a gesture"),
)


def key_name(code: int) -> str:
    """The name of a key code of `cv2.waitKeyEx`: a character, "esc", "space", "left", ..., or "".

    Arrows, function keys and bare modifiers have codes whose low byte looks like a letter (left
    arrow 0xFF51, "Q"): `cv2.waitKey` would take them for it, and quit the program.
    """
    if code in _ARROWS:
        return _ARROWS[code]
    if code < 0 or code & _CONTROL_OR_ALT:
        return ""
    code &= _KEY
    if code in _NAMES:
        return _NAMES[code]
    return chr(code).lower() if code < 128 and chr(code).isprintable() else ""


def command_of(key: str) -> str:
    """The name of the command that a key asks for, or "" for none."""
    return next((command.name for command in COMMANDS if key in command.keys), "")
