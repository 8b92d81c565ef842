"""One string says where frames come from; this decides what it means and opens that."""

from __future__ import annotations

import itertools
import os
import platform
import re
from pathlib import Path
from typing import Any

from app import devices, files, streams
from app.camera import LiveSource
from app.devices import CameraInfo, list_cameras
from app.files import FileSource
from app.frames import Frame, NoCameraError, Source, SourceError, SourceOptions

__all__ = [
    "CameraInfo", "Frame", "NoCameraError", "Source", "SourceError", "SourceOptions",
    "list_cameras", "open_source",
]

LONGEST_INDEX = 9  # digits: more are no number that OpenCV takes
PERMISSION_S = 20.0  # macOS asks the user at the first try, and refuses it meanwhile
MEDIA_SUFFIX = re.compile(r"\.(avi|gif|m4v|mjpe?g|mkv|mov|mp4|mpe?g|ts|webm|wmv)$", re.IGNORECASE)


def open_source(spec: str, options: SourceOptions | None = None) -> Source:
    """Opens what `spec` names; the first that fits:

    1. "scheme://...": a live stream, RTSP or MJPEG over HTTP(S)
    2. digits, or /dev/videoN: the camera of that index (a file named "0" is "./0")
    3. a folder that exists: its images, in natural order; a file that exists: a video or image
    4. a camera's name, or a part of it that only one camera's name has (case does not matter)

    Files are checked here. Cameras and streams open in their own thread, and what is wrong with
    them is raised by the first iteration that knows. SourceError says what was tried.
    """
    options = options or SourceOptions()
    if options.backend != "auto" and options.backend not in devices.BACKENDS:
        raise SourceError(f"there is no camera backend '{options.backend}'; "
                          f"known are auto, {', '.join(devices.BACKENDS)}")
    if "://" in spec:
        return _open_stream(spec, options)
    number = spec.isascii() and spec.isdigit() and len(spec) <= LONGEST_INDEX
    index = int(spec) if number else devices.device_index(spec)
    if index is not None:
        return _open_camera(index, options)
    # Not by Path's own methods: they raise at an unknown ~user and at a name that is too long.
    path = os.path.expanduser(spec)
    if os.path.isdir(path):
        return FileSource(files.open_folder(Path(path), options.rate), options.fast)
    if os.path.exists(path):
        return FileSource(files.open_file(Path(path), options.rate), options.fast)
    camera = _find_camera(spec)
    return _open_camera(camera.index, options, camera.name)


def _open_stream(url: str, options: SourceOptions) -> LiveSource:
    name = streams.safe_name(url)
    scheme = name.partition("://")[0].lower()
    if scheme not in streams.SCHEMES:
        raise SourceError(f"{name}: streams are read over "
                          f"{', '.join(streams.SCHEMES)}, not over '{scheme}'")
    return LiveSource(
        name,
        lambda: streams.open_url(url, options),
        lambda: streams.why_silent(url, options.timeout_s),
        patience_s=options.timeout_s,
        single="gives one picture at a time (name its video instead, MJPEG or RTSP)",
        exit_s=options.timeout_s,
    )


def _open_camera(index: int, options: SourceOptions, asked: str = "") -> LiveSource:
    """asked: the camera's name, where it was asked for by that."""
    there = devices.name_at(index)
    if there is None:
        raise devices.why_no_camera(index)
    name, tries = asked or there or f"camera {index}", itertools.count()
    system = platform.system()
    # What it is found by after a loss; Windows has numbers for names.
    known = there or (asked if system == "Linux" else "")
    privacy = f", or {devices.PRIVACY[system]}" if system in devices.PRIVACY else ""

    def connect() -> Any:
        if next(tries) and known:
            return devices.open_again(CameraInfo(index, known), options)
        return devices.open_camera(index, options)

    return LiveSource(
        name,
        connect,
        lambda: devices.why_no_camera(index),
        patience_s=PERMISSION_S if system == "Darwin" else 0.0,
        darkness=f"the pictures from {name} are black: uncover its lens{privacy}",
    )


def _find_camera(spec: str) -> CameraInfo:
    if streams.meant_as_url(spec):
        raise SourceError(f"there is no file or folder '{streams.safe_name(spec)}'; "
                          "a URL is written like rtsp://host/path")
    if not spec or MEDIA_SUFFIX.search(spec) or "/" in spec or "\\" in spec:
        raise SourceError(f"there is no file or folder '{spec}'")
    cameras = list_cameras()
    wanted = spec.casefold()
    exact = [camera for camera in cameras if camera.name.casefold() == wanted]
    alike = exact or [camera for camera in cameras if wanted in camera.name.casefold()]
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise SourceError(f"'{spec}' fits several cameras ({devices.names(alike)}): "
                          "give the index instead")
    raise SourceError(f"'{spec}' is no camera index, no file or folder, no URL, and no camera's "
                      f"name ({devices.names(cameras)})")
