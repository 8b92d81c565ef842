"""What is kept of a personal model goes with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from seeding import seed_weights

import run_demo
from models.build import build_network
from models.card import ModelCard
from models.checkpoints import save_model
from online_tsm.engine import open_engine
from online_tsm.recordings import PERSONAL


def test_a_deleted_model_leaves_no_graph_and_takes_no_others(
        tmp_path: Path, tiny_card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "cache"))
    graphs: list[set[Path]] = []
    for room, labels in (("kitchen", ("a", "b")), ("study", ("a", "b", "c"))):
        card = tiny_card.replace(labels=labels, background=("a",), mirrored_pairs=())
        (tmp_path / room).mkdir()
        save_model(seed_weights(build_network(card)), card, tmp_path / room / PERSONAL)
        open_engine(tmp_path / room / PERSONAL, "onnxruntime", "cpu")
        graphs.append(set((tmp_path / "cache" / "graphs").iterdir()))
    kitchen, both = graphs
    assert (len(kitchen), len(both)) == (1, 2)
    delete = ["--delete-recording", PERSONAL]
    assert run_demo.main(["--teach-dir", str(tmp_path / "study"), *delete]) == 0
    assert set((tmp_path / "cache" / "graphs").iterdir()) == kitchen
    shutil.rmtree(tmp_path / "cache")
    assert run_demo.main(["--teach-dir", str(tmp_path / "kitchen"), *delete]) == 0
    assert not (tmp_path / "kitchen" / PERSONAL).exists()
