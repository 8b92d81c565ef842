"""What a user recorded to teach gestures: plain files, one folder a gesture. Imports no torch.

    FOLDER/double wave/2026-11-22_200315_120.avi     MJPG, as anybody's player shows it
    FOLDER/double wave/2026-11-22_200315_120.yaml    label, stroke, times, rate, mirror, date

A video without a YAML file beside it counts too: its folder names its label.
"""

from __future__ import annotations

import datetime
import logging
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from models import jester
from models.cache import APPLICATION
from online_tsm.graphs import write_atomically
from online_tsm.stroke import Seconds, motion_of
from online_tsm.video_files import (
    Image,
    RecordingError,
    Times,
    kept_size,
    plain_times,
    read_video,
    write_video,
)

__all__ = ["Recording", "RecordingError"]

log = logging.getLogger(__name__)

VIDEOS = (".avi", ".mp4", ".mov", ".mkv", ".webm", ".gif")
BACKGROUND = ("background", *(name.lower() for name in jester.BACKGROUND))  # folders of background
PERSONAL = "personal.safetensors"  # the taught model, in the folder of recordings
REPORT = "report"  # the folder of what was measured, beside it
RESERVED = (REPORT, PERSONAL, "con", "prn", "aux", "nul",
            *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)))  # no folders' names
LONGEST_LABEL = 60  # letters
LEFT = ".????-??-??_??????_????.avi"  # the hidden name of a video that is being written
KILLED_S = 600  # saving takes a second: what is older was left by a recorder that was killed
SHORTEST_S, SHORTEST_BACKGROUND_S = 0.8, 3.0
LOWEST_RATE = 6.5  # frames a second
LONGEST_PAUSE_S = 0.5  # between two frames
DARK = 35  # grey level of 255; a picture whose lightest tenth is below it is too dark
LEAST_MOTION = 4.0  # of the liveliest moment, in units of the clip's own unrest (see stroke.py)


@dataclass(frozen=True)
class Recording:
    """One video of one gesture, or of background. Pictures are read when asked for.

    `times` [T] in s from 0, `stroke` (start, end) on the same clock, None where nobody said.
    `rate` in frames a second. `mirror`: the frames are stored as in a mirror.
    """

    path: Path
    label: str
    background: bool
    times: Times
    stroke: tuple[float, float] | None
    rate: float
    mirror: bool
    date: str

    def frames(self) -> list[Image]:
        """All frames, uint8 [H, W, 3] in BGR, as stored. Raises RecordingError."""
        return list(self.each_frame())

    def each_frame(self) -> Iterator[Image]:
        """The frames one after the other: a long video need not fit into memory. Raises as
        `frames` does."""
        image, count = None, 0
        for image in read_video(self.path):
            if count < len(self.times):
                count += 1
                yield image
        missing = len(self.times) - count
        if image is None:
            raise RecordingError(f"{self.path} cannot be played; delete it, or record it again")
        if missing > 2:  # a header may promise a frame or two too many
            raise RecordingError(f"{self.path} is damaged: {missing} of its {len(self.times)} "
                                 "frames are missing; delete it, or record it again")
        yield from [image] * missing

    @property
    def sidecar(self) -> Path:
        """The YAML file beside the video; a plain clip has none."""
        return self.path.with_suffix(".yaml")


def default_teach_dir() -> Path:
    """Where recordings are kept unless the user says otherwise; it may not exist yet."""
    home = Path.home()
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        data = home / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return data / APPLICATION / "recordings"


def safe_label(text: str) -> str:
    """A label as it may name a folder on any system, without spaces at its ends.

    Raises RecordingError for one that is empty, a path, or no name for a folder.
    """
    label = text.strip()
    if not label:
        raise RecordingError("a gesture needs a name")
    if label in (".", "..") or re.search(r"[/\\]|^[A-Za-z]:", label):
        raise RecordingError(f"{label!r} is a path; give the gesture a plain name, as in "
                             "'double wave'")
    if re.search(r'[<>:"|?*\x00-\x1f\x7f]', label) or label[0] == "." or label[-1] == ".":
        raise RecordingError(f"{label!r} cannot name a folder; use letters, digits and spaces")
    if len(label) > LONGEST_LABEL:
        raise RecordingError(f"the name {label[:20]!r}... has {len(label)} letters; at most "
                             f"{LONGEST_LABEL} are possible")
    if label.lower() in RESERVED:
        raise RecordingError(f"{label!r} is a reserved name; choose another one for the gesture")
    return label


def is_background(label: str) -> bool:
    """Whether a folder of this name holds background: "background", or Jester's two labels."""
    return label.lower() in BACKGROUND


def save_recording(root: Path, label: str, images: Sequence[Image], times: Seconds, *,
                   stroke: tuple[float, float] | None, background: bool = False,
                   mirror: bool = False) -> Recording:
    """Writes one recording into `root`/`label`; a kill at any moment leaves all of it or nothing.

    `images` uint8 [H, W, 3] in BGR, `times` [T] in s from any origin, growing; `stroke` on the
    clock of `times`. Raises RecordingError.
    """
    label = safe_label(label)
    clock, images = _checked_times(times, len(images)), [kept_size(image) for image in images]
    now = datetime.datetime.now().astimezone()
    folder = Path(root) / label
    name = f"{now:%Y-%m-%d_%H%M%S}_{secrets.token_hex(2)}"
    recording = Recording(
        path=folder / f"{name}.avi", label=label, background=background or is_background(label),
        times=clock - clock[0], stroke=_from_start(stroke, float(clock[0]), float(clock[-1])),
        rate=_rate(clock), mirror=mirror, date=now.isoformat(timespec="seconds"))
    beside = folder / f".{name}.avi"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_video(beside, images, recording.rate)
        _write_sidecar(recording)  # first: one without a video is left alone by every reader
        os.replace(beside, recording.path)
    except OSError as error:
        raise RecordingError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        if beside.is_file():
            beside.unlink()
    return recording


def read_recordings(root: Path, bad: dict[Path, str] | None = None) -> list[Recording]:
    """Every recording in the folders of `root`, by label and date; plain videos among them.

    Raises RecordingError for a folder that is not there, and as `read_recording` does; with `bad`
    that collects, a line each, why a video cannot be read.
    """
    recordings = []
    for path in recording_paths(root):
        try:
            recordings.append(read_recording(path))
        except RecordingError as error:
            if bad is None:
                raise
            bad[path] = " ".join(str(error).split())  # YAML tells its own in several lines
    return recordings


def read_recording(path: Path) -> Recording:
    """The recording in a video and its sidecar. Raises RecordingError for a sidecar that is not
    whole, and a plain video that does not open."""
    sidecar = path.with_suffix(".yaml")
    if not sidecar.is_file():
        times = plain_times(path)
        label = safe_label(path.parent.name)
        return Recording(path, label, is_background(label), times, None, _rate(times), False, "")
    try:
        said = yaml.safe_load(sidecar.read_text(encoding="utf-8"))
        stroke, label = said["stroke"], safe_label(str(said["label"]))
        times = _checked_times(said["times"], len(said["times"]))
        return Recording(
            path, label, bool(said["background"]), times,
            _from_start((stroke[0], stroke[1]), 0.0, float(times[-1])) if stroke else None,
            float(said["rate"]), bool(said["mirror"]), str(said["date"]))
    except (OSError, KeyError, TypeError, ValueError, IndexError, yaml.YAMLError) as error:
        raise RecordingError(f"{sidecar} does not describe its recording ({error}); delete it, and "
                             "the video counts as a plain clip") from error


def recording_paths(root: Path) -> list[Path]:
    """The videos in the folders of `root`, by label and date. What a killed recorder left behind
    is none. Raises RecordingError for a folder that is not there."""
    root = Path(root)
    if not os.path.isdir(root):  # Path raises at a name that is too long
        raise RecordingError(f"{root} is no folder; expected one with a folder a gesture, "
                             "as in 'double wave/1.mp4'")
    try:
        return sorted(path for path in root.glob("*/*") if _is_recording(path)
                      and not path.parent.name.startswith("."))
    except OSError as error:
        raise RecordingError(f"{root} cannot be read: {error.strerror or error}") from error


def move_stroke(recording: Recording, stroke: tuple[float, float]) -> Recording:
    """The same recording with another stroke (s, on its clock), in its sidecar, too."""
    moved = replace(recording, stroke=_from_start(stroke, 0.0, float(recording.times[-1])))
    try:
        _write_sidecar(moved)
    except OSError as error:
        raise RecordingError(f"{moved.sidecar} cannot be written: {error.strerror or error}"
                             ) from error
    return moved


def delete_recording(path: Path) -> None:
    """Removes a video, its sidecar, and the gesture's folder if that was the last one, with what a
    killed recorder left there. It need not be whole, nor be there still."""
    folder = path.parent
    try:
        path.unlink(missing_ok=True)  # first: a sidecar alone is no recording
        path.with_suffix(".yaml").unlink(missing_ok=True)
        if not any(_is_recording(other) for other in folder.glob("*")):
            for left in folder.glob(LEFT):
                _delete_left(left)
        _delete_empty(folder)
    except OSError as error:
        raise RecordingError(f"{path} cannot be deleted: {error.strerror or error}") from error


def delete_left(root: Path) -> None:
    """Removes what recorders that were killed left in the folders of `root`: hidden videos with
    the names that recorders give, which show the person and which nobody would find. Raises
    RecordingError."""
    try:
        for left in Path(root).glob(f"*/{LEFT}"):
            if time.time() - left.stat().st_mtime > KILLED_S:
                _delete_left(left)
                _delete_empty(left.parent)
    except OSError as error:
        raise RecordingError(f"what a killed recorder left in {root} cannot be deleted: "
                             f"{error.strerror or error}") from error


def refusal(images: Sequence[Image], times: Seconds, *, background: bool = False,
            pieces: bool = False) -> str:
    """"" for a usable clip, or the sentence that tells the person why it is not one.

    Background is not asked for movement, but for more of it in time, unless it may come in
    `pieces`.
    """
    shortest = SHORTEST_BACKGROUND_S if background and not pieces else SHORTEST_S
    seconds = float(times[-1]) - float(times[0]) if len(times) > 1 else 0.0
    if seconds < shortest:
        return f"The clip is too short: {seconds:.1f} s, at least {shortest:g} s are needed."
    rate, pause = (len(times) - 1) / seconds, float(np.diff(np.asarray(times, float)).max())
    if rate < LOWEST_RATE:
        return (f"The camera gave only {rate:.1f} frames a second, at least {LOWEST_RATE:g} are "
                "needed: more light, or a smaller picture, makes most cameras faster.")
    if pause > LONGEST_PAUSE_S:
        return f"The camera stood still for {pause:.1f} s; close other programs and try again."
    light = float(np.median([np.quantile(image[::4, ::4], 0.9) for image in images[::5]]))
    if light < DARK:
        return "The picture is too dark; turn on a light or face the window."
    if not background and motion_of(images, times).liveliness < LEAST_MOTION:
        return "No hand movement was seen; perform the gesture where the camera sees your hand."
    return ""


def _delete_left(video: Path) -> None:
    video.unlink()
    video.with_name(video.name[1:]).with_suffix(".yaml").unlink(missing_ok=True)


def _delete_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _is_recording(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS and not path.name.startswith(".")


def _write_sidecar(recording: Recording) -> None:
    said: dict[str, Any] = {
        "label": recording.label, "background": recording.background,
        "stroke": [round(edge, 3) for edge in recording.stroke] if recording.stroke else None,
        "rate": round(recording.rate, 3), "mirror": recording.mirror, "date": recording.date,
        "times": [round(float(time), 4) for time in recording.times]}
    text = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, default_flow_style=None)
    write_atomically(recording.sidecar, text.encode())


def _checked_times(times: Seconds, frames: int) -> Times:
    clock = np.asarray(times, np.float64)
    if clock.ndim != 1 or len(clock) != frames or frames < 2:
        raise RecordingError(f"a recording needs at least two frames with a time each; got {frames}"
                             f" frames and {clock.size} times")
    if not np.isfinite(clock).all() or (np.diff(clock) <= 0).any():
        raise RecordingError("the frames' times do not grow; they must be seconds, in order")
    return clock


def _from_start(stroke: tuple[float, float] | None, first: float, last: float
                ) -> tuple[float, float] | None:
    """A stroke on the clock that begins with 0 at the first frame. Raises RecordingError."""
    if stroke is None:
        return None
    start, end = float(stroke[0]), float(stroke[1])
    if not first - 1e-3 <= start < end <= last + 1e-3:
        raise RecordingError(f"a stroke from {start:.2f} to {end:.2f} s is not inside a recording "
                             f"from {first:.2f} to {last:.2f} s")
    return max(start - first, 0.0), min(end, last) - first


def _rate(times: Times) -> float:
    return float((len(times) - 1) / (times[-1] - times[0]))
