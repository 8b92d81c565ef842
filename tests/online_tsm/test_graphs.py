"""The graph beside a checkpoint, and the one kept from last time."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from seeding import seed_weights
from tiny_streams import CARD, logits_of

from models.build import build_network
from models.checkpoints import DEFAULT_MODEL, resolve, save_model
from online_tsm import graphs
from online_tsm.engine import open_engine
from online_tsm.export import export_network
from online_tsm.export import main as export

pytestmark = pytest.mark.usefixtures("in_shared_cache")


def forbid_export(monkeypatch) -> None:
    def fail(*_args, **_changes):
        raise AssertionError("it was exported again")

    monkeypatch.setattr("online_tsm.export.export_network", fail)


def test_the_shipped_graph_belongs_to_the_shipped_weights(monkeypatch):
    # After any change to the .safetensors file: python -m online_tsm.export MODEL --beside
    forbid_export(monkeypatch)
    engine = open_engine(DEFAULT_MODEL, device="cpu")
    assert np.abs(logits_of(engine) - logits_of(open_engine(DEFAULT_MODEL, "torch", "cpu"))
                  ).max() < 5e-4
    assert resolve(DEFAULT_MODEL).with_suffix(".onnx").stat().st_size < 200_000


def test_a_graph_is_kept_and_used_again(checkpoint, own_graphs, monkeypatch):
    first = logits_of(open_engine(checkpoint, device="cpu"))
    assert len(list(own_graphs.iterdir())) == 1
    forbid_export(monkeypatch)
    assert (logits_of(open_engine(checkpoint, device="cpu")) == first).all()


@pytest.fixture
def kept(checkpoint, shared_cache, tmp_path, monkeypatch) -> Path:
    """The checkpoint's graph in a cache of this test's own."""
    open_engine(checkpoint, device="cpu")
    shutil.copytree(shared_cache, tmp_path / "cache")
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "cache"))
    key = graphs.graph_key(CARD, graphs.file_digest(checkpoint))
    return next(path for path in (tmp_path / "cache" / "graphs").iterdir()
                if graphs.holds_key(path, key))


@pytest.mark.parametrize("damage", ["cut", "garbage", "spoilt"])
def test_a_damaged_graph_is_made_anew(checkpoint, kept, caplog, damage):
    first = logits_of(open_engine(checkpoint, device="cpu"))
    whole = kept.read_bytes()
    kept.write_bytes({"cut": whole[:-3000], "garbage": b"x" * 500,
                      "spoilt": b"\xff" * 3000 + whole[3000:]}[damage])
    with caplog.at_level(logging.WARNING):
        assert (logits_of(open_engine(checkpoint, device="cpu")) == first).all()
    assert len(kept.read_bytes()) == len(whole)
    assert {path.suffix for path in kept.parent.iterdir()} == {".onnx"}  # nothing left aside


def test_a_graph_of_other_weights_is_ignored(checkpoint, own_graphs, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(checkpoint.read_bytes())
    beside = path.with_suffix(".onnx")
    beside.write_bytes(export_network(seed_weights(build_network(CARD)), CARD,
                                      graphs.file_digest(path)))
    old = logits_of(open_engine(path, device="cpu"))
    assert not own_graphs.exists()  # it was used
    save_model(seed_weights(build_network(CARD), seed=1), CARD, path)
    new = logits_of(open_engine(path, device="cpu"))
    assert np.abs(new - old).max() > 0.1
    assert np.abs(new - logits_of(open_engine(path, "torch", "cpu"))).max() < 5e-4


def test_copies_under_a_new_name_are_not_mixed_with_what_has_the_old_one(
        network, tmp_path, own_graphs):
    old, new = tmp_path / "first.safetensors", tmp_path / "model.safetensors"
    save_model(network, CARD, new)
    assert export([str(new), "--beside"]) == 0
    for path in (new, new.with_suffix(".onnx")):
        shutil.copy(path, old.with_suffix(path.suffix))
    save_model(seed_weights(build_network(CARD), seed=1), CARD, new)  # another training
    expected = logits_of(open_engine(old, "torch", "cpu"))
    assert np.abs(logits_of(open_engine(old, device="cpu")) - expected).max() < 5e-4
    assert len(list(own_graphs.iterdir())) == 1


def test_threads_may_open_a_model_at_once_at_its_first_start(checkpoint, own_graphs):
    with ThreadPoolExecutor(4) as threads:
        engines = list(threads.map(lambda _: open_engine(checkpoint, device="cpu"), range(4)))
    assert len(list(own_graphs.iterdir())) == 1
    assert all((logits_of(engine) == logits_of(engines[0])).all() for engine in engines)


def test_a_cache_that_cannot_be_written_only_costs_time(checkpoint, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert open_engine(checkpoint, device="cpu").name == "onnxruntime"
    assert "could not be kept" in caplog.text
