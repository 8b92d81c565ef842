"""The front door: what is wrong is a sentence, and leaves nothing behind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from front_door import SAMPLE, run_demo, run_demo_here

from app import command
from app.settings import Settings, SettingsError
from app.sources import SourceError


@pytest.mark.parametrize(("flags", "words"), [
    (["--source", "nowhere.mp4"], "there is no file or folder 'nowhere.mp4'"),
    (["--model", "nowhere.pth"], "nowhere.pth"),
    (["--model", "text.pth"], "text.pth"),
    (["--source", "text.mp4"], "text.mp4 is text, not a video"),
    (["--labels", "short.txt"], "27"),
    (["--actions", "bad.yaml"], "line 1"),
    (["--deny", "Thumbs Up"], "did you mean 'Thumb Up'"),
    (["--card", "card.yaml"], "did you mean 'colour'"),
    (["--out", "text.mp4"], "text.mp4"),
    (["--source", "clip", "--record", "film.doc"], "recordings are"),
    (["--events", "text.mp4/x.jsonl"], "cannot be written"),
    (["--source", "clip", "--record", "clip"], "--source and --record are the same file"),
    (["--events", "x.jsonl", "--predictions", "./x.jsonl"], "--events and --predictions are"),
    (["--config", "set.yaml", "--events", "set.yaml"], "--config and --events are the same file"),
    (["--latency", "short.txt/x.json"], "short.txt is no folder; name another one"),
    (["--latency", "folder.json"], "folder.json cannot be written: it is a folder; name a file"),
    (["--source", "x" * 300], "x' is no camera index"),
    (["--source", "9" * 5000], "9' is no camera index"),
    (["--model", "x" * 300], "x is no file, and no model has that name"),
    (["--actions", "x" * 300], "x cannot be read: File name too long"),
    (["--events", "x" * 300], "x cannot be written: File name too long"),
    (["--events", "ring"], "ring cannot be written: "),
    (["--teach-dir", "short.txt"], "short.txt is no folder; name another one"),
    (["--teach-dir", "short.txt/x"], "short.txt is no folder; name another one"),
    (["--teach-dir", "x" * 300], "x: the folder cannot be made: File name too long; name another"),
])
def test_what_is_wrong_is_a_sentence(clip: Path, tmp_path: Path, flags: list[str], words: str
                                     ) -> None:
    for name in ("text.pth", "text.mp4"):
        (tmp_path / name).write_text("no weights and no video\n" * 100)
    (tmp_path / "short.txt").write_text("one\ntwo\n")
    (tmp_path / "bad.yaml").write_text("Thumb Sideways: {print: x}\n")
    (tmp_path / "card.yaml").write_text("color: rgb\n")
    (tmp_path / "set.yaml").write_text("fast: true\n")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "ring").symlink_to("ring")
    flags = [str(clip) if flag == "clip" else flag for flag in flags]
    if "--source" not in flags:
        flags += ["--source", str(clip)]
    done = run_demo("--no-display", "--fast", *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have UTF-8 names alone")
@pytest.mark.parametrize(("flags", "words"), [
    (["--source", "caf\udce9.mp4"], "caf\\udce9.mp4 cannot be opened: its name is not UTF-8"),
    (["--source", "http://127.0.0.1:9/\udce9"], "/\\udce9 is not UTF-8"),
    (["--record", "r\udce9.mp4"], "r\\udce9.mp4 cannot be recorded: its name is not UTF-8"),
    (["--out", "o\udce9"], "annotated.mp4 cannot be recorded: its name is not UTF-8"),
    (["--teach-dir", "t\udce9"], "t\\udce9: its name is not UTF-8"),
])
def test_a_name_that_opencv_would_end_the_process_of_is_a_sentence(
        clip: Path, tmp_path: Path, flags: list[str], words: str) -> None:
    (tmp_path / "caf\udce9.mp4").write_bytes(clip.read_bytes())
    done = run_demo("--source", clip, "--no-display", "--fast", *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]


def test_a_folder_of_recordings_that_is_not_there_is_told_and_not_made(
        clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gestures").mkdir()
    for name, told in (("gestrues", True), ("gestures", False)):
        assert run_demo_here("--source", clip, "--no-display", "--fast", "--no-record", "--out",
                             tmp_path / "runs", "--teach-dir", tmp_path / name) == 0
        words = (f"--teach-dir {tmp_path / name} is not there yet; it is made with the first "
                 "recording")
        assert (words in capsys.readouterr().err.splitlines()) == told
    assert not (tmp_path / "gestrues").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_folder_of_recordings_behind_a_link_to_nothing_is_told(
        clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = tmp_path / "gestures"
    link.symlink_to(tmp_path / "unplugged disk" / "gestures")
    for name in (link, link / "x"):
        assert run_demo_here("--source", clip, "--no-display", "--fast", "--no-record", "--out",
                             tmp_path / "runs", "--teach-dir", name) == 2
        assert f"{link} is no folder; name another one" in capsys.readouterr().err


def test_nobody_is_taught_from_the_bundled_sample() -> None:
    with pytest.raises(SettingsError, match="--teach needs a camera that sees you"):
        command._open_sample(Settings(teach=True), SourceError("no camera 0"))


def test_a_wrong_source_leaves_older_outputs_alone(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("from yesterday\n")
    done = run_demo("--source", "typo.mp4", "--no-display", "--predictions", "p.jsonl",
                    cwd=tmp_path)
    assert done.returncode == 2
    assert (tmp_path / "p.jsonl").read_text() == "from yesterday\n"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("flags", "words"), [
    (["--source", "http://127.0.0.1:9/video"], "no video from http://127.0.0.1:9/video"),
    (["--actions", "bad.yaml"], "bad.yaml, line 1"),
    (["--deny", "Thumbs Up"], "did you mean 'Thumb Up'"),
    (["--record", "film.doc"], "recordings are"),
    (["--model", "bad.pth"], "bad.pth"),
])
def test_a_start_that_failed_leaves_no_run_folder(
        tmp_path: Path, flags: list[str], words: str, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    for name in ("bad.yaml", "bad.pth"):
        Path(name).write_text("Thumb Sideways: {print: x}\n")
    before = sorted(tmp_path.rglob("*"))
    if "--source" not in flags:
        flags = [*flags, "--source", str(SAMPLE)]
    assert run_demo_here("--no-display", "--fast", "--out", "out/runs", *flags) == 2
    assert words in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
