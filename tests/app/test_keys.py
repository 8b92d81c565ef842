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
    (-1, ""), (0, ""), (13, ""), (9, ""), (127, ""),
    (0xFF51, ""), (0xFF52, ""), (0xFF53, ""), (0xFF54, ""),  # arrows: low bytes Q, R, S, T
    (0xFFBE, ""), (0xFFE1, ""), (0xFFE3, ""),  # F1, Shift, Control
    (0x250000, ""), (63234, ""),  # left arrow on Windows and on macOS
])
def test_key_names(code, name):
    assert key_name(code) == name


def test_every_key_asks_for_one_command():
    keys = [key for command in COMMANDS for key in command.keys]
    assert sorted(keys) == sorted(["q", "esc", "f", "h", "m", "o", "r", "s", "x", "space"])
    assert len({command.name for command in COMMANDS}) == len(COMMANDS)


@pytest.mark.parametrize(("key", "command"), [
    ("q", "quit"), ("esc", "quit"), ("f", "fullscreen"), ("h", "help"), ("m", "mirror"),
    ("o", "overlay"), ("r", "record"), ("s", "snapshot"), ("x", "reset"), ("space", "pause"),
    ("", ""), ("z", ""), ("1", "")])
def test_commands(key, command):
    assert command_of(key) == command
