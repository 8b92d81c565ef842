"""The command that makes rendered sets: its flags, and what it does not load."""

import subprocess
import sys

import pytest

from training import replay, synthesize, teach
from training.synthesize import main


def test_wrong_flags_and_files_are_sentences_not_tracebacks(capsys, tmp_path):
    assert main(["preview", str(tmp_path / "none.yaml")]) == 2
    assert "Cannot read" in capsys.readouterr().err
    assert main(["render", "--out", str(tmp_path), "--clips", "0"]) == 2
    assert "--clips" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["render", "--out", str(tmp_path), "--clips", "many"])
    assert "no whole number" in capsys.readouterr().err


@pytest.mark.parametrize("command", [synthesize.main, replay.main, teach.main])
def test_a_seed_below_zero_is_a_sentence(command, capsys):
    with pytest.raises(SystemExit):
        command(["render", "--seed", "-1"] if command is synthesize.main else ["x", "--seed", "-1"])
    assert "-1 is negative" in capsys.readouterr().err


def test_checking_the_gestures_needs_neither_torch_nor_opengl():
    code = (
        "import sys; from training.synthesize import main; assert main(['check']) == 0; "
        "assert not {'torch', 'anny', 'moderngl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
