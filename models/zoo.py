"""Models known by name: shipped ones, and ones to download, only when asked for by name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from models.cache import cache_folder
from models.card_files import card_beside
from models.errors import CheckpointError

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent


@cache
def entries() -> Mapping[str, Mapping[str, Any]]:
    """What zoo.yaml lists: by name `about`, `licence`, and `file` or `url` (with `sha256`)."""
    listed: dict[str, dict[str, Any]] = yaml.safe_load(
        (HERE / "zoo.yaml").read_text(encoding="utf-8"))
    return listed


def fetch(name: str) -> Path:
    """The file of a listed model; downloads it if it is neither shipped nor in the cache.

    Raises CheckpointError, which names the URL, where the file belongs and how to put it there.
    """
    entry = entries()[name]
    if "file" in entry:
        return HERE / str(entry["file"])
    url = str(entry["url"])
    target = cache_folder() / "models" / url.rsplit("/", 1)[-1]
    if not target.is_file():
        from models.download import download
        logger.warning("%s: %s", name, entry["licence"])
        download(url, target, entry.get("sha256"))
    _write_card(target, entry)
    return target


def _write_card(target: Path, entry: Mapping[str, Any]) -> None:
    """What the zoo knows about the model, as the YAML card beside it; one that is there stays."""
    beside = card_beside(target)
    if not entry.get("card") or beside.exists():
        return
    try:
        beside.write_text(yaml.safe_dump(dict(entry["card"]), sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"{beside} cannot be written: {error.strerror or error}") from error
