"""A tiny network, its files, and one measurement by the benchmark, which several rooms share."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from seeding import seed_weights
from tiny_streams import CARD, pictures

from models.build import build_network
from models.checkpoints import save_model
from online_tsm.export import export_network
from online_tsm.graphs import file_digest
from online_tsm.measuring import Plan, measure
from online_tsm.roofline import Peaks


@pytest.fixture(scope="session")
def network():
    return seed_weights(build_network(CARD))


@pytest.fixture(scope="session")
def graph(network) -> bytes:
    return export_network(network, CARD, "0" * 64)


@pytest.fixture(scope="session")
def model(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("benchmark") / "tiny.safetensors"
    save_model(network, CARD, path)
    path.with_suffix(".onnx").write_bytes(export_network(network, CARD, file_digest(path), 1))
    return path


@pytest.fixture(scope="session")
def measured(model) -> dict:
    """One measurement, which the tests share."""
    path = model
    plan = Plan(pictures(6), [1], [1, 2], [("onnxruntime", "cpu", "fp32"),
                                           ("torch", "cpu", "fp32")], [], 2, 3, True)
    peaks = Peaks(1e12, {1000: 1e12, 1_000_000: 1e11})  # of no machine: nothing takes less
    return measure(path, plan, lambda precision, threads, device: peaks)


@pytest.fixture
def report(measured) -> dict:
    return {"date": "2026-01-31 12:00:00", "networks": [copy.deepcopy(measured)],
            "cold_starts": [], "demo": None, "frame_size": [64, 48], "source": "pictures",
            "warnings": [], "machine": {"cpu": "a processor", "cores": 2, "gpus": [],
                                        "system": "a system", "versions": {"python": "3.11"}}}


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory) -> Path:
    """An export costs half a second, so most tests share theirs."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def in_shared_cache(shared_cache, monkeypatch) -> None:
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(shared_cache))


@pytest.fixture
def own_graphs(tmp_path, monkeypatch) -> Path:
    """Where graphs are kept, for one test alone; nothing is there yet."""
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "graphs"


@pytest.fixture(scope="session")
def checkpoint(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_model(network, CARD, path)
    return path


@pytest.fixture(scope="session")
def graph_file(checkpoint, graph) -> Path:
    """Our own graph with its weights and its card inside."""
    path = checkpoint.with_name("exported") / "tiny.onnx"
    path.parent.mkdir()
    path.write_bytes(graph)
    return path
