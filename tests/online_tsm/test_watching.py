"""A network's features of a recorded clip, and the beginning of the stroke that they show."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from models.checkpoints import DEFAULT_MODEL, load_model, resolve
from models.errors import CheckpointError
from online_tsm.preprocess import Preprocessor
from online_tsm.stroke import find_stroke
from online_tsm.watching import Watcher

SAMPLE = Path(__file__).parents[2] / "app" / "sample.mp4"
RATE = 25.0


@pytest.fixture(scope="module")
def first() -> tuple[list[np.ndarray], np.ndarray, dict[str, float]]:
    """The sample's first gesture with the rest before it, up to the hand's return."""
    event = yaml.safe_load(SAMPLE.with_suffix(".yaml").read_text(encoding="utf-8"))["events"][0]
    video = cv2.VideoCapture(str(SAMPLE))
    images = [video.read()[1] for _ in range(round((event["end"] + 0.6) * RATE))]
    return images, np.arange(len(images)) / RATE, event


def test_features_are_those_that_the_network_hands_on(first) -> None:
    """Against torch, cache by cache: a clip at twice the card's rate is two streams in turn."""
    network, card = load_model(resolve(DEFAULT_MODEL))
    step = round(RATE / card.frame_rate / 2)
    images, times = first[0][::step], np.arange(len(first[0][::step])) / (2 * card.frame_rate)
    preprocess = Preprocessor(card)
    inputs = torch.from_numpy(np.stack([preprocess(image).copy() for image in images]))
    wanted = np.empty((len(images), network.open_state(1, *card.input_size)[-1].shape[1]))
    with torch.inference_mode():
        for phase in (0, 1):
            state = network.eval().open_state(1, *card.input_size)
            for _ in state:
                _, state = network.step(inputs[:1], state)
            for number in range(phase, len(images), 2):
                _, state = network.step(inputs[number:number + 1], state)
                wanted[number] = state[-1].mean((0, 2, 3))
    features = Watcher(DEFAULT_MODEL)(images, times)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, wanted, atol=1e-3)


def test_a_fast_camera_gives_features_of_every_frame(first) -> None:
    images, times, _ = first
    features = Watcher(DEFAULT_MODEL)(images, times)
    assert features.shape[0] == len(images)
    assert np.isfinite(features).all()
    still = Watcher(DEFAULT_MODEL)(images[:1] * 40, times[:40])
    assert np.ptp(still, axis=0).max() < 1e-3  # rest stays rest, from the first frame on


def test_the_stroke_begins_where_the_features_leave_rest() -> None:
    """The picture changes late, and the features early: whatever that is, it began then."""
    times = np.arange(45) / 15
    images = [np.full((48, 64, 3), 90, np.uint8) for _ in times]
    for image, time in zip(images, times, strict=True):
        if 1.4 <= time < 2.2:
            image[10:40, 20:44] = 230
    features = np.where((times >= 1.0) & (times < 2.5), 1.0, 0.0)[:, None].astype(np.float32)
    plain, seen = find_stroke(images, times), find_stroke(images, times, features)
    assert plain.start == pytest.approx(1.4, abs=0.1)
    assert seen.start == pytest.approx(1.0, abs=0.1)
    assert seen.end == plain.end  # features remember, so they do not say when it ends


def test_features_that_come_late_leave_a_stroke() -> None:
    times = np.arange(45) / 15
    images = [np.full((48, 64, 3), 90 + 100 * (1.0 <= time < 1.6), np.uint8) for time in times]
    images = [np.where(np.arange(64)[:, None] < 30, image, np.uint8(90)) for image in images]
    late = np.where(times >= 2.0, 1.0, 0.0)[:, None].astype(np.float32)
    found = find_stroke(images, times, late)
    assert times[0] <= found.start <= found.end - 0.19


def test_a_model_that_is_not_there_is_told_with_the_first_clip() -> None:
    watcher = Watcher("no_such_model")
    with pytest.raises(CheckpointError, match="no_such_model"):
        watcher([np.zeros((48, 64, 3), np.uint8)] * 2, [0.0, 0.1])
