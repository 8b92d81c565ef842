"""Key codes to names, and names to commands."""

from __future__ import annotations

import pytest

from app.keys import COMMANDS, command_of, key_name


@pytest.mark.parametrize(("code", "name"), [
    (ord("q"), "q"), (ord("Q"), "q"), (27, "esc"), (32, "space"), (ord("1"), "1"),
    (0x100000 | ord("q"), "q"),  # GTK with Num Lock on
    (0x10000 | ord("Q"), "q"),  # GTK with Shift
    (0x40000 | ord("q"), ""),  # GTK with Control
    (0x80000 | ord("f"), ""),  # GTK with Alt
    (-1, ""), (0, ""), (9, ""),
    (13, "enter"), (0xFF0D, "enter"), (8, "backspace"), (127, "backspace"),
    (0xFF51, "left"), (0xFF52, "up"), (0xFF53, "right"), (0xFF54, "down"),  # low bytes Q to T
    (0x10FF51, "left"), (0x4FF51, ""),  # GTK with Num Lock; with Control
    (0xFFBE, ""), (0xFFE1, ""), (0xFFE3, ""),  # F1, Shift, Control
    (0x250000, "left"), (0x260000, "up"), (0x270000, "right"), (0x280000, "down"),  # Windows
    (63232, "up"), (63233, "down"), (63234, "left"), (63235, "right"),  # macOS
    (0x2E0000, ""), (63236, ""),  # Delete on Windows, F1 on macOS
])
def test_key_names(code, name):
    assert key_name(code) == name


def test_every_key_asks_for_one_command():
    keys = [key for command in COMMANDS for key in command.keys]
    assert sorted(keys) == sorted(["q", "esc", "f", "h", "m", "o", "r", "s", "t", "x", "space"])
    assert len({command.name for command in COMMANDS}) == len(COMMANDS)


@pytest.mark.parametrize(("key", "command"), [
    ("q", "quit"), ("esc", "quit"), ("f", "fullscreen"), ("h", "help"), ("m", "mirror"),
    ("o", "overlay"), ("r", "record"), ("s", "snapshot"), ("x", "reset"), ("space", "pause"),
    ("", ""), ("z", ""), ("1", "")])
def test_commands(key, command):
    assert command_of(key) == command
