"""A saved model for the tests of its file and of its card."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.card import ModelCard
from models.checkpoints import save_model
from models.network import OnlineNetwork


@pytest.fixture
def saved(tiny_network: OnlineNetwork, tiny_card: ModelCard, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_model(tiny_network, tiny_card, path)
    return path
