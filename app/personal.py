"""What a person taught this machine: the recordings, and the personal checkpoint beside them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from app.settings import Settings
from models.card import CardError, ModelCard
from models.checkpoints import DEFAULT_MODEL, read_card, resolve
from models.errors import CheckpointError
from online_tsm.graphs import file_digest, forget_graph, graph_of
from online_tsm.recordings import (
    PERSONAL,
    REPORT,
    Recording,
    RecordingError,
    default_teach_dir,
    delete_recording,
    is_background,
    read_recording,
    recording_paths,
)


def teach_dir(settings: Settings) -> Path:
    """The folder of recordings; it may not exist yet."""
    # Not by Path's own methods, here and below: they raise at an unknown ~user and at a name that
    # is too long.
    given = os.path.expanduser(settings.teach_dir or "")
    return (Path(given) if given else default_teach_dir()).absolute()


def model_to_open(settings: Settings) -> tuple[str, str]:
    """The personal checkpoint where it is wanted and fits the model asked for, else that model.

    The second text says so in a sentence, "" where there is nothing personal.
    """
    asked = settings.model or DEFAULT_MODEL
    path = teach_dir(settings) / PERSONAL
    if not settings.personal or not os.path.isfile(path):
        return asked, ""
    if settings.labels_file or settings.card_file:
        return asked, f"{path} is not used: it has labels of its own, and others were given"
    try:
        taught, digest = parent_of(read_card(path))
        shipped, file = read_card(asked).name, resolve(asked)
        same = digest == file_digest(file)
    except (CardError, CheckpointError, OSError) as error:
        return asked, f"{path} is not used: {error}"
    if taught != shipped:
        return asked, f"{path} is not used: it was taught on {taught or 'another model'}"
    if not same:
        return asked, (f"{path} is not used: {shipped} has other weights now; learn again from the "
                       "recordings (key t, then l)")
    return str(path), f"your taught model is in use: {path} (--personal off leaves it out)"


def no_teaching(settings: Settings) -> str:
    """Why the model in use cannot be taught, "" where it can be."""
    flag, file = (("--card", settings.card_file) if settings.card_file else
                  ("--labels", settings.labels_file))
    return "" if file is None else (
        f"only a model that holds its labels itself can be taught: python -m models.convert "
        f"{settings.model or DEFAULT_MODEL} NEW.safetensors {flag} {file} writes one; start the "
        "demo with --model NEW.safetensors then")


def parent_of(card: ModelCard) -> tuple[str, str]:
    """Name and SHA-256 of the model that a personal one was taught on; "" where its card says
    nothing of them."""
    teaching = card.measured.get("teaching")
    said = teaching if isinstance(teaching, dict) else {}
    return str(said.get("parent", "")), str(said.get("parent sha256", ""))


def taught_names(folder: Path) -> set[str]:
    """The gestures that are recorded in `folder`, or that the personal checkpoint there knows."""
    names: set[str] = set()
    with contextlib.suppress(CardError, CheckpointError, OSError):  # told where they are opened
        names |= {path.name for path in folder.iterdir() if path.is_dir() and path.name != REPORT
                  and not path.name.startswith(".") and not is_background(path.name)}
        names |= set(read_card(folder / PERSONAL).labels)
    return names


def listing(folder: Path) -> list[str]:
    """A line for each recording, LABEL/NAME, length, stroke, and one for the checkpoint.

    Parts of a line are divided by tabs. Raises RecordingError.
    """
    lines = [_line(path) for path in _recordings(folder)]
    return lines + ([f"{PERSONAL}\t{_about(folder / PERSONAL)}"]
                    if os.path.isfile(folder / PERSONAL) else [])


def delete(folder: Path, what: str) -> str:
    """Deletes LABEL (all its recordings), LABEL/NAME, or the personal checkpoint by its name,
    with the graph that is kept of it.

    Returns what was done, as a sentence. Raises RecordingError where there is no such thing.
    """
    if what == PERSONAL and os.path.isfile(folder / PERSONAL):
        graph = graph_of(folder / PERSONAL)
        try:
            (folder / PERSONAL).unlink()
        except OSError as error:
            raise RecordingError(f"{folder / PERSONAL} cannot be deleted: {error.strerror}"
                                 ) from error
        forget_graph(graph)
        return f"deleted {folder / PERSONAL}"
    label, _, name = what.partition("/")
    found = [path for path in _recordings(folder)
             if path.parent.name == label and name in ("", path.stem)]
    if not found:
        raise RecordingError(f"{folder} holds no {what!r}; --list-recordings shows what it holds")
    for path in found:
        delete_recording(path)
    return f"deleted {len(found)} recording{'s' if len(found) > 1 else ''} of {label}"


def _recordings(folder: Path) -> list[Path]:
    return recording_paths(folder) if os.path.isdir(folder) else []


def _line(path: Path) -> str:
    name = f"{path.parent.name}/{path.stem}"
    try:
        recording = read_recording(path)
    except RecordingError as error:
        return f"{name}\tcannot be used: {error}"
    return f"{name}\t{recording.times[-1]:.1f} s\t{_marks(recording)}"


def _marks(recording: Recording) -> str:
    if recording.background:
        return "background"
    if recording.stroke is None:
        return "stroke not marked"
    return f"stroke {recording.stroke[0]:.2f} to {recording.stroke[1]:.2f} s"


def _about(path: Path) -> str:
    try:
        card = read_card(path)
    except (CardError, CheckpointError) as error:
        return f"cannot be used: {error}"
    return f"{len(card.labels)} labels, taught on {parent_of(card)[0] or 'another model'}"
