"""The video recorder: pictures, clocks, sizes; and real full disks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from app import recording
from app.outputs import OutputError
from app.recording import CODECS, HELD_BYTES, LEAST_BYTES, VideoRecorder, fit, plays
from app.settings import Settings
from app.sinks import Sinks
from models.card import ModelCard

ROOT = Path(__file__).parents[2]


def grey(level: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def noise(height: int = 480, width: int = 640) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


def read(path: Path) -> tuple[float, list[NDArray[np.uint8]]]:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    rate, frames = capture.get(cv2.CAP_PROP_FPS), []
    while (got := capture.read())[0]:
        frames.append(got[1])
    return rate, frames


def write(recorder: VideoRecorder, picture: np.ndarray) -> None:
    """A picture at the time of the next frame, so that it is one frame."""
    recorder.write(picture, recorder._frames / recorder._rate)


@pytest.mark.parametrize("name", ["new/clip.mp4", "clip.avi", "CLIP.MP4"])
def test_what_is_written_can_be_read(tmp_path: Path, name: str) -> None:
    with VideoRecorder(tmp_path / name, 15.0) as recorder:
        for level in range(0, 240, 20):
            write(recorder, grey(level))
    assert (recorder.failed, recorder.path) == ("", tmp_path / name)
    rate, frames = read(recorder.path)
    assert rate == pytest.approx(15.0)
    assert [frame.mean() for frame in frames] == pytest.approx(list(range(0, 240, 20)), abs=4)
    assert frames[0].shape == (48, 64, 3)


@pytest.mark.parametrize(("rate", "written"), [
    (66.1234, 66.12), (70.123, 70.12), (120.137, 120.14), (119.88012, 119.88), (1000.0, 240.0),
    (59.94, 59.94), (29.97, 29.97), (23.976, 23.976), (12.5, 12.5), (14.9853, 14.985),
    (0.0001, 0.01), (0.0, 30.0), (float("nan"), 30.0),
])
def test_measured_rates_stay_mp4(tmp_path: Path, rate: float, written: float) -> None:
    with VideoRecorder(tmp_path / "clip.mp4", rate) as recorder:
        for _ in range(3):
            write(recorder, grey(100))
    assert (recorder.path, recorder.failed) == (tmp_path / "clip.mp4", "")
    assert read(recorder.path)[0] == pytest.approx(written, abs=1e-6)


def test_recording_keeps_time(tmp_path: Path) -> None:
    """Irregular frames, 20 and then 5 a second, at a nominal 10: two seconds stay two seconds."""
    times = [n / 20 for n in range(20)] + [1 + n / 5 for n in range(6)]
    with VideoRecorder(tmp_path / "clip.avi", 10.0) as recorder:
        for time in times:
            recorder.write(grey(round(time * 100)), 1000.0 + time)
    _, frames = read(recorder.path)
    assert len(frames) == 21
    shown = [frame.mean() / 100 for frame in frames]
    assert shown == pytest.approx([n / 10 for n in range(21)], abs=0.26)


def test_pause_and_jump_back_are_not_filled(tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / "clip.avi", 10.0) as recorder:
        for time in [0.0, 0.1, 0.2, 60.0, 60.1, 5.0, 5.1]:
            recorder.write(grey(100), time)
    assert len(read(recorder.path)[1]) == 7


def test_change_of_size_and_kind_in_mid_run(tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / "clip.avi", 10.0) as recorder:
        write(recorder, grey(200, 48, 64))
        write(recorder, grey(200, 96, 64))
        write(recorder, grey(200)[:, :, 0])
        write(recorder, np.full((48, 64, 4), 200, np.uint8))
    assert recorder.failed == ""
    frames = read(recorder.path)[1]
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 4
    assert frames[1][:, :14].max() < 30  # half the width is the picture, the rest is border
    assert frames[1][:, 18:46].min() > 170
    assert min(frames[2].min(), frames[3].min()) > 190


@pytest.mark.parametrize("shape", [(1, 1), (17, 4000), (4000, 17), (49, 65)])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi"])
def test_odd_sizes(tmp_path: Path, shape: tuple[int, int], name: str) -> None:
    with VideoRecorder(tmp_path / name, 10.0) as recorder:
        for _ in range(3):
            write(recorder, grey(180, *shape))
    assert recorder.failed == ""
    frames = read(recorder.path)[1]
    assert len(frames) == 3
    assert frames[0].shape[0] >= shape[0]
    assert frames[0].shape[1] >= shape[1]


def test_fit_scales_only_where_it_must() -> None:
    image = noise(47, 63)
    assert np.array_equal(fit(image, (64, 48))[:47, :63], image)
    assert fit(image, (63, 47)) is image
    wide = fit(grey(99, 10, 40), (20, 20))
    assert (wide[:7] == 0).all()
    assert (wide[8:12] == 99).all()


def test_size_no_mp4_can_have_becomes_avi(tmp_path: Path,
                                          caplog: pytest.LogCaptureFixture) -> None:
    with VideoRecorder(tmp_path / "clip.mp4", 10.0) as recorder:
        for _ in range(3):
            write(recorder, grey(180, 16, 9000))
    assert (recorder.path, recorder.failed) == (tmp_path / "clip.avi", "")
    assert plays(tmp_path / "clip.avi")
    assert "no mp4 of 9000 x 16 pixels" in caplog.text
    assert not (tmp_path / "clip.mp4").exists()


def test_avi_in_place_of_mp4_overwrites_none(tmp_path: Path) -> None:
    (tmp_path / "clip.avi").write_text("from yesterday")
    with VideoRecorder(tmp_path / "clip.mp4", 10.0) as recorder:
        write(recorder, grey(180, 16, 9000))
    assert recorder.path == tmp_path / "clip-2.avi"
    assert (tmp_path / "clip.avi").read_text() == "from yesterday"


def test_second_recording_overwrites_nothing(tmp_path: Path, tiny_card: ModelCard) -> None:
    (tmp_path / "clip-2.mp4").write_text("from yesterday")
    settings = Settings(out=str(tmp_path / "runs"), record=str(tmp_path / "clip.mp4"))
    with Sinks(settings, tiny_card, headless=False) as sinks:
        sinks.record(grey(180), 0.0, 10.0)
        sinks.toggle_recording()
        sinks.toggle_recording()
        sinks.record(grey(180), 1.0, 10.0)
        assert sinks.toggle_recording() == f"recorded {tmp_path / 'clip-3.mp4'}"
    assert plays(tmp_path / "clip.mp4")
    assert (tmp_path / "clip-2.mp4").read_text() == "from yesterday"


def test_size_no_video_can_have_is_said(tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / "clip.mp4", 10.0) as recorder:
        write(recorder, grey(180, 16, 70000))
        write(recorder, grey(180))
    assert "no encoder takes 70000 x 16" in recorder.failed


def test_nothing_recorded_leaves_no_file(tmp_path: Path) -> None:
    VideoRecorder(tmp_path / "clip.mp4", 10.0).close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "message"), [
    ("file/clip.mp4", "cannot be written"), ("folder.mp4", "cannot be written"),
    ("clip.wmv", "recordings are .mp4 or .avi files"), ("clip", ".mp4 or .avi"),
])
def test_path_that_cannot_be_written(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputError, match=message):
        VideoRecorder(tmp_path / name, 10.0)


def test_folder_that_disappears(tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / "there" / "clip.avi", 10.0) as recorder:
        write(recorder, grey(100))
        shutil.rmtree(tmp_path / "there")
        for _ in range(30):
            write(recorder, grey(100))
        assert "there" in recorder.failed


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi"])
@pytest.mark.parametrize("shape", [(480, 640), (32, 32)])
def test_still_picture_is_not_taken_for_a_full_disk(tmp_path: Path, name: str,
                                                    shape: tuple[int, int]) -> None:
    """The smallest pictures there are, black ones, take more than we count them for."""
    with VideoRecorder(tmp_path / name, 30.0) as recorder:
        for _ in range(61):
            write(recorder, grey(0, *shape))
    assert recorder.failed == ""
    least = LEAST_BYTES[CODECS[recorder.path.suffix]] * shape[0] * shape[1]
    assert recorder.path.stat().st_size > 61 * least


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi"])
def test_file_grows_in_blocks_smaller_than_we_allow(tmp_path: Path, name: str) -> None:
    sizes = {0}
    with VideoRecorder(tmp_path / name, 30.0) as recorder:
        while len(sizes) < 5:
            write(recorder, noise(120, 160))
            sizes.add(recorder.path.stat().st_size)
    assert np.diff(sorted(sizes)).max() < HELD_BYTES


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of its own, of `request.param` kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}k", "tmpfs", str(folder)]
    mounted = sys.platform == "linux" and not subprocess.run(
        mount, capture_output=True, check=False).returncode
    if not mounted:
        pytest.skip("only root on Linux can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("small_disk", [49_200], indirect=True)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi"])
def test_recording_stops_before_the_disk_is_full(small_disk: Path, name: str) -> None:
    with VideoRecorder(small_disk / name, 10.0) as recorder:
        for _ in range(400):
            write(recorder, noise())
            if recorder.failed:
                break
    assert "MB free" in recorder.failed
    assert plays(small_disk / name)
    with pytest.raises(OutputError, match="MB free"):
        VideoRecorder(small_disk / "other.mp4", 10.0)


@pytest.mark.parametrize("small_disk", [1_000], indirect=True)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi"])
def test_full_disk(small_disk: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "FREE_BYTES", 0)  # as where a quota hides the free space
    with VideoRecorder(small_disk / name, 10.0) as recorder:
        for _ in range(60):
            write(recorder, noise())
        for _ in range(250):
            write(recorder, grey(0, 480, 640))
    # Still pictures show a full disk late: in an mp4 not before the end of these.
    late = "is damaged" if name == "clip.mp4" else "does not grow any more"
    assert late in recorder.failed


LIMITED = """
import resource, sys
import numpy as np
from app.recording import VideoRecorder
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
picture = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
with VideoRecorder(sys.argv[1], 30.0) as recorder:
    for frame in range(300):
        recorder.write(picture if frame < 10 else 0 * picture, frame / 30)
print(recorder.failed)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes on Windows")
def test_limit_on_the_size_of_files(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path / "clip.avi")], cwd=ROOT,
                          capture_output=True, text=True, timeout=60, check=True)
    assert "does not grow any more" in done.stdout
    assert "Traceback" not in done.stderr
    assert "OpenCV" not in done.stderr
