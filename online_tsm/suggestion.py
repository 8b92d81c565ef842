"""The engine that the benchmark found fastest on this machine, kept for `--engine auto`."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from models.cache import cache_folder
from online_tsm.engine import DeviceName, EngineName
from online_tsm.machine import cpu_name

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Suggestion:
    """What `open_engine` takes, and the machine that it was measured on."""

    engine: EngineName
    device: DeviceName
    threads: int
    cpu: str
    cores: int


def suggestion_file() -> Path:
    """Where the suggestion is kept; it may not exist."""
    return cache_folder() / "suggestion.json"


def suggestion_of(engine: EngineName, device: DeviceName, threads: int) -> Suggestion:
    """For this machine."""
    return Suggestion(engine, device, threads, cpu_name(), os.cpu_count() or 0)


def keep(suggestion: Suggestion) -> Path:
    """Writes the suggestion; returns its file. Raises OSError."""
    path = suggestion_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(suggestion), indent=2) + "\n", encoding="utf-8")
    return path


def kept() -> Suggestion | None:
    """The suggestion for this machine; None if there is none, or it was made on another one."""
    path = suggestion_file()
    try:
        found = Suggestion(**json.loads(path.read_text(encoding="utf-8")))
        if type(found.threads) is not int:
            raise TypeError(f"threads is {found.threads!r}, which is no whole number")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        log.warning("%s cannot be used and is left alone: %s", path, error)
        return None
    here = suggestion_of(found.engine, found.device, found.threads)
    return found if found == here else None
