"""The command: any checkpoint in, our own file with its card out, or a sentence about why not."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.checkpoints import load_model, read_card
from models.convert import main


@pytest.fixture
def foreign(tiny_network, tmp_path):
    torch.save({"state_dict": {f"module.{n}": t for n, t in tiny_network.state_dict().items()}},
               tmp_path / "foreign.pth.tar")
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\n")
    return tmp_path / "foreign.pth.tar"


def test_convert_with_a_card_and_a_label_file(foreign, tiny_network, tmp_path, capsys):
    out = tmp_path / "ours.safetensors"
    (tmp_path / "card.yaml").write_text("frame_rate: 9\ninput_size: [64, 48]\n")
    assert main([str(foreign), str(out), "--card", str(tmp_path / "card.yaml"),
                 "--labels", str(tmp_path / "names.txt")]) == 0
    assert "foreign, mobilenet_v2, 4 labels, 48 x 64 pixels, 9 frames" in capsys.readouterr().out
    foreign.unlink()
    network, card = load_model(out)
    assert (card.labels, card.frame_rate) == (tuple("abcd"), 9)
    assert torch.equal(network.classifier.weight, tiny_network.classifier.weight)


@pytest.mark.parametrize(("make", "message"), [
    (lambda folder: (folder / "names.txt").write_text("a\nb\n"), "2 labels .* 4 classes"),
    (lambda folder: (folder / "names.txt").write_text("\n"), "this one is empty"),
    (lambda folder: (folder / "foreign.yaml").write_text("a: b: c\n"), "line 1, column 5"),
    (lambda folder: (folder / "foreign.pth.tar").write_text("text"), "is no checkpoint"),
    (lambda folder: (folder / "foreign.pth.tar").unlink(), "is no file"),
])
def test_what_is_wrong_is_said_in_one_line(foreign, tmp_path, make, message, capsys):
    make(tmp_path)
    out = tmp_path / "ours.safetensors"
    assert main([str(foreign), str(out), "--labels", str(tmp_path / "names.txt")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert re.search(message, said)
    assert not out.exists()


@pytest.mark.parametrize("target", ["out.pth", "taken.safetensors"])
def test_a_wrong_target_is_a_usage_error(foreign, tmp_path, target):
    (tmp_path / "taken.safetensors").write_text("")
    with pytest.raises(SystemExit) as left:
        main([str(foreign), str(tmp_path / target)])
    assert left.value.code == 2
    assert (tmp_path / "taken.safetensors").read_text() == ""


def test_as_a_module_with_the_renamed_tensors(foreign, tmp_path):
    out = tmp_path / "ours.safetensors"
    done = subprocess.run(
        [sys.executable, "-m", "models.convert", str(foreign), str(out), "--verbose",
         "--labels", str(tmp_path / "names.txt")],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "module.features.0.0.weight -> features.0.0.weight" in done.stderr
    assert read_card(out).name == "foreign"


def test_a_shift_both_ways_is_warned_of(foreign, tmp_path, caplog):
    (tmp_path / "foreign.yaml").write_text("shift: {direction: both, past_fold: second}\n")
    assert main([str(foreign), str(tmp_path / "ours.safetensors"), "--labels",
                 str(tmp_path / "names.txt")]) == 0
    assert caplog.text.count("has no future") == 1
