"""Settings: flags over file over defaults, and sentences for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.settings import Settings, SettingsError, build, from_flags, read_config
from models import zoo

CONFIGS = Path(__file__).parents[2] / "configs"


def test_without_flags_everything_is_the_default() -> None:
    assert from_flags([]).settings == Settings()


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("source: 2\nphases: 3\ncamera: {width: 320, height: 240}\n"
                      "card: {colour: bgr, smoothing: {rise: 0.7}}\nfast: true\n")
    settings = from_flags(["--config", str(config), "--phases", "auto", "--camera-rate", "15",
                           "--colour", "rgb"]).settings
    assert (settings.source, settings.fast, settings.phases) == ("2", True, None)
    assert (settings.camera.width, settings.camera.height, settings.camera.rate) == (320, 240, 15)
    assert settings.card == {"colour": "rgb", "smoothing": {"rise": 0.7}}


def test_the_config_of_the_official_checkpoint_names_a_model_of_the_zoo() -> None:
    settings = build(read_config(CONFIGS / "jester_official.yaml"))
    assert settings.model in zoo.entries()
    assert settings.preset == "official"


def test_the_default_config_is_the_default() -> None:
    assert build(read_config(CONFIGS / "default.yaml")) == Settings()


@pytest.mark.parametrize(("text", "words"), [
    ("phasse: 3", "did you mean 'phases'?"),
    ("camera: {hight: 3}", "did you mean 'height'?"),
    ("phases: 0", "phases is 0; it must be auto or a whole number of at least 1"),
    ("phases: true", "phases is True"),
    ("engine: onnx",
     "engine is 'onnx'; it must be one of auto, compiled, onnxruntime, openvino, tensorrt, torch"),
    ("max_seconds: -1", "max_seconds is -1; it must be a number above 0"),
    ("max_seconds: .nan", "max_seconds is nan"),
    ("fast: maybe", "fast is 'maybe'; it must be true or false"),
    ("personal: 3", "personal is 3; it must be on or off"),
    ("mirror: 3", "mirror is 3; it must be auto, true or false"),
    ("allow: Thumb Up", "allow is 'Thumb Up'; it must be a list of gesture names"),
    ("camera: 3", "camera: expected keys and values"),
    ("camera: 0", "bad.yaml: camera: expected keys and values, got 0"),
    ("card: [1]", "bad.yaml: card: expected keys and values, got [1]"),
    ("[1, 2]", "expected keys and values"),
    ("model: {}", "model is {}; it must be text"),
    ("camera:\n  width: 320\n rate: 3\n", "line 3, column 2"),
    ("out: 2024-02-30", "bad.yaml: not valid YAML: day"),
    ("phases: 1\nfast: true\nphases: 3\n", "bad.yaml, line 3, column 1: not valid YAML: 'phases' "
                                           "stands here a second time; line 1 has it already"),
    ("camera:\n  rate: 15\n  'rate': 30\n", "bad.yaml, line 3, column 3: not valid YAML: 'rate'"),
])
def test_a_bad_file_is_explained(tmp_path: Path, text: str, words: str,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text(text)
    with pytest.raises(SystemExit) as ended:
        from_flags(["--config", str(config)])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line


@pytest.mark.parametrize(("text", "flags"), [
    ("camera: 640x480", ["--camera-size", "640x480"]), ("card: rgb", ["--colour", "rgb"])])
def test_a_bad_file_is_explained_where_flags_are_laid_over_it(
        tmp_path: Path, text: str, flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(SystemExit):
        from_flags(["--config", str(tmp_path / "bad.yaml"), *flags])
    assert "bad.yaml: " in (words := capsys.readouterr().err)
    assert "expected keys and values" in words


@pytest.mark.parametrize(("flags", "words"), [
    (["--camera-size", "big"], "'big' is no size; write it as 640x480"),
    (["--camera-size", "0x480"], "'0x480' is no size; write it as 640x480"),
    (["--source", ""], "source is ''; it must be text, and not empty"),
    (["--phases", "many"], "'many' is neither a number nor 'auto'"),
    (["--phases", "²"], "'²' is neither a number nor 'auto'"),
    (["--phases", "0"], "phases is 0"),
    (["--events", "-", "--predictions", "-"], "would mix on stdout"),
    (["--record", "--no-record"], "not allowed with"),
    (["--list-labels", "--list-cameras"], "not allowed with"),
    (["--config", "/nowhere/x.yaml"],
     f"cannot read the configuration {Path('/nowhere/x.yaml')}: No such file or directory"),
    (["--latency", "report.doc"], ".json, .txt or .png"),
    (["--max-frames", "0"], "max_frames is 0"),
    (["--threads", "100000"], "threads is 100000; it must be a whole number from 1 to 256"),
    (["--teach", "--no-display"], "--teach needs the window"),
    (["--teatch"], "unrecognized arguments: --teatch"),
    (["--personal", "perhaps"], "invalid choice: 'perhaps'"),
    (["--teach-dir", ""], "teach_dir is ''; it must be text"),
    (["--list-recordings", "--delete-recording", "Knock"], "not allowed with"),
])
def test_a_bad_flag_is_explained(flags: list[str], words: str,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        from_flags(flags)
    assert ended.value.code == 2
    *usage, line = capsys.readouterr().err.splitlines()
    assert line.removeprefix("run_demo.py: ").startswith("error: ")
    assert words in line
    assert len(usage) <= 1


def test_a_bare_off_is_off(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("overlay: off\nrecord: off\npersonal: off\n")
    settings = build(read_config(tmp_path / "x.yaml"))
    assert (settings.overlay, settings.record, settings.personal) == ("off", "off", False)


@pytest.mark.parametrize(("flags", "personal"), [
    ([], True), (["--personal", "on"], True), (["--personal", "off"], False)])
def test_the_taught_model_is_switched_off_by_a_flag(flags: list[str], personal: bool) -> None:
    assert from_flags(flags).settings.personal is personal


def test_a_binary_file_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"configuration .*: it is not UTF-8 text"):
        read_config(tmp_path / "x.yaml")


def test_a_tilde_is_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # Windows
    (tmp_path / "x.yaml").write_text("out: ~/runs\nrecord: auto\n")
    settings = from_flags(["--config=~/x.yaml", "--events=~/events.jsonl",
                           "--predictions", "-"]).settings
    assert Path(settings.out) == Path.home() / "runs"
    assert Path(settings.events) == Path.home() / "events.jsonl"
    assert (settings.record, settings.predictions) == ("auto", "-")
