"""Toy shards, a toy recipe and a studio for the tests of training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from toy_people import bake_toy_people
from toy_shards import LABELS, picture, toy_recipe, write_shard

from models.card import ModelCard
from models.checkpoints import save_model
from models.network import OnlineNetwork
from training.synthesis import rooms
from training.synthesis.assets import SynthesisError, cache_folder
from training.synthesis.bake import baked_path
from training.synthesis.cast import people
from training.synthesis.clip import Studio
from training.synthesis.language import resting_poses


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train (12 clips) and heldout (8 clips of two people, half in unseen styles)."""
    folder = tmp_path_factory.mktemp("shards")
    write_shard(folder / "train", [*LABELS] * 3, masks=True)
    write_shard(folder / "heldout", [*LABELS], number=1, person="heldout-0")
    write_shard(folder / "heldout", [*LABELS], number=2, person="heldout-1", held_out_style=True)
    return folder


@pytest.fixture
def recipe(shards: Path, tmp_path: Path) -> dict[str, object]:
    return toy_recipe(shards, out=str(tmp_path / "out"))


@pytest.fixture
def toy_card() -> ModelCard:
    return ModelCard(
        name="toy", architecture="mobilenet_v2", labels=LABELS, background=("nothing",),
        mirrored_pairs=(("left", "right"),), input_size=(24, 32), resize="whole-frame",
        filter="area", mean=(0.5,) * 3, std=(0.5,) * 3, width_multiplier=0.25, frame_rate=5.0,
        warmup_steps=2)


@pytest.fixture
def model(tmp_path: Path, tiny_network: OnlineNetwork, toy_card: ModelCard) -> Path:
    """A random network that hardly ever says "nothing", and a card that lets it speak."""
    path = tmp_path / "toy.safetensors"
    with torch.no_grad():
        tiny_network.get_parameter("classifier.bias")[LABELS.index("nothing")] -= 8
    eager = {"rise": 0.3, "fall": 0.2, "margin": 0.0, "window_s": 0.2}
    save_model(tiny_network, toy_card.replace(smoothing=eager), path)
    return path


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Two clips with a labels.csv, and a long video of them with an event list."""
    colour = np.array([200, 220, 240])
    for label in ("left", "right"):
        video = cv2.VideoWriter(str(tmp_path / f"{label}.avi"),
                                cv2.VideoWriter_fourcc(*"MJPG"), 12, (32, 24))
        for number in range(36):
            video.write(picture(label, number / 12, colour))
        video.release()
    (tmp_path / "labels.csv").write_text("file,label,note\nleft.avi,left,x\nright.avi,right,y\n")
    (tmp_path / "events.csv").write_text("label,start,end,happened\nleft,0.8,2.5,1.9\n")
    return tmp_path


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A small studio with the first of the cast, or with boxes in a painted room where nobody is
    baked; skipped without OpenGL."""
    pytest.importorskip("moderngl", reason="moderngl is not installed")
    cache = cache_folder()
    with pytest.MonkeyPatch.context() as patch:
        if not baked_path(cache, people("train")[0]).exists():
            cache = tmp_path_factory.mktemp("cache")
            bake_toy_people(cache, people("train")[:1])
            patch.setattr(rooms, "PAINTED_SHARE", 1.0)
        try:
            yield Studio(cache, resting_poses(), size=(88, 66))
        except SynthesisError as error:
            pytest.skip(str(error))
