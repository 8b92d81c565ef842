"""Labels, an event and a file of actions, for the tests of actions."""

from __future__ import annotations

from pathlib import Path

from online_tsm.events import Event

LABELS = ("Swiping Left", "Swiping Right", "Thumb Up", "No gesture")


def event(label: str = "Thumb Up") -> Event:
    return Event(label, 12.5, 0.875, 100)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "actions.yaml"
    path.write_text(text, encoding="utf-8")
    return path
