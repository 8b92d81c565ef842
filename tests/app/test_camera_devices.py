"""Cameras of this machine: their names, and why one cannot be opened."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from strange_captures import MJPG, DirectShowDevice, V4l2Device

from app import devices
from app.devices import (
    CameraInfo,
    configure,
    holders,
    linux_cameras,
    open_camera,
    parse_profiler,
    wants_mjpg,
    why_no_device,
)
from app.sources import NoCameraError, SourceOptions, list_cameras

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def test_list_is_by_index() -> None:
    indices = [camera.index for camera in list_cameras()]
    assert indices == sorted(set(indices))


@linux_only
def test_linux_names_in_order_of_index(tmp_path: Path) -> None:
    for index, name in [(90, "Integrated Camera: HD\n"), (910, "C920\n"), (99, "Köln\n")]:
        folder = tmp_path / f"video{index}"
        folder.mkdir()
        (folder / "name").write_text(name, encoding="utf-8")
    (tmp_path / "video98").mkdir()  # as it is left for a moment when a camera is unplugged
    assert linux_cameras(tmp_path) == [
        CameraInfo(90, "Integrated Camera: HD"), CameraInfo(99, "Köln"), CameraInfo(910, "C920")]
    assert linux_cameras(tmp_path / "absent") == []


def test_macos_names_in_the_order_of_their_ids() -> None:
    text = json.dumps({"SPCameraDataType": [
        {"_name": "FaceTime HD Camera", "spcamera_unique-id": "0x8020000005ac8514"},
        {"_name": "iPhone Camera", "spcamera_unique-id": "0x1"},
    ]})
    assert parse_profiler(text) == [
        CameraInfo(0, "iPhone Camera"), CameraInfo(1, "FaceTime HD Camera")]
    assert parse_profiler("{}") == []


def test_absent_camera_stays_closed() -> None:
    assert not open_camera(97, SourceOptions()).isOpened()


@linux_only
def test_absent_device_names_it(tmp_path: Path) -> None:
    error = why_no_device(tmp_path / "video5", 5)
    assert isinstance(error, NoCameraError)
    assert "no camera 5" in str(error)
    assert "video5 is absent" in str(error)


@linux_only
def test_device_of_another_group() -> None:
    # A folder everybody may enter, since root is let through every other test of permissions.
    with tempfile.NamedTemporaryFile(dir="/tmp") as device:
        os.chmod(device.name, 0)
        was = os.geteuid()
        if was == 0:
            os.seteuid(65534)
        try:
            error = why_no_device(Path(device.name), 3)
        finally:
            os.seteuid(was)
    assert "may not open camera 3" in str(error)
    assert "usermod -aG video" in str(error)


@linux_only
def test_busy_device_names_who_holds_it(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.touch()
    assert "opens, but gives no picture" in str(why_no_device(device, 0))
    script = "import sys; file = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script, str(device)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        user.stdout.readline()
        assert [name.rpartition(" (")[2] for name in holders(device)] == [f"process {user.pid})"]
        assert "camera 0 is in use by python" in str(why_no_device(device, 0))
        user.communicate()


@linux_only
def test_busy_by_the_drivers_own_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(16, "Device or resource busy")

    (tmp_path / "video0").touch()
    monkeypatch.setattr(os, "open", refuse)
    assert "is busy: close the program" in str(why_no_device(tmp_path / "video0", 0))


@pytest.mark.parametrize(("system", "page"), [
    ("Darwin", "System Settings > Privacy & Security > Camera"),
    ("Windows", "Settings > Privacy & security > Camera"),
])
def test_other_systems_name_their_privacy_page(monkeypatch: pytest.MonkeyPatch, system: str,
                                               page: str) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr(devices, "list_cameras", lambda: [CameraInfo(0, "Webcam")])
    assert page in str(devices.why_no_camera(0))
    assert page in str(devices.why_no_camera(1))
    assert isinstance(devices.why_no_camera(1), NoCameraError)
    assert not isinstance(devices.why_no_camera(0), NoCameraError)


def test_absence_is_known_where_the_system_lists_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "macos_cameras", lambda: [CameraInfo(0, "FaceTime")])
    for system, names in [("Darwin", ["FaceTime", None]), ("Windows", ["", ""])]:
        monkeypatch.setattr("platform.system", lambda system=system: system)
        assert [devices.name_at(index) for index in (0, 97)] == names
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert devices.name_at(97) is None


def test_a_lost_camera_is_found_again_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    here = [CameraInfo(0, "Webcam"), CameraInfo(1, "C920"), CameraInfo(2, "C920")]
    monkeypatch.setattr(devices, "list_cameras", lambda: here)
    monkeypatch.setattr(devices, "open_camera", lambda index, _: index)

    def opened(index: int) -> object:
        return devices.open_again(CameraInfo(index, "C920"), SourceOptions())

    assert [opened(index) for index in (0, 1, 2)] == [1, 1, 2]
    here[1:] = []
    assert not opened(0).isOpened()  # type: ignore[attr-defined]  # a capture, and no index


@pytest.mark.parametrize(("width", "height", "rate", "wanted"), [
    (None, None, None, False), (640, 480, 30.0, False), (640, 480, 60.0, True),
    (1280, 720, None, True), (320, 240, 30.0, False),
])
def test_large_or_fast_pictures_are_asked_for_as_mjpg(
        width: int | None, height: int | None, rate: float | None, wanted: bool) -> None:
    assert wants_mjpg(SourceOptions(width=width, height=height, rate=rate)) == wanted


def test_what_is_not_granted_is_said(make_video: Callable[..., Path],
                                     caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    capture = cv2.VideoCapture(str(make_video([100] * 3, rate=15.0)))  # grants nothing
    configure(capture, SourceOptions(width=1280, height=48))
    assert caplog.messages == ["the camera gives width 64, not 1280"]


@pytest.mark.parametrize("size", [(1, 1), (1, 10**30), (10**300, 7)])
@pytest.mark.parametrize("raises", [False, True])  # what a refused wish does is the driver's choice
def test_strange_wishes_do_not_crash(make_video: Callable[..., Path], size: tuple[int, int],
                                     raises: bool, caplog: pytest.LogCaptureFixture) -> None:
    capture = cv2.VideoCapture(str(make_video([100] * 3)))
    capture.setExceptionMode(raises)
    configure(capture, SourceOptions(width=size[0], height=size[1], rate=float("inf")))
    assert [message.partition(",")[0] for message in caplog.messages] == [
        "the camera gives width 64", "the camera gives height 48", "the camera gives rate 15"]
    assert capture.read()[0]


@pytest.mark.parametrize(("path", "index"), [
    ("/dev/video0", 0), ("/dev/video12", 12), ("/dev/video", None), ("/dev/videos1", None),
])
def test_device_index(path: str, index: int | None) -> None:
    assert devices.device_index(path) == index


def test_a_link_by_a_lasting_name_is_the_device_it_leads_to(monkeypatch: pytest.MonkeyPatch
                                                            ) -> None:
    monkeypatch.setattr(os.path, "realpath", lambda path: "/dev/video3" if "C920" in path else path)
    assert devices.device_index("/dev/v4l/by-id/usb-C920-video-index0") == 3
    assert devices.device_index("/dev/v4l/by-id/gone") is None
    assert devices.device_index("/home/me/C920.mp4") is None


@pytest.mark.parametrize("options", [
    SourceOptions(width=1280, height=720), SourceOptions(width=1280, height=720, rate=30.0),
    SourceOptions(rate=60.0)])
def test_the_format_stays_as_asked_for(options: SourceOptions) -> None:
    device = DirectShowDevice()
    configure(device, options)
    assert device.format == MJPG
    assert (device.width, device.height) == (options.width or 640, options.height or 480)


def test_v4l2_is_asked_for_the_format_first_and_for_no_single_buffer() -> None:
    device = V4l2Device()
    configure(device, SourceOptions(width=1280, height=720))
    assert list(device.asked) == [cv2.CAP_PROP_FOURCC, cv2.CAP_PROP_FRAME_WIDTH,
                                  cv2.CAP_PROP_FRAME_HEIGHT]
