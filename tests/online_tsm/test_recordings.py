"""Recordings on disk: whole or not there, as they were, and refused with the reason."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from online_tsm import recordings
from online_tsm.frames import FramesError, read_frames
from online_tsm.recordings import (
    RecordingError,
    delete_left,
    delete_recording,
    move_stroke,
    read_recordings,
    refusal,
    safe_label,
    save_recording,
)
from online_tsm.video_files import plain_times, read_video, write_video

ROOT = Path(__file__).parents[2]


def clip(frames: int = 24, rate: float = 12.0, level: int = 90, moving: bool = True
         ) -> tuple[list[np.ndarray], np.ndarray]:
    """A square that rises, goes to the right and comes back, before a grey wall."""
    times = np.arange(frames) / rate
    images = []
    for number in range(frames):
        image = np.full((120, 160, 3), level, np.uint8)
        share = min(max(number / frames - 0.3, 0) / 0.4, 1)
        if moving and 0.2 < number / frames < 0.8:
            left = round(10 + 100 * share)
            image[40:80, left:left + 40] = (level + 80, level + 100, level + 60)
        images.append(image)
    return images, times


def test_a_recording_is_read_as_it_was_saved(tmp_path: Path) -> None:
    images, times = clip()
    saved = save_recording(tmp_path, " double wave ", images, times + 7.5, stroke=(8.0, 9.0),
                           mirror=True)
    (read,) = read_recordings(tmp_path)
    assert read.path == saved.path
    assert read.label == "double wave"
    assert read.path.parent == tmp_path / "double wave"
    assert (read.background, read.mirror, read.date) == (False, True, saved.date)
    assert read.stroke == pytest.approx((0.5, 1.5))
    assert read.rate == pytest.approx(12.0)
    np.testing.assert_allclose(read.times, times, atol=1e-4)
    difference = np.abs(np.stack(read.frames()).astype(int) - np.stack(images))
    assert difference.mean() < 1.5


def test_plain_videos_in_folders_are_recordings_of_the_folders_name(tmp_path: Path) -> None:
    images, times = clip()
    save_recording(tmp_path, "circle", images, times, stroke=None).sidecar.unlink()
    save_recording(tmp_path, "No gesture", images, times, stroke=None).sidecar.unlink()
    background, gesture = sorted(read_recordings(tmp_path), key=lambda one: one.label)
    assert (background.label, background.background) == ("No gesture", True)
    assert (gesture.label, gesture.background, gesture.stroke) == ("circle", False, None)


def test_what_a_killed_recorder_leaves_is_no_recording(tmp_path: Path) -> None:
    images, times = clip()
    kept = save_recording(tmp_path, "knock", images, times, stroke=None)
    gone = save_recording(tmp_path, "knock", images, times, stroke=None)
    gone.path.rename(gone.path.with_name(f".{gone.path.name}"))  # killed before the last rename
    assert [one.path for one in read_recordings(tmp_path)] == [kept.path]


def test_killed_at_any_moment_every_finished_recording_is_whole(tmp_path: Path) -> None:
    code = ("import sys, numpy as np\nfrom pathlib import Path\n"
            "from online_tsm.recordings import save_recording\n"
            "image = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)\n"
            "while True:\n"
            "    print(save_recording(Path(sys.argv[1]), 'wave', [image] * 30, "
            "np.arange(30) / 12, stroke=(0.5, 1.5)).path, flush=True)\n")
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE)
    assert process.stdout is not None
    finished = [process.stdout.readline().strip() for _ in range(3)]
    time.sleep(0.03)
    os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    finished += process.stdout.read().split()
    process.wait()
    found = {str(one.path): one for one in read_recordings(tmp_path)}
    assert set(finished) <= set(found)
    assert all(len(one.frames()) == 30 for one in found.values())


KILLED = """
import os, sys
from pathlib import Path
import cv2, numpy as np
from online_tsm.recordings import delete_recording, move_stroke, read_recordings, save_recording

CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")
images = [np.full((48, 64, 3), 9 * number, np.uint8) for number in range(20)]
times, left, root = np.arange(20) / 10, None, Path()

def die(event, arguments):
    global left
    if left is not None and event in CHANGES and str(root) in str(arguments):
        left -= 1
        if left < 0:
            os._exit(9)

def live():
    told = os.open(root.with_name(f"told-{root.name}"), os.O_CREAT | os.O_WRONLY)
    first = save_recording(root, "wave", images, times, stroke=(0.5, 1.5))
    os.write(told, b"s")
    second = save_recording(root, "wave", images, times, stroke=(0.4, 1.2))
    os.write(told, b"s")
    move_stroke(first, (0.6, 1.4))
    os.write(told, b"m")
    delete_recording(second.path)
    os.write(told, b"d")

cv2.setNumThreads(0)
sys.addaudithook(die)
code, moment = 9, 0
while code:
    root = Path(sys.argv[1]) / str(moment)
    root.mkdir()
    child = os.fork()
    if not child:
        left = moment
        live()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    told = root.with_name(f"told-{root.name}").read_text()
    found = sorted(read_recordings(root), key=lambda one: one.date)
    assert all(len(one.frames()) == 20 for one in found)
    least = told.count("s") - (told.count("m") > 0)  # then the deletion may have begun
    assert least <= len(found) <= 2, (moment, told, found)
    either = {(0.6, 1.4)} if "m" in told else {(0.5, 1.5), (0.6, 1.4)}
    assert not told or either & {one.stroke for one in found}, (moment, told, found)
    moment += 1
print(moment)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
def test_a_kill_before_any_change_of_the_disk_loses_nothing(tmp_path: Path) -> None:
    """Saving twice, moving a stroke and deleting, killed before the first, the second, ... file
    that is opened, renamed or removed: what was finished by then is there, and whole."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 15  # moments


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_a_disk_that_fills_up_is_told_and_leaves_no_half_recording(tmp_path: Path) -> None:
    code = ("import resource, sys\nimport numpy as np\nfrom pathlib import Path\n"
            "from online_tsm.recordings import RecordingError, save_recording\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
            "image = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)\n"
            "try:\n    save_recording(Path(sys.argv[1]), 'wave', [image] * 30, "
            "np.arange(30) / 12, stroke=None)\n"
            "except RecordingError as error:\n    print(error)\n")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert "is the disk full?" in done.stdout, done.stderr
    assert list((tmp_path / "wave").iterdir()) == []


def test_a_clip_of_uneven_rate_and_no_length_is_read_as_it_was_played(tmp_path: Path) -> None:
    """As a browser records: WebM without a number of frames, some frames late."""
    source, (images, _) = tmp_path / "even.webm", clip()
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"VP80"), 12.0, (160, 120))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no WebM")
    for image in images:
        writer.write(image)
    writer.release()
    (tmp_path / "u" / "circle").mkdir(parents=True)
    (tmp_path / "u" / "circle" / "a.webm").write_bytes(_lengthless(source.read_bytes()))
    (read,) = read_recordings(tmp_path / "u")
    assert len(read.times) == len(read.frames()) == 24
    assert read.rate == pytest.approx(12.0, rel=0.02)


def _lengthless(webm: bytes) -> bytes:
    """The duration's element (0x4489, eight bytes of a float) becomes one that means nothing."""
    at = webm.index(b"\x44\x89\x88")
    return webm[:at] + b"\xec\x89" + webm[at + 2:]


def test_a_moved_stroke_stays_moved(tmp_path: Path) -> None:
    images, times = clip()
    saved = save_recording(tmp_path, "knock", images, times, stroke=(0.4, 1.0))
    moved = move_stroke(saved, (0.5, 1.2))
    assert moved.stroke == pytest.approx((0.5, 1.2))
    assert read_recordings(tmp_path)[0].stroke == pytest.approx((0.5, 1.2))
    with pytest.raises(RecordingError, match="not inside"):
        move_stroke(saved, (0.5, 99.0))


def test_deleting_the_last_recording_removes_the_folder(tmp_path: Path) -> None:
    images, times = clip()
    first = save_recording(tmp_path, "knock", images, times, stroke=None)
    second = save_recording(tmp_path, "knock", images, times, stroke=None)
    delete_recording(first.path)
    assert [one.path for one in read_recordings(tmp_path)] == [second.path]
    delete_recording(second.path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_recorder_left_goes_with_the_last_recording(tmp_path: Path) -> None:
    images, times = clip()
    killed, *whole = (save_recording(tmp_path, "knock", images, times, stroke=None)
                      for _ in range(3))
    left = killed.path.rename(killed.path.with_name(f".{killed.path.name}"))
    delete_recording(whole[0].path)
    assert left.exists()
    delete_recording(whole[1].path)
    assert list(tmp_path.iterdir()) == []


def test_what_killed_recorders_left_long_ago_is_deleted(tmp_path: Path) -> None:
    images, times = clip()
    old, new, whole = (save_recording(tmp_path, label, images, times, stroke=None)
                       for label in ("knock", "wave", "beckon"))
    for one in (old, new):
        one.path.rename(one.path.with_name(f".{one.path.name}"))
    os.utime(old.path.with_name(f".{old.path.name}"), (0, 0))
    mine = whole.path.with_name("._wave.avi")  # a Mac's, or a person's own
    mine.write_bytes(b"not a recorder's")
    os.utime(mine, (0, 0))
    delete_left(tmp_path)
    assert mine.is_file()
    assert not old.path.parent.exists()
    assert len(list(new.path.parent.iterdir())) == 2  # another recorder may be at it
    assert whole.path.is_file()


def test_a_recording_that_was_deleted_by_hand_is_gone(tmp_path: Path) -> None:
    saved = save_recording(tmp_path, "knock", *clip(), stroke=None)
    shutil.rmtree(saved.path.parent)
    delete_recording(saved.path)
    assert list(tmp_path.iterdir()) == []


def test_a_large_picture_is_kept_smaller(tmp_path: Path) -> None:
    image = np.full((1080, 1920, 3), 99, np.uint8)
    save_recording(tmp_path, "knock", [image] * 3, [0, 0.1, 0.2], stroke=None)
    assert read_recordings(tmp_path)[0].frames()[0].shape == (480, 853, 3)


@pytest.mark.parametrize("label", ["", "  ", "../up", "a/b", "a\\b", "C:wave", "..", "report",
                                   "COM3", "what?", ".hidden", "x" * 61, "line\nbreak"])
def test_a_label_that_is_no_plain_name_is_refused(label: str, tmp_path: Path) -> None:
    with pytest.raises(RecordingError):
        safe_label(label)
    images, times = clip(4)
    with pytest.raises(RecordingError):
        save_recording(tmp_path, label, images, times, stroke=None)
    assert list(tmp_path.iterdir()) == []


def test_labels_of_other_alphabets_are_kept() -> None:
    assert safe_label(" Schräg 斜め ") == "Schräg 斜め"


def test_usable_clips_are_not_refused() -> None:
    assert refusal(*clip()) == ""
    assert refusal(*clip(60, moving=False), background=True) == ""
    assert "too short" in refusal(*clip(moving=False), background=True)
    assert refusal(*clip(moving=False), background=True, pieces=True) == ""


@pytest.mark.parametrize(("images_and_times", "why"), [
    (clip(6), "too short"),
    (clip(24, rate=5.0), "frames a second"),
    (clip(24, level=5, moving=False), "too dark"),
    (clip(24, moving=False), "No hand movement"),
    ((clip(24)[0], np.concatenate([clip(24)[1][:12], clip(24)[1][12:] + 0.7])), "stood still"),
])
def test_a_poor_clip_is_refused_with_the_reason(
        images_and_times: tuple[list[np.ndarray], np.ndarray], why: str) -> None:
    assert why in refusal(*images_and_times)


def test_a_camera_that_only_brightens_shows_no_movement() -> None:
    images, times = clip(24, moving=False)
    brighter = [np.clip(image.astype(int) + 2 * number, 0, 255).astype(np.uint8)
                for number, image in enumerate(images)]
    assert "No hand movement" in refusal(brighter, times)


def test_bad_folders_and_files_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no folder"):
        read_recordings(tmp_path / "none")
    (tmp_path / "circle").mkdir()
    (tmp_path / "circle" / "a.mp4").write_bytes(b"no video")
    with pytest.raises(RecordingError, match=r"a\.mp4 is no video"):
        read_recordings(tmp_path)
    (tmp_path / "circle" / "a.yaml").write_text("label: [circle")
    with pytest.raises(RecordingError, match=r"a\.yaml does not describe"):
        read_recordings(tmp_path)


def test_a_damaged_recording_says_so(tmp_path: Path) -> None:
    images, times = clip()
    saved = save_recording(tmp_path, "circle", images, times, stroke=None)
    saved.path.write_bytes(saved.path.read_bytes()[:2000])
    with pytest.raises(RecordingError, match=r"damaged|cannot be played"):
        read_recordings(tmp_path)[0].frames()


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "circle").write_text("a file where the folder should be")
    images, times = clip()
    with pytest.raises(RecordingError, match="cannot be written"):
        save_recording(tmp_path, "circle", images, times, stroke=None)


def test_a_recording_that_is_given_up_is_closed(tmp_path: Path) -> None:
    """Windows deletes no file that is open. What is closed can be played."""
    images = [np.zeros((*size, 3), np.uint8) for size in ((48, 64), (48, 64), (64, 48))]
    with pytest.raises(RecordingError, match="changed its size") as caught:
        write_video(tmp_path / "a.avi", images, 10.0)
    assert len(list(read_video(tmp_path / "a.avi"))) == 2
    assert caught.tb is not None  # which keeps all that the call held


def test_the_default_folder_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings.sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert recordings.default_teach_dir() == Path("/somewhere/online-tsm/recordings")


def test_reading_recordings_loads_no_torch() -> None:
    code = "import sys, online_tsm.recordings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="a name that is no text")
def test_a_name_that_is_not_utf_8_is_a_sentence_wherever_opencv_would_be_given_it(tmp_path: Path
                                                                                  ) -> None:
    """OpenCV ends the process at one."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    path.write_bytes(b"")
    for use in (lambda: write_video(path, clip()[0], 10.0), lambda: list(read_video(path)),
                lambda: plain_times(path)):
        with pytest.raises(RecordingError, match="is not UTF-8"):
            use()
    with pytest.raises(FramesError, match="is not UTF-8"):
        read_frames(str(path))
