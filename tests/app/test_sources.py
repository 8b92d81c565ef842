"""What a source string means; files and folders as sources; every bad file is a sentence."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from mjpeg_server import jpeg

from app import files, sources
from app.files import FileSource, ImageReader, next_time, read_image, sane_count, sane_rate
from app.frames import Frame
from app.sources import CameraInfo, NoCameraError, SourceError, SourceOptions, open_source

FAST = SourceOptions(fast=True)


def play(path: Path | str, options: SourceOptions = FAST) -> list[Frame]:
    with open_source(str(path), options) as source:
        return [frame for frame in source if frame is not None]


def write_images(folder: Path, names: list[str]) -> Path:
    """Flat grey images of level 10, 20, 30 ... in the given order."""
    folder.mkdir()
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((8, 8, 3), 10 * (number + 1), np.uint8))
    return folder


def test_video_plays_every_frame_with_its_time(make_video: Callable[..., Path]) -> None:
    path = make_video(range(0, 240, 8), rate=15.0)
    with open_source(str(path), FAST) as source:
        assert (source.live, source.rate, source.frame_count) == (False, 15.0, 30)
        frames = [frame for frame in source if frame is not None]
        assert (source.dropped, source.epoch, source.status) == (0, 0, "")
    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.time for frame in frames] == pytest.approx([n / 15 for n in range(30)])
    levels = [float(frame.image.mean()) for frame in frames]
    assert levels == pytest.approx(list(range(0, 240, 8)), abs=3)
    assert frames[0].image.dtype == np.uint8
    assert frames[0].image.shape == (48, 64, 3)


def test_fast_waits_for_nothing_and_drops_nothing(make_video: Callable[..., Path]) -> None:
    path = make_video([100] * 60, rate=2.0)  # half a minute in real time
    start = time.perf_counter()
    indices = []
    with open_source(str(path), FAST) as source:
        for frame in source:
            assert frame is not None
            indices.append(frame.index)
            if len(indices) == 5:
                time.sleep(0.7)  # longer than a frame's time
    assert indices == list(range(60))
    assert time.perf_counter() - start < 15.0


def test_real_time_takes_as_long_as_the_file(make_video: Callable[..., Path]) -> None:
    path = make_video([100] * 21, rate=20.0)
    start = time.perf_counter()
    with open_source(str(path), SourceOptions()) as source:
        indices = [frame.index for frame in source if frame is not None]
    assert time.perf_counter() - start > 0.95
    assert len(indices) + source.dropped == 21


def test_real_time_drops_what_a_slow_reader_misses(make_video: Callable[..., Path],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LATEST_S", 60.0)  # a busy machine is no pause
    path = make_video([100] * 60, rate=50.0)
    indices = []
    with open_source(str(path), SourceOptions()) as source:
        for frame in source:
            if frame is None:
                continue
            indices.append(frame.index)
            if len(indices) == 5:
                time.sleep(0.4)  # 20 frames pass meanwhile
    gaps = np.diff(indices)
    assert gaps.max() >= 15
    assert int((gaps - 1).sum()) + indices[0] + (59 - indices[-1]) == source.dropped


def test_a_pause_loses_no_frame_and_no_time(make_video: Callable[..., Path],
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    # As long as a frame: then every stall of a busy machine is a pause, and none drops a frame.
    monkeypatch.setattr(files, "LATEST_S", 0.25)
    path = make_video([100] * 8, rate=4.0)
    with open_source(str(path), SourceOptions()) as source:
        frames = (frame for frame in source if frame is not None)
        indices = [next(frames).index]
        time.sleep(1.0)  # four frames' time
        start = time.perf_counter()
        indices += [frame.index for frame in frames]
        assert time.perf_counter() - start > 1.4  # the rest plays at its own rate again
    assert indices == list(range(8))
    assert source.dropped == 0


class Slow(ImageReader):
    """Takes longer over a picture than it is to be shown for, whether it is shown or dropped: a
    large video on a small machine."""

    def advance(self) -> float | None:
        time.sleep(1.5 / self.rate)
        return super().advance()


def test_a_file_that_is_decoded_too_slowly_is_played_slowly(tmp_path: Path) -> None:
    path = write_images(tmp_path / "images", ["1.png"]) / "1.png"
    source = FileSource(Slow("slow", [path] * 60, rate=40.0))
    indices = [frame.index for frame in source if frame is not None]
    assert np.diff([*indices, 60]).max() <= 4  # three in a row catch nothing up, so no more go


def test_waiting_for_a_slow_file_keeps_the_window_alive(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", ["1.png", "2.png"])
    with open_source(str(folder), SourceOptions(rate=1.0)) as source:
        got = [frame is None for frame in source]
    assert got.count(False) == 2
    assert got.count(True) >= 4


def test_folder_in_natural_order_with_its_rate(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", ["1.png", "2.PNG", "10.png", "a2.png", "a10.png"])
    (folder / "notes.txt").write_text("not an image")
    (folder / "._1.png").write_bytes(b"a Mac's leftovers")
    frames = play(folder, SourceOptions(fast=True, rate=10.0))
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [10, 20, 30, 40, 50]
    assert [frame.time for frame in frames] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_change_of_size_raises_the_epoch(tmp_path: Path) -> None:
    for number, size in enumerate([(8, 8), (8, 8), (6, 9), (6, 9)]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((*size, 3), np.uint8))
    with open_source(str(tmp_path), FAST) as source:
        assert [source.epoch for frame in source if frame] == [0, 0, 1, 1]


def test_damaged_image_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture,
                                            ) -> None:
    folder = write_images(tmp_path / "images", ["0.png", "1.png", "2.png"])
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[:20])
    frames = play(folder)
    assert [frame.index for frame in frames] == [0, 2]
    assert "1.png" in caplog.text


@pytest.mark.parametrize("shape", [(1, 1, 3), (17, 4000, 3), (5, 7), (5, 7, 4)])
def test_odd_images_come_as_three_channels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "öd-d.png"
    cv2.imencode(".png", np.full(shape, 77, np.uint8))[1].tofile(path)
    image = read_image(path)
    assert image is not None
    assert image.shape == (*shape[:2], 3)
    assert (image == 77).all()


def test_single_image_is_one_frame(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", ["1.png", "2.png"])
    assert [int(frame.image[0, 0, 0]) for frame in play(folder / "2.png")] == [20]


def test_raw_mjpeg_of_two_sizes_and_nonsense_counts(tmp_path: Path) -> None:
    path = tmp_path / "two.mjpeg"
    path.write_bytes(jpeg(50) * 10 + jpeg(200, (240, 320)) * 10)
    with open_source(str(path), FAST) as source:
        assert source.frame_count is None
        frames = [frame for frame in source if frame is not None]
    assert len(frames) == 20
    assert np.diff([frame.time for frame in frames]) == pytest.approx([1 / 25] * 19)


def test_cut_off_video_ends_and_says_so(make_video: Callable[..., Path],
                                        caplog: pytest.LogCaptureFixture) -> None:
    path = make_video([100] * 300)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert 20 < len(play(path)) < 280
    assert "cut off" in caplog.text


def test_cut_off_mp4_is_a_sentence(make_video: Callable[..., Path]) -> None:
    path = make_video([100] * 30, name="clip.mp4")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SourceError, match=r"clip\.mp4 cannot be played"):
        open_source(str(path))


@pytest.mark.parametrize(("name", "content", "message"), [
    ("empty.mp4", b"", "is empty"),
    ("empty.png", b"", "is empty"),
    ("video.mp4", b"no video at all\n" * 50, "is text, not a video"),
    ("film.txt", "grüße\n".encode() * 300, "is text, not a video"),
    ("noise.mp4", bytes(range(256)) * 20, "cannot be played"),
    ("noise.png", bytes(range(256)) * 20, "is not an image"),
])
def test_bad_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=f"{name} {message}"):
        open_source(str(path))


def test_folder_of_nothing_but_damaged_images(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"\0nothing")
    with pytest.raises(SourceError, match="not one picture"):
        play(tmp_path)


def test_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no images"):
        open_source(str(tmp_path))


@pytest.mark.parametrize(("spec", "message"), [
    ("", "no file or folder"),
    ("nowhere/clip.mp4", "no file or folder 'nowhere/clip.mp4'"),
    ("clip.mp4", "no file or folder 'clip.mp4'"),
    ("Logitech", "no camera index, no file or folder, no URL, and no camera's name"),
    ("ftp://host/x", "rtsp, rtsps, http, https, not over 'ftp'"),
    ("-1", "no camera index"),
    ("rtsp", "no camera index"),
    ("~nobody-of-this-name/clip.mp4", "no file or folder '~nobody"),
    ("x" * 5000, "no camera index"),
])
def test_wrong_spec_names_what_was_tried(spec: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(spec)


@pytest.mark.parametrize(("spec", "shown"), [
    ("rtsp:/me:secret@host/live", "'rtsp:host/live'; a URL is written like rtsp://"),
    ("rtsp:me:secret@host/live", "'rtsp:host/live'"),
    ("rtsp//me:secret@host/live", "'...:host/live'"),
    ("RTSP:/host/live?password=secret", "'RTSP:/host/live'"),
    ("me:secret@host", "'me:host'"),
    ("http:\\\\me:secret/x@host", "'http:host'"),
    ("me:secret@rtsp://host/live", "...://host/live: streams are read over"),
])
def test_misspelt_url_shows_no_password(spec: str, shown: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(spec)
    assert shown in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("path", [r"C:\clips\me@work.mp4", "clips/me@work.mp4"])
def test_path_with_an_at_sign_is_named_as_it_is(path: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(path)
    assert str(caught.value) == f"there is no file or folder '{path}'"


@pytest.mark.parametrize("spec", ["97", "/dev/video97"])
def test_absent_camera(spec: str) -> None:
    with pytest.raises(NoCameraError, match="no camera 97"):
        play(spec)


def test_a_file_named_like_a_camera(make_video: Callable[..., Path],
                                    monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video([100] * 5)
    monkeypatch.chdir(path.parent)
    path.rename("97")
    with pytest.raises(NoCameraError):
        open_source("97")
    assert len(play("./97")) == 5


def test_unknown_backend_is_named() -> None:
    with pytest.raises(SourceError, match=r"'v5l2'.*v4l2"):
        open_source("0", SourceOptions(backend="v5l2"))


CAMERAS = [CameraInfo(0, "Integrated Camera"), CameraInfo(2, "HD Pro C920"),
           CameraInfo(4, "HD Pro C920e")]


@pytest.mark.parametrize(("spec", "message"), [
    ("hd pro c920", "no camera 2 "),  # all of one name, though part of another
    ("integrated", "no camera 0 "),
    ("C920e", "no camera 4 "),
    ("hd pro", "fits several cameras .*2 HD Pro C920, 4 HD Pro C920e"),
    ("brio", "no camera's name .*0 Integrated Camera"),
])
def test_camera_by_name(monkeypatch: pytest.MonkeyPatch, spec: str, message: str) -> None:
    # The names lead to an index; that there is no such device here is what shows which.
    monkeypatch.setattr(sources, "list_cameras", lambda: CAMERAS)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    if any(Path("/dev").glob("video[024]")):
        pytest.skip("this machine has cameras of its own")
    with pytest.raises(SourceError, match=message):
        open_source(spec)


@pytest.mark.parametrize(("stamp", "expected"), [
    (1.5, 1.5), (1.04, 1.04), (1.0, 1.1), (0.0, 1.1), (-9e15, 1.1), (1e9, 1.1),
    (float("nan"), 1.1), (float("inf"), 1.1),
])
def test_time_stamps_that_are_nonsense_are_replaced(stamp: float, expected: float) -> None:
    assert next_time(stamp, 1.0, 10.0) == pytest.approx(expected)


@pytest.mark.parametrize(("value", "rate", "count"), [
    (30.0, 30.0, 30), (0.0, None, None), (-1.0, None, None), (float("nan"), None, None),
    (float("inf"), None, None), (1000.0, None, 1000), (90000.0, None, 90000),
    (-9.2e18, None, None), (1e12, None, None),
])
def test_headers_that_are_nonsense(value: float, rate: float | None, count: int | None) -> None:
    assert sane_rate(value) == rate
    assert sane_count(value) == count
