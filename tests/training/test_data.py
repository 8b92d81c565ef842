"""One interface over shards, Jester's layout, class folders and recordings with a label file."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from toy_shards import LABELS, STROKE_S, picture, write_shard

from online_tsm.video_files import plain_times
from training.data import (
    open_clips,
    read_class_folders,
    read_jester,
    read_shards,
    read_table,
    recording,
)
from training.events_file import DataError, read_event_list
from training.streams import _images


def write_video(path: Path, frames: int = 10, rate: float = 10.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (32, 24))
    for number in range(frames):
        video.write(np.full((24, 32, 3), 20 * number % 256, np.uint8))
    video.release()


def test_a_shards_clips_keep_their_pictures_times_and_events(shards: Path) -> None:
    clips = read_shards(shards / "train")
    assert [clip.labels for clip in clips[:4]] == [(label,) for label in LABELS]
    clip = clips[1]  # "right"
    (event,) = clip.events
    assert (event.stroke, event.happened, event.held) == (STROKE_S, STROKE_S[1], 2.1)
    assert clip.times[12] == pytest.approx(1.0)
    shown = clip.read([12, 30, 12])  # in any order, also twice
    assert np.array_equal(shown[0], shown[2])
    expected = picture("right", float(clip.times[12]), np.array([200, 200, 200]))
    square = (expected[..., 0] > 100)
    assert shown[0][square].mean() > 120
    assert shown[0][~square].mean() < 80
    assert clip.read_masks is not None
    assert np.array_equal(clip.read_masks([12])[0] > 0, square)
    assert read_shards(shards / "heldout")[4].events[0].held_out_style


def test_a_cut_off_shard_is_named(tmp_path: Path) -> None:
    write_shard(tmp_path, ["left"])
    path = next(tmp_path.glob("*.npz"))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"shard-00000\.npz"):
        read_shards(tmp_path)


def test_jesters_layout(tmp_path: Path) -> None:
    (tmp_path / "17").mkdir()
    for number in range(1, 25):
        cv2.imwrite(str(tmp_path / "17" / f"{number:05d}.jpg"), np.full((24, 32, 3), number * 10))
    table = tmp_path / "train.csv"
    table.write_text("17;Thumb Up\n")
    (clip,) = read_jester(tmp_path, table)
    assert clip.labels == ("Thumb Up",)
    assert clip.times[12] == pytest.approx(1.0)  # 12 frames a second
    assert clip.read([4])[0].mean() == pytest.approx(50, abs=3)
    table.write_text("18;Thumb Up\n")
    with pytest.raises(DataError, match=r"line 1.*18"):
        read_jester(tmp_path, table)


def test_class_folders_and_recordings(tmp_path: Path) -> None:
    write_video(tmp_path / "Thumb Up" / "a.avi")
    for hidden in ("Thumb Up/._a.avi", ".Trashes/a.avi"):  # what a Mac leaves on other disks
        (tmp_path / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / hidden).write_bytes(b"Mac OS X")
    (clip,) = read_class_folders(tmp_path)
    assert clip.labels == ("Thumb Up",)
    assert clip.times[-1] == pytest.approx(0.9)
    assert clip.read([3, 9])[1].mean() == pytest.approx(180, abs=4)

    table = tmp_path / "labels.csv"
    table.write_text("file,label,start,end,person\nThumb Up/a.avi,left,0.5,0.8,Ann\n"
                     "Thumb Up/a.avi,right,0.1,0.4,Ann\n")
    (clip,) = read_table(table)
    assert clip.labels == ("right", "left")
    assert clip.events[0].stroke == (0.1, 0.4)
    assert clip.person == "Ann"
    table.write_text("file,label,person\nThumb Up/a.avi,left,Bea\n")
    assert [(clip.labels, clip.person) for clip in read_table(table)] == [(("left",), "Bea")]
    table.write_text("file,label\nThumb Up/a.avi,left\nThumb Up/a.avi,right\n")
    with pytest.raises(DataError, match=r"a\.avi 2 times"):
        read_table(table)
    table.write_text("file,label\nThumb Up/a.avi,left\nThumb Up/none.avi,left\n")
    with pytest.raises(DataError, match=r"none\.avi"):
        read_table(table)


def test_a_header_that_promises_too_many_frames(tmp_path: Path) -> None:
    write_video(tmp_path / "x" / "a.avi")
    (clip,) = read_class_folders(tmp_path)
    assert np.array_equal(*clip.read([9, 12]))
    assert np.array_equal(clip.read([9])[0], clip.read([12])[0])  # the last part of a long video
    with pytest.raises(DataError, match="frame 60 cannot be read"):
        clip.read([60])


def test_frames_that_a_cut_off_video_lost_are_named_and_not_copied(tmp_path: Path) -> None:
    write_video(tmp_path / "x" / "a.avi", 100)
    (clip,) = read_class_folders(tmp_path)
    video = tmp_path / "x" / "a.avi"
    video.write_bytes(video.read_bytes()[:video.stat().st_size * 3 // 10])
    assert len(clip.read([10])) == 1
    for numbers in ([10, 90], [90]):
        with pytest.raises(DataError, match=r"a\.avi: frame 90 cannot be read"):
            clip.read(numbers)


def test_events_behind_the_end_of_a_video_are_named(tmp_path: Path) -> None:
    """Such as those counted in frames: 0.3 to 0.8 s are 3 to 8 of these."""
    write_video(tmp_path / "a.avi")
    table = tmp_path / "labels.csv"
    for start, end in (("0.3", "0.8"), ("0", "1.8")):
        table.write_text(f"file,label,start,end\na.avi,left,{start},{end}\n")
        assert read_table(table)[0].events[0].end == float(end)
    table.write_text("file,label,start,end\na.avi,left,0,0.5\na.avi,left,3,8\n")
    with pytest.raises(DataError, match=r"a\.avi ends at 0\.9 s, but 'left' .* 3 to 8 s"):
        read_table(table)
    table.write_text("file,label,start,end\na.avi,left,-3,-2\n")
    with pytest.raises(DataError, match=r"a\.avi ends at 0\.9 s, but 'left' .* -3 to -2 s"):
        read_table(table)


def test_a_stream_plays_a_long_video_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser's can be played from its begin alone, and would be for every few frames."""
    write_video(tmp_path / "a.avi", 80)
    clip, opened, real = recording(tmp_path / "a.avi", ()), [], cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda *of: opened.append(of) or real(*of))
    shown = [image.mean() for image in _images(clip, np.arange(83))]  # three that are promised
    assert len(opened) == 1
    assert shown == [image.mean() for image in clip.read([*range(80), 79, 79, 79])]
    with pytest.raises(DataError, match="frame 80 cannot be read"):
        list(_images(clip, np.arange(90)))


@pytest.mark.parametrize("row", ["a.avi", "a.avi,", ",left"])
def test_a_row_without_a_file_or_a_label_is_named(tmp_path: Path, row: str) -> None:
    write_video(tmp_path / "a.avi")
    table = tmp_path / "labels.csv"
    table.write_text(f"file,label\n{row}\n")
    with pytest.raises(DataError, match=r"labels\.csv: a row needs a file and a label"):
        read_table(table)
    table.write_text("label,file\nleft\n")
    with pytest.raises(DataError, match=r"labels\.csv: a row needs a file and a label"):
        read_table(table)


@pytest.mark.parametrize(("text", "message"), [
    ("label,start\na,1\n", "end"), ("label,start,end\na,2,1\n", "end after"),
    ("label,start,end\na,one,2\n", "one"), ("label,start,end\na,1,nan\n", "nan"),
    ("label,start,end,happened\na,1,2,inf\n", "inf"),
    ("label,start,end,happened\na,1,2,2.5\n", "cannot have happened at 2.5 s")])
def test_bad_event_lists_are_explained(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "events.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_event_list(path)


def test_a_table_from_excel_is_read_and_one_that_is_no_text_is_named(tmp_path: Path) -> None:
    write_video(tmp_path / "ä.avi")
    table = tmp_path / "labels.csv"
    table.write_text("file,label\r\nä.avi,left\r\n", encoding="utf-8-sig")
    assert [clip.labels for clip in read_table(table)] == [("left",)]
    table.write_text("file,label\nä.avi,left\n", encoding="cp1252")
    with pytest.raises(DataError, match=r"labels\.csv is no text in UTF-8"):
        read_table(table)


def test_events_in_yaml(tmp_path: Path) -> None:
    path = tmp_path / "events.yaml"
    path.write_text("- {label: b, start: 2, end: 3, happened: 2.5}\n- {label: a, start: 0, end: 1}")
    events = read_event_list(path)
    assert [event.label for event in events] == ["a", "b"]
    assert [event.done for event in events] == [1, 2.5]
    sample = read_event_list(Path(__file__).parents[2] / "app" / "sample.yaml")
    assert [event.label for event in sample][:2] == ["Swiping Left", "Swiping Right"]
    path.write_text("events: {a: 1}")
    with pytest.raises(DataError, match="must be a list of events"):
        read_event_list(path)


def test_an_empty_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no clips"):
        open_clips("shards", tmp_path)
    with pytest.raises(DataError, match="table"):
        open_clips("jester", tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have UTF-8 names alone")
def test_a_video_whose_name_is_not_utf_8_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "wave" / "caf\udce9.mp4"
    path.parent.mkdir()
    path.write_bytes(b"")
    with pytest.raises(DataError, match="is not UTF-8"):
        read_class_folders(tmp_path)


def test_a_browsers_recording_is_read_though_it_has_no_number_of_frames(tmp_path: Path) -> None:
    path = tmp_path / "wave" / "a.webm"
    path.parent.mkdir()
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"VP80"), 10.0, (32, 24))
    if not video.isOpened():
        pytest.skip("this OpenCV writes no WebM")
    for number in range(12):
        video.write(np.full((24, 32, 3), 20 * number, np.uint8))
    video.release()
    # The duration's element (0x4489) becomes one that means nothing.
    path.write_bytes(path.read_bytes().replace(b"\x44\x89\x88", b"\xec\x89\x88", 1))
    (clip,) = read_class_folders(tmp_path)
    assert clip.times == pytest.approx(np.arange(12) / 10, abs=0.002)
    seven, three = (image.mean() for image in clip.read([7, 3]))
    assert (seven, three) == (pytest.approx(140, abs=4), pytest.approx(60, abs=4))
    (late,) = clip.read([9])
    assert late.mean() == pytest.approx(180, abs=4)


def test_a_phones_video_that_gets_slower_is_read_by_its_stamps(tmp_path: Path) -> None:
    """Its header has one rate for all frames, by which a player jumps, too."""
    path = tmp_path / "wave" / "a.mov"
    path.parent.mkdir()
    packets = [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1]
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 30.0,
                            (32, 24), packets)
    if not video.isOpened():
        pytest.skip("this OpenCV writes no frames with a time")
    ticks = np.concatenate([np.arange(60), 60 + 2 * np.arange(60)])
    for number, tick in enumerate(ticks.tolist()):
        video.set(cv2.VIDEOWRITER_PROP_PTS, tick)
        _, jpeg = cv2.imencode(".jpg", np.full((24, 32, 3), 2 * number, np.uint8))
        video.write(jpeg.reshape(1, -1))
    video.release()
    (clip,) = read_class_folders(tmp_path)
    assert clip.times == pytest.approx(ticks / 30)
    assert plain_times(path) == pytest.approx(ticks / 30)
    for numbers in ([0, 5], [30], [70, 75, 100], [119]):
        shades = [image.mean() for image in clip.read(numbers)]
        assert shades == pytest.approx([2 * number for number in numbers], abs=0.9)
