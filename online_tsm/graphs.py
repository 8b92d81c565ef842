"""The ONNX graph of a torch checkpoint: shipped beside it, kept from last time, or made now.

Imports no torch unless a graph must be made. A graph belongs to the very weights and card that it
was made from: it carries a key of both, and one with another key is left alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from models.cache import cache_folder
from models.card import CardError, ModelCard
from models.checkpoints import read_card
from models.errors import CheckpointError
from online_tsm.engine import EngineError

log = logging.getLogger(__name__)

EXPORTER = 1  # raise it whenever export.py writes other graphs from the same network
DIGEST_KEY = "weights_sha256"  # of an ONNX file's metadata: the checkpoint's digest,
SHARED_KEY = "weights_file"  # and its name, where the graph holds no weights but points into it
GRAPH_KEY = "graph_key"  # by which a graph is taken in the place of its checkpoint,
PRECISION_KEY = "precision"  # of its arithmetic, where that is not fp32
KEY_REACH = 1 << 16  # bytes; the metadata is the last part of an ONNX file

_one_at_a_time = threading.Lock()  # torch's exporter keeps what it does in globals


def open_graph(path: Path, card: ModelCard, load: Callable[[], Any],
               open_session: Callable[[Path | bytes], Any]) -> Any:
    """The session that `open_session` makes of the checkpoint's graph.

    `load()` gives the torch network; it is called only if no graph is at hand. Threads may call
    this at once. Raises EngineError.
    """
    digest = file_digest(path)
    with _one_at_a_time:
        return _session(path, card, digest, load, open_session)


def _session(path: Path, card: ModelCard, digest: str, load: Callable[[], Any],
             open_session: Callable[[Path | bytes], Any]) -> Any:
    key = graph_key(card, digest)
    kept = kept_graph(path, key)
    for graph in (path.with_suffix(".onnx"), kept):
        if holds_key(graph, key) and not points_elsewhere(graph, path):
            try:
                return open_session(graph)
            except EngineError as error:
                log.warning("%s; its graph is made anew", error)
    from online_tsm.export import export_network

    log.info("exporting %s to ONNX, once", path.name)
    graph_bytes = export_network(load(), card, digest)
    try:
        write_atomically(kept, graph_bytes)
    except OSError as error:
        log.warning("the exported graph could not be kept for the next start: %s", error)
    return open_session(graph_bytes)


def kept_graph(path: Path, key: str) -> Path:
    """Where a checkpoint's graph for `key` is kept from its first start on."""
    return cache_folder() / "graphs" / f"{path.stem}-{key[:16]}.onnx"


def graph_of(model: Path) -> Path | None:
    """Where the graph of a checkpoint is kept; None where there is no checkpoint, or a broken one.
    Models of one file name in other folders have theirs beside it."""
    try:
        return kept_graph(model, graph_key(read_card(model), file_digest(model)))
    except (CardError, CheckpointError, OSError):
        return None


def forget_graph(graph: Path | None) -> None:
    """Deletes a kept graph, 9 MB that nobody asks for any more, if there is one."""
    if graph is not None:
        with contextlib.suppress(OSError):  # in use by a demo, on Windows
            graph.unlink(missing_ok=True)


def check_shared(path: Path, metadata: Mapping[str, str]) -> None:
    """Raises EngineError where an ONNX file points into weights that are not there, or no longer
    those it was made for: its offsets would read anything."""
    if SHARED_KEY not in metadata:
        return
    try:
        weights = path.with_name(metadata[SHARED_KEY])
        digest = file_digest(weights)
    except (OSError, ValueError) as error:  # ValueError: that is no name of a file
        raise EngineError(f"{path.name} has its weights in {metadata[SHARED_KEY]!r} beside it, "
                          "which cannot be read; copy both files into one folder "
                          f"({error})") from error
    if digest != metadata.get(DIGEST_KEY):
        raise EngineError(f"{path.name} was made for other weights than those now in "
                          f"{weights.name}; make it anew: python -m online_tsm.export {weights} "
                          "--beside")


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def graph_key(card: ModelCard, digest: str) -> str:
    """Names the graph: the weights' digest, what of the card shapes it, and the exporter."""
    shape = (EXPORTER, digest, card.architecture, len(card.labels), tuple(card.input_size),
             card.width_multiplier, dataclasses.asdict(card.shift))
    return hashlib.sha256(json.dumps(shape).encode()).hexdigest()


def holds_key(graph: Path, key: str) -> bool:
    """Whether a graph was made for `key`, and is whole: the key is the last thing in it."""
    return key.encode() in _end_of(graph)


def points_elsewhere(graph: Path, weights: Path) -> bool:
    """Whether a graph has its weights in another file than `weights`: both are copies under a new
    name, and what now has the old one may be anything."""
    end, name = _end_of(graph), os.fsencode(weights.name)
    # The name is the last text in such a file, after its length. One that is longer than a byte
    # tells counts as another.
    return SHARED_KEY.encode() in end and not end.endswith(bytes([len(name)]) + name)


def _end_of(graph: Path) -> bytes:
    """The part of an ONNX file with its metadata; nothing of one that cannot be read."""
    try:
        with graph.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - KEY_REACH))
            return file.read()
    except OSError:
        return b""


def obstacle_to(folder: Path) -> str:
    """Why nothing can be written in a folder, which need not be there yet; "" if it can be."""
    above = next(filter(os.path.lexists, (folder, *folder.absolute().parents)), folder)
    if not os.path.isdir(above):
        return f"{above} is no folder; name another one"
    if not os.access(above, os.W_OK):
        return f"nothing can be written in {above}; name another folder"
    return ""


def check_target(out: Path) -> None:
    """Raises EngineError where `out` is no name of a graph or cannot be written: the work before
    it is long."""
    if out.suffix.lower() != ".onnx":
        raise EngineError(f"OUT is {out}; the name of a graph ends in .onnx")
    real = Path(os.path.realpath(out))
    if real.is_symlink():
        raise EngineError(f"{out} cannot be written: it is a link to itself; name another one")
    if obstacle := obstacle_to(real.parent):
        raise EngineError(f"{out} cannot be written: {obstacle}")
    if out.exists() and not out.is_file():
        raise EngineError(f"{out} cannot be written: it is no ordinary file; name another one")


def write_atomically(path: Path, data: bytes) -> None:
    """All of `data` in `path`, or nothing of it: written aside, then renamed; a link stays one, and
    a device a device. Raises OSError."""
    path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "this is no ordinary file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(data)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
