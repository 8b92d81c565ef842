"""Clips with labels, whatever they lie in: rendered shards, Jester, folders of videos, recordings.

Every source becomes a list of `Clip`; nothing behind this file knows where one came from.
"""

from __future__ import annotations

import csv
import json
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from training.events_file import DataError, LabelledEvent, read_events, rows_of, text_of
from training.videos import each_frame, frames_at, video_times

Image = NDArray[np.uint8]
Kind = Literal["shards", "jester", "folders", "table"]

SHARD_FORMAT = 1
SHARDS = "shard-*.npz"
JESTER_RATE = 12.0  # frames a second
VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".gif")
OVERHANG_S = 1.0  # so much later than the last frame an event may end: times are rounded
STROKE = (0.35, 0.8)  # where the stroke lies in a clip that only has one label, as a share of it


@dataclass(frozen=True)
class Clip:
    """One recording and what happens in it; pictures are read when asked for.

    `times` [T] are the frames' times in s, `events` lie on the same clock. `read(numbers)` gives
    frames uint8 [H, W, 3] in BGR; `read_masks`, where there is one, the person in them, uint8
    [H, W], 255 where the person is. `person` is "" where unknown. `play`, where there is one, gives
    the first so many frames in turn: not every file can be jumped in.
    """

    name: str
    times: NDArray[np.float64]
    events: tuple[LabelledEvent, ...]
    read: Callable[[Sequence[int]], list[Image]]
    person: str = ""
    read_masks: Callable[[Sequence[int]], list[Image]] | None = None
    play: Callable[[int], Iterator[Image]] | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(event.label for event in self.events)


def open_clips(kind: Kind, path: Path, table: Path | None = None) -> list[Clip]:
    """The clips of one source. `table` is the CSV of the kind "jester". Raises DataError."""
    if kind == "shards":
        clips = read_shards(path)
    elif kind == "jester":
        if table is None:
            raise DataError(f"{path}: a Jester folder needs its CSV file; name it under `table:`")
        clips = read_jester(path, table)
    else:
        clips = read_class_folders(path) if kind == "folders" else read_table(path)
    if not clips:
        raise DataError(f"{path} holds no clips")
    return clips


def kind_of(path: Path, *, shards: bool) -> Kind:
    """What a user's path is: no folder is a table, and a folder has a folder a class, or with
    `shards` perhaps shards."""
    if not path.is_dir():
        return "table"
    return "shards" if shards and next(path.rglob(SHARDS), None) is not None else "folders"


def read_shards(folder: Path) -> list[Clip]:
    """The clips of all shards in `folder` (synthesis.shards writes them; see there).

    Pictures stay on disk: a shard's arrays lie uncompressed in its .npz, so a JPEG's place in the
    file is known. A shard with `masks` and `mask_offsets` (a PNG a frame) can swap backgrounds.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder of shards")
    return [clip for path in sorted(folder.rglob(SHARDS)) for clip in _shard(path)]


def _shard(path: Path) -> list[Clip]:
    try:
        with np.load(path) as shard:
            if int(shard["format"]) != SHARD_FORMAT:
                raise DataError(f"{path} has shard format {shard['format']}, not {SHARD_FORMAT}")
            first, times = shard["first"], shard["times"].astype(np.float64)
            starts = shard["offsets"] + _place_of(path, "jpeg.npy")
            masks = (
                shard["mask_offsets"] + _place_of(path, "masks.npy")
                if "mask_offsets" in shard
                else None
            )
            told = json.loads(str(shard["clips"]))
        clips = []
        for number, said in enumerate(told):
            low, high = int(first[number]), int(first[number + 1])
            clips.append(_shard_clip(
                path, f"{path.stem}:{number}", said, times[low:high],
                starts=starts[low:high + 1], masks=None if masks is None else masks[low:high + 1]))
        return clips
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no whole shard ({error}); render it again") from error


def _shard_clip(
    path: Path,
    name: str,
    said: dict[str, Any],
    times: NDArray[np.float64],
    *,
    starts: NDArray[np.int64],
    masks: NDArray[np.int64] | None,
) -> Clip:
    return Clip(
        name=name,
        times=times,
        person=str(said["person"]),
        events=tuple(_rendered_event(event) for event in said["events"]),
        read=partial(_read_packed, path, starts, cv2.IMREAD_COLOR),
        read_masks=None
        if masks is None
        else partial(_read_packed, path, masks, cv2.IMREAD_GRAYSCALE),
    )


def _place_of(path: Path, member: str) -> int:
    """The byte of an .npz file where an uncompressed array's first element lies."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member} is compressed")
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)  # of the local header: two lengths, then the names
        name, extra = struct.unpack("<HH", file.read(4))
        file.seek(info.header_offset + 30 + name + extra)
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        read(file)
        return file.tell()


def _rendered_event(said: dict[str, Any]) -> LabelledEvent:
    """The hold after the stroke belongs to what is asked for: the hand still shows the gesture."""
    stroke = said.get("stroke")
    holds = [end for kind, _, end in said.get("phases", ()) if kind in ("hold", "stroke")]
    return LabelledEvent(
        label=said["label"],
        start=float(said["start"]),
        end=float(said["end"]),
        stroke=(float(stroke[0]), float(stroke[1])) if stroke else None,
        held=max(holds) if holds and stroke else None,
        happened=None if said.get("happened") is None else float(said["happened"]),
        style=str(said.get("style", "")),
        held_out_style=bool(said.get("held_out_style", False)),
    )


def _read_packed(
    path: Path, starts: NDArray[np.int64], flags: int, numbers: Sequence[int]
) -> list[Image]:
    """Pictures of a shard by number; `starts` [T + 1] are the bytes where they begin."""
    images: dict[int, Image] = {}
    try:
        with path.open("rb", buffering=0) as file:  # a buffer would read far past each picture
            for number in sorted(set(numbers)):
                file.seek(int(starts[number]))
                raw = file.read(int(starts[number + 1] - starts[number]))
                images[number] = _decoded(np.frombuffer(raw, np.uint8), flags, path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return [images[number] for number in numbers]


def _decoded(raw: NDArray[np.uint8], flags: int, path: Path) -> Image:
    image = cv2.imdecode(raw, flags) if len(raw) else None
    if image is None:
        raise DataError(f"{path} holds a picture that cannot be decoded; is the file complete?")
    return np.asarray(image, np.uint8)


def read_jester(root: Path, table: Path) -> list[Clip]:
    """Jester's layout: `root`/ID/00001.jpg ... at 12 frames a second, `table` with ID;label."""
    clips = []
    for number, row in enumerate(csv.reader(text_of(table).splitlines(), delimiter=";"), 1):
        if len(row) < 2:
            raise DataError(f"{table}, line {number}: expected ID;label, got {';'.join(row)!r}")
        paths = sorted((root / row[0]).glob("*.jpg"))
        if not paths:
            raise DataError(f"{table}, line {number}: {root / row[0]} holds no JPEG files")
        times = np.arange(len(paths)) / JESTER_RATE
        clips.append(
            Clip(row[0], times, (whole_clip_event(row[1], times),), partial(_read_files, paths))
        )
    return clips


def _read_files(paths: list[Path], numbers: Sequence[int]) -> list[Image]:
    return [
        _decoded(np.fromfile(paths[number], np.uint8), cv2.IMREAD_COLOR, paths[number])
        for number in numbers
    ]


def read_class_folders(root: Path) -> list[Clip]:
    """Plain videos, one folder a class: `root`/LABEL/anything.mp4."""
    paths = [path for path in sorted(root.glob("*/*")) if path.suffix.lower() in VIDEOS
             and not any(part.startswith(".") for part in path.parts[-2:])]  # a Mac's ._1.mp4
    if not paths:
        raise DataError(
            f"{root} holds no videos; expected one folder a class, as in Thumb Up/anything.mp4"
        )
    return [_labelled_video(path, path.parent.name) for path in paths]


def read_table(table: Path) -> list[Clip]:
    """Videos named by a CSV with the columns file, label and perhaps person (others are ignored).

    With start and end in s (and perhaps happened), several rows may share one long recording;
    without them a row's label is that of the whole file. `file` is relative to the CSV.
    """
    rows = rows_of(table, ("file", "label"))
    clips: dict[Path, list[dict[str, str]]] = {}
    for row in rows:
        if not row["file"] or not row["label"]:
            raise DataError(f"{table}: a row needs a file and a label; got {dict(row)}")
        clips.setdefault(table.parent / row["file"], []).append(row)
    return [_table_clip(path, of, table) for path, of in clips.items()]


def _table_clip(path: Path, rows: list[dict[str, str]], table: Path) -> Clip:
    """The clip of one file from its rows of a table."""
    person = rows[0].get("person") or ""
    if rows[0].get("start"):
        return recording(path, tuple(read_events(rows, table)), person)
    if len(rows) > 1:
        raise DataError(f"{table} names {path.name} {len(rows)} times; several events in one file "
                        "need the columns start and end")
    return _labelled_video(path, rows[0]["label"], person)


def _labelled_video(path: Path, label: str, person: str = "") -> Clip:
    times = video_times(path)
    return Clip(path.name, times, (whole_clip_event(label, times),),
                partial(frames_at, path, times), person)


def recording(path: Path, events: tuple[LabelledEvent, ...], person: str = "") -> Clip:
    """A long video and the events in it. Raises DataError, also for an event that lies before the
    video or behind its end: whoever counts frames would be judged by its last picture."""
    times = video_times(path)
    for event in events:
        if not times[0] <= event.end <= times[-1] + OVERHANG_S:
            raise DataError(f"{path} ends at {times[-1]:.1f} s, but {event.label!r} is said to "
                            f"last from {event.start:g} to {event.end:g} s; are these frames?")
    return Clip(path.name, times, events, partial(frames_at, path, times), person,
                play=partial(each_frame, path))


def whole_clip_event(label: str, times: NDArray[np.float64]) -> LabelledEvent:
    """The event of a clip of which only the label is known: a rise, a stroke, a way back."""
    start, length = float(times[0]), float(times[-1] - times[0])
    stroke = (start + STROKE[0] * length, start + STROKE[1] * length)
    return LabelledEvent(label, start, start + length, stroke=stroke)
