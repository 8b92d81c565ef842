"""The keys of the window: one table, from which the help page lists and the loop decides."""

from __future__ import annotations

from dataclasses import dataclass

_NAMES = {27: "esc", 32: "space"}
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
)


def key_name(code: int) -> str:
    """The name of a key code of `cv2.waitKeyEx`: a character, "esc", "space", or "".

    Arrows, function keys and bare modifiers have codes whose low byte looks like a letter (left
    arrow 0xFF51, "Q"): they are no key of ours, where `cv2.waitKey` would quit the program.
    """
    if code < 0 or code & _CONTROL_OR_ALT or code & _KEY >= 128:
        return ""
    code &= _KEY
    return _NAMES.get(code, chr(code).lower() if chr(code).isprintable() else "")


def command_of(key: str) -> str:
    """The name of the command that a key asks for, or "" for none."""
    return next((command.name for command in COMMANDS if key in command.keys), "")
