"""Our own format: saved, loaded, found by its name; the model that is shipped."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models import jester
from models.checkpoints import (
    DEFAULT_MODEL,
    CheckpointError,
    load_model,
    read_card,
    resolve,
    save_model,
)

ROOT = Path(__file__).parents[2]


def test_saved_and_loaded_is_the_same(saved, tiny_network, tiny_card):
    network, card = load_model(saved)
    assert card == tiny_card == read_card(saved)
    assert not network.training
    clip = torch.randn(2, 3, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(clip), tiny_network(clip))


def test_a_card_that_uses_every_field_survives(tiny_network, tiny_card, tmp_path):
    card = tiny_card.replace(
        measured={"top1": 0.5, "how": "é"}, provenance="x", licence="MIT", filter="area",
        mean=(0.5, 0.4, 0.3), smoothing={
            "thresholds": {"stop": 0.7}, "holds": {"stop": 0.5}, "disabled": ["left"]},
        shift={"padding": "circulant"})
    save_model(tiny_network, card, tmp_path / "new folder" / "x.safetensors")
    assert read_card(tmp_path / "new folder" / "x.safetensors") == card


def test_a_kill_while_saving_leaves_the_old_file(saved, tiny_network, tiny_card, monkeypatch):
    write = Path.write_bytes

    def killed(path, data):
        write(path, data[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        save_model(tiny_network, tiny_card, saved)
    monkeypatch.undo()
    load_model(saved)
    save_model(tiny_network, tiny_card.replace(name="later"), saved)
    assert read_card(saved).name == "later"
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_saving_where_one_cannot_write(tiny_network, tiny_card, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_model(tiny_network, tiny_card, tmp_path / "file" / "x.safetensors")


def test_a_full_disk_keeps_no_half_of_a_file(tiny_network, tiny_card, tmp_path, monkeypatch):
    write = Path.write_bytes

    def full(path, data):
        write(path, data[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CheckpointError, match="cannot be written: No space left"):
        save_model(tiny_network, tiny_card, tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(CheckpointError, match=f"nonsense is no file.*{DEFAULT_MODEL}"):
        resolve("nonsense")
    with pytest.raises(CheckpointError, match="is a folder"):
        resolve(tmp_path)


@pytest.mark.parametrize("path", ["~nouser/m.pth", "m" * 300])
def test_a_path_that_cannot_be_is_no_file(path):
    with pytest.raises(CheckpointError, match=f"^{path} is no file"):
        resolve(path)


def test_the_shipped_model_is_honest_and_runs():
    network, card = load_model(DEFAULT_MODEL)
    assert card.labels == jester.ALPHABETICAL
    assert (card.input_size, card.resize, card.filter) == ((96, 128), "centre-4:3", "area")
    assert "no real video" in card.provenance
    assert card.licence == "MIT"
    assert card.measured["rendered streams"]["figures"]["precision"]["value"] > 0.8
    with torch.no_grad():
        logits, _ = network.step(torch.zeros(1, 3, 96, 128), network.open_state(1, 96, 128))
    assert logits.shape == (1, 27)


def test_reading_our_card_imports_neither_torch_nor_numpy(saved):
    script = (f"import sys; from models.checkpoints import read_card, DEFAULT_MODEL; "
              f"read_card(DEFAULT_MODEL); print(read_card({str(saved)!r}).name); "
              f"sys.exit(int('torch' in sys.modules or 'numpy' in sys.modules))")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stdout) == (0, "tiny\n"), done.stderr
