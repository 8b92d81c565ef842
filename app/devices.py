"""The cameras of this machine: their names, opening one, and why one cannot be opened."""

from __future__ import annotations

import errno
import json
import logging
import os
import platform
import re
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.frames import NoCameraError, SourceError, SourceOptions
from app.opencv import cv2

logger = logging.getLogger(__name__)

BACKENDS = {
    "any": cv2.CAP_ANY,
    "avfoundation": cv2.CAP_AVFOUNDATION,
    "dshow": cv2.CAP_DSHOW,
    "ffmpeg": cv2.CAP_FFMPEG,
    "gstreamer": cv2.CAP_GSTREAMER,
    "msmf": cv2.CAP_MSMF,
    "v4l2": cv2.CAP_V4L2,
}
SYSTEM_BACKENDS = {"Linux": "v4l2", "Darwin": "avfoundation", "Windows": "dshow"}
PROBED = 4  # camera indices tried where the system gives no list
PLAIN_PIXELS = 640 * 480  # more than this, or more than PLAIN_RATE, does not fit through USB 2
PLAIN_RATE = 30.0  # uncompressed, so the camera is asked for MJPG
MJPG = cv2.VideoWriter.fourcc(*"MJPG")
SYSFS = Path("/sys/class/video4linux")
PRIVACY = {
    "Darwin": "allow your terminal under System Settings > Privacy & Security > Camera",
    "Windows": "allow desktop apps under Settings > Privacy & security > Camera",
}


@dataclass(frozen=True)
class CameraInfo:
    """A camera's index, as a source takes it, and its name."""

    index: int
    name: str


def list_cameras() -> list[CameraInfo]:
    """The cameras of this machine, by index. On Windows it opens each one for a moment."""
    system = platform.system()
    if system == "Linux":
        return linux_cameras()
    return macos_cameras() if system == "Darwin" else probe_cameras()


def linux_cameras(sysfs: Path = SYSFS) -> list[CameraInfo]:
    """Cameras by the kernel's list; nodes that only carry metadata are left out."""
    cameras = []
    for folder in sysfs.glob("video*"):
        index = int(folder.name.removeprefix("video"))
        try:
            name = (folder / "name").read_text(encoding="utf-8", errors="replace").strip()
        except OSError as error:  # unplugged meanwhile
            logger.info("%s: %s", folder, error)
            continue
        if _captures(_device(index)):
            cameras.append(CameraInfo(index, name))
    return sorted(cameras, key=lambda camera: camera.index)


def macos_cameras() -> list[CameraInfo]:
    """Cameras by system_profiler, in AVFoundation's order; by probing if that fails."""
    command = ["system_profiler", "-json", "SPCameraDataType"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return parse_profiler(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        logger.info("system_profiler gives no cameras: %s", error)
        return probe_cameras()


def parse_profiler(text: str) -> list[CameraInfo]:
    """system_profiler's JSON as cameras. OpenCV counts them in the order of their unique ids."""
    items = json.loads(text).get("SPCameraDataType", [])
    items = sorted(items, key=lambda item: str(item.get("spcamera_unique-id", "")))
    return [CameraInfo(i, str(item.get("_name", f"camera {i}"))) for i, item in enumerate(items)]


def probe_cameras() -> list[CameraInfo]:
    """Cameras found by opening the first few indices."""
    found = []
    for index in range(PROBED):
        capture = cv2.VideoCapture(index, _backend("auto"))
        if capture.isOpened():
            found.append(CameraInfo(index, f"camera {index}"))
        capture.release()
    return found


def name_at(index: int) -> str | None:
    """The name of the camera of this index, "" where that is no lasting one (Windows counts the
    cameras) or is not needed (Linux keeps their numbers). None where the system is sure, and
    quickly so, that there is none."""
    system = platform.system()
    if system == "Linux":
        return "" if _device(index).exists() else None
    if system == "Darwin":
        return next((camera.name for camera in macos_cameras() if camera.index == index), None)
    return ""


def open_camera(index: int, options: SourceOptions) -> Any:
    """Camera `index` as a `cv2.VideoCapture` with the options asked for; closed if it fails."""
    capture = cv2.VideoCapture(index, _backend(options.backend))
    if capture.isOpened():
        configure(capture, options)
    return capture


def open_again(camera: CameraInfo, options: SourceOptions) -> Any:
    """`open_camera` for one that was lost: others may have its index now, so it is looked for by
    its name. Closed while no camera has that."""
    alike = [found.index for found in list_cameras() if found.name == camera.name]
    if not alike:
        return cv2.VideoCapture()
    return open_camera(camera.index if camera.index in alike else alike[0], options)


def configure(capture: Any, options: SourceOptions) -> None:
    """Asks an open camera for size and rate; what it grants instead goes to the log."""
    # Not for a single buffer: V4L2 would have none to fill while a picture is decoded.
    # V4L2 wants the format before the size, for drivers offer large sizes in this one only.
    # DirectShow forgets a format as it is given a size or a rate.
    mjpg, last = wants_mjpg(options), capture.get(cv2.CAP_PROP_BACKEND) == cv2.CAP_DSHOW
    if mjpg and not last:
        _ask(capture, cv2.CAP_PROP_FOURCC, MJPG)
    wishes = {
        cv2.CAP_PROP_FRAME_WIDTH: ("width", options.width),
        cv2.CAP_PROP_FRAME_HEIGHT: ("height", options.height),
        cv2.CAP_PROP_FPS: ("rate", options.rate),
    }
    for setting, (_, wish) in wishes.items():
        if wish:
            _ask(capture, setting, wish)
    if mjpg and last:
        _ask(capture, cv2.CAP_PROP_FOURCC, MJPG)
    for setting, (what, wish) in wishes.items():
        # Not by rounding: a driver may give no number.
        if wish and not abs(capture.get(setting) - wish) < 0.5:
            logger.warning("the camera gives %s %g, not %g", what, capture.get(setting), wish)


def _ask(capture: Any, setting: int, wish: float) -> None:
    try:
        capture.set(setting, wish)
    except cv2.error as error:  # a wish refused so is not granted, no more
        logger.info("the camera refuses a setting: %s", error)


def wants_mjpg(options: SourceOptions) -> bool:
    """Whether the picture asked for is too much for a USB 2 camera to send uncompressed."""
    pixels = (options.width or 0) * (options.height or 0)
    return pixels > PLAIN_PIXELS or (options.rate or 0.0) > PLAIN_RATE


def why_no_camera(index: int) -> SourceError:
    """What keeps camera `index` from giving pictures, as far as the system lets us tell."""
    system = platform.system()
    if system == "Linux":
        return why_no_device(_device(index), index)
    cameras = list_cameras()
    if index not in [camera.index for camera in cameras]:
        return NoCameraError(f"there is no camera {index} here, or none that may be used "
                             f"({names(cameras)}); {PRIVACY.get(system, 'check its cable')}")
    return SourceError(f"camera {index} gives no picture: another program uses it, or the system "
                       f"refuses it; {PRIVACY.get(system, 'check its cable')}")


def why_no_device(device: Path, index: int) -> SourceError:
    """The same on Linux, where a camera is a device file that can be asked."""
    if not device.exists():
        cameras = linux_cameras()
        return NoCameraError(f"there is no camera {index} ({device} is absent; {names(cameras)})")
    try:
        os.close(os.open(device, os.O_RDWR | os.O_NONBLOCK))
    except OSError as error:
        return SourceError(_refusal(error, device, index))
    users = holders(device)
    if users:
        return SourceError(f"camera {index} is in use by {', '.join(users)}: close that first")
    return SourceError(f"camera {index} ({device}) opens, but gives no picture: it may be held by "
                       "another user's program, or not offer the size, rate or backend asked for")


def holders(device: Path) -> list[str]:
    """Other programs that have a device file open, as far as this user may see them."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        process = link.parent.parent
        try:
            if process.name != str(os.getpid()) and link.readlink() == device:
                name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                found.append(f"{name} (process {process.name})")
        except OSError:  # ended meanwhile, or another user's
            continue
    return sorted(set(found))


def names(cameras: list[CameraInfo]) -> str:
    """The cameras in one line, for a message."""
    if not cameras:
        return "no camera found"
    return "found: " + ", ".join(f"{camera.index} {camera.name}" for camera in cameras)


def device_index(path: str) -> int | None:
    """The index of a camera given as a device file, "/dev/video2", or as a link to one, as udev
    keeps by name and by port under /dev/v4l."""
    found = re.fullmatch(r"/dev/video(\d+)", path)
    if not found and path.startswith("/dev/v4l/"):
        found = re.fullmatch(r"/dev/video(\d+)", os.path.realpath(path))
    return int(found[1]) if found else None


def _refusal(error: OSError, device: Path, index: int) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return (f"this user may not open camera {index} ({device}): join the group that owns it, "
                "`sudo usermod -aG video $USER`, and log in again")
    if error.errno == errno.EBUSY:
        return f"camera {index} ({device}) is busy: close the program that uses it"
    return f"camera {index} ({device}) cannot be opened: {error.strerror}"


def _device(index: int) -> Path:
    return Path(f"/dev/video{index}")


def _backend(name: str) -> int:
    if name == "auto":
        name = SYSTEM_BACKENDS.get(platform.system(), "any")
    return int(BACKENDS[name])


def _captures(device: Path) -> bool:
    """Whether a V4L2 node gives pictures (VIDIOC_QUERYCAP); assumed where it cannot be asked."""
    import fcntl  # exists on Linux only

    capability = bytearray(104)  # struct v4l2_capability; device_caps is at byte 88
    try:
        handle = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return True
    try:
        fcntl.ioctl(handle, 0x80685600, capability)
    except OSError:
        return True
    finally:
        os.close(handle)
    (flags,) = struct.unpack_from("=I", capability, 88)
    return bool(flags & 0x00001001)  # V4L2_CAP_VIDEO_CAPTURE, in one plane or several
