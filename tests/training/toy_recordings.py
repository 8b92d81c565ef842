"""Toy users: a square that jumps, or one that grows, in videos of a gesture a folder."""

from __future__ import annotations

import itertools
import zlib
from pathlib import Path
from unittest import mock

import numpy as np

from models.build import build_network
from models.card import ModelCard
from models.checkpoints import save_model
from online_tsm.recordings import save_recording

RATE = 12.0


def film(label: str, number: int, seconds: float = 2.4) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames uint8 [48, 64, 3] and their times; "background" only flickers a little."""
    rng = np.random.default_rng([number, zlib.crc32(label.encode())])
    times = np.arange(round(seconds * RATE)) / RATE
    colour = rng.integers(150, 255, 3)
    images = []
    for time in times:
        image = np.full((48, 64, 3), 60, np.uint8) + rng.integers(0, 6, (48, 64, 1), np.uint8)
        if label != "background" and 0.7 < time < seconds - 0.7:
            side = round(10 + 20 * (time - 0.7)) if label == "grow" else 14
            left = 8 if label == "grow" or int(5 * time) % 2 else 40
            top = 6 + 3 * (number % 4)
            image[top:top + side, left:left + side] = colour
        images.append(image)
    return images, times


def write_user(folder: Path, gestures: tuple[str, ...] = ("jump", "grow"), count: int = 3) -> Path:
    """`count` recordings of each gesture, and two of background; they sort as they were made."""
    ends = (f"{number:04x}" for number in itertools.count())
    with mock.patch("online_tsm.recordings.secrets.token_hex", side_effect=ends):
        for label in gestures:
            for number in range(count):
                images, times = film(label, number)
                save_recording(folder, label, images, times, stroke=(0.75, 1.65))
        for number in range(2):
            images, times = film("background", number, 6.0)
            save_recording(folder, "background", images, times, stroke=None, background=True)
    return folder


def write_model(path: Path, card: ModelCard) -> Path:
    """The network of `card` with seeded weights."""
    from seeding import seed_weights
    save_model(seed_weights(build_network(card)), card, path)
    return path
