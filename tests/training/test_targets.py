"""`--out` is looked at before the work: what is no folder is a sentence."""

from pathlib import Path

import pytest

from training import evaluate, meter, synthesize
from training.events_file import DataError
from training.targets import check_folder

COMMANDS = [
    (synthesize.main, ["render", "--clips", "2"]),
    (synthesize.main, ["people"]),
    (synthesize.main, ["preview", "training/gestures/swiping_left.yaml"]),
    (synthesize.main, ["guide"]),
    (evaluate.main, ["--shards", "nowhere"]),
    (meter.main, ["network.onnx", "--shards", "nowhere"]),
]


@pytest.mark.parametrize(("main", "flags"), COMMANDS)
@pytest.mark.parametrize("out", ["video.mp4", "video.mp4/deeper"])
def test_a_file_in_the_place_of_the_folder_is_named_at_once(
        main, flags, out, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "video.mp4").write_text("precious")
    assert main([*flags, "--out", str(tmp_path / out)]) == 2
    said = capsys.readouterr().err
    assert said == (f"error: --out is {tmp_path / out}, but {tmp_path / 'video.mp4'} is no folder; "
                    "name another one\n")
    assert (tmp_path / "video.mp4").read_text() == "precious"


def test_a_sample_is_a_file_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert synthesize.main(["sample", "--out", str(tmp_path / "file" / "sample.mp4")]) == 2
    assert f"{tmp_path / 'file'} is no folder" in capsys.readouterr().err


def test_new_folders_and_old_ones_are_fine_and_nothing_is_made_yet(tmp_path: Path) -> None:
    check_folder(tmp_path)
    check_folder(tmp_path / "new" / "newer")
    assert not (tmp_path / "new").exists()


def test_a_link_that_leads_nowhere_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match="link is no folder"):
        check_folder(tmp_path / "link")
