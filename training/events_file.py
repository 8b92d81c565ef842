"""Events written down by hand or by a program: what happens in a recording, and when."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.yaml_text import parse_yaml


class DataError(ValueError):
    """Data that cannot be used; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class LabelledEvent:
    """One gesture (or background activity) in a recording. Times in s on the recording's clock.

    `start` to `end`: from the hand's first movement to its rest. `stroke`: the part that makes
    the gesture, None for background. `held`: until when the gesture is still shown (a hold after
    the stroke), None where that is the stroke's end. `happened`: when it counts as done, which
    reaction times are measured from; None where unknown.
    """

    label: str
    start: float
    end: float
    stroke: tuple[float, float] | None = None
    held: float | None = None
    happened: float | None = None
    style: str = ""
    held_out_style: bool = False

    @property
    def done(self) -> float:
        """When it has happened; the stroke's end or the event's, where nothing better is known."""
        if self.happened is not None:
            return self.happened
        return self.stroke[1] if self.stroke else self.end


def read_event_list(path: Path) -> list[LabelledEvent]:
    """The events of one video, in the order of their starts.

    CSV with the columns label, start, end and perhaps happened (s), or YAML: a list of mappings
    with the same keys, by itself or under `events`. Raises DataError.
    """
    if path.suffix.lower() == ".csv":
        return read_events(rows_of(path, ("label", "start", "end")), path)
    said = parse_yaml(text_of(path), str(path), DataError)
    if isinstance(said, dict):
        said = said.get("events")
    if not isinstance(said, list) or not all(isinstance(row, dict) for row in said):
        raise DataError(f"{path} must be a list of events, each with label, start and end")
    return read_events(said, path)


def read_events(rows: Iterable[Mapping[str, Any]], path: Path) -> list[LabelledEvent]:
    """Rows with label, start, end and perhaps happened, as events; `path` is for messages."""
    events = []
    for row in rows:
        start, end = seconds(row.get("start"), "start", path), seconds(row.get("end"), "end", path)
        label = row.get("label")
        if not label or start is None or end is None or end < start:
            raise DataError(
                f"{path}: an event needs a label, a start and an end after it; got {dict(row)}"
            )
        happened = seconds(row.get("happened"), "happened", path)
        if happened is not None and not start <= happened <= end:
            raise DataError(f"{path}: an event from {start:g} to {end:g} s cannot have happened at "
                            f"{happened:g} s; leave that out where it is not known")
        events.append(
            LabelledEvent(
                str(label),
                start,
                end,
                stroke=(start, end),
                happened=happened,
            )
        )
    return sorted(events, key=lambda event: event.start)


def rows_of(table: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header that has the `needed` columns. Raises DataError."""
    rows = list(csv.DictReader(io.StringIO(text_of(table))))
    missing = [name for name in needed if not rows or name not in rows[0]]
    if missing:
        raise DataError(
            f"{table} needs rows under a header with the columns {', '.join(needed)}; "
            f"{', '.join(missing)} is missing"
        )
    return rows


def text_of(path: Path) -> str:
    """A file's text; the mark that Excel puts before UTF-8 is dropped. Raises DataError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8; save it as such") from error


def seconds(value: Any, key: str, path: Path) -> float | None:
    """A cell as a number of s, None where it is empty."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
        if math.isfinite(number):
            return number
        raise ValueError
    except (TypeError, ValueError):
        raise DataError(f"{path}: {key} is {value!r}; it must be a number of seconds") from None
