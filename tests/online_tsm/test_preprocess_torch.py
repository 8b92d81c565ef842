"""Preprocessing on the network's device, against the one on the CPU; streams that use it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.card import CardError, ModelCard
from online_tsm import stream
from online_tsm.engine import EngineError
from online_tsm.engine_torch import TorchEngine, cuda_granted
from online_tsm.preprocess import FrameError, Preprocessor
from online_tsm.preprocess_torch import TorchPreprocessor
from online_tsm.stream import Stream, step_streams

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(
    not cuda_granted(), reason="torch has no CUDA here"))]
SIZES = [(480, 640), (240, 320), (640, 480), (1080, 1920), (231, 517), (17, 400), (2, 3)]


def card(**changes) -> ModelCard:
    """A card whose normalisation is the identity on grey levels."""
    plain = {"mean": (0, 0, 0), "std": (1 / 255,) * 3, "input_size": (48, 64), "resize_side": 70}
    return ModelCard("test", "mobilenet_v2", ("a", "b"), **{**plain, **changes})


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def on(device: str, made_by: ModelCard, image: np.ndarray) -> np.ndarray:
    out = torch.full((3, *made_by.input_size), torch.nan, device=device)
    pre = TorchPreprocessor(made_by, device)
    assert pre(image, out) is out
    first = out.cpu().numpy().copy()
    pre(image, out)
    assert (out.cpu().numpy() == first).all()
    return first


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rule", ["shorter-side", "centre-4:3", "whole-frame"])
@pytest.mark.parametrize("kind", ["bilinear", "area"])
@pytest.mark.parametrize("size", SIZES)
def test_it_is_what_the_cpu_makes(device, rule, kind, size):
    by = card(resize=rule, filter=kind)
    image = picture(*size)
    assert np.abs(on(device, by, image) - Preprocessor(by)(image)).max() < 0.01  # grey levels


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_colours_and_normalisation(device, colour):
    by = card(colour=colour, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))
    image = picture(60, 90)
    for frame in (image, image[:, ::-1], image[:, :, 0], image[:, :, :1],
                  np.dstack([image, image[:, :, :1]])):
        assert np.abs(on(device, by, frame) - Preprocessor(by)(frame)).max() < 1e-4


def test_a_changed_size_in_mid_run():
    pre, out = TorchPreprocessor(card(), "cpu"), torch.empty(3, 48, 64)
    for size in ((60, 90), (33, 44), (60, 90)):
        image = picture(*size)
        assert np.abs(pre(image, out).numpy() - Preprocessor(card())(image)).max() < 0.01


def test_what_is_no_picture_and_a_crop_that_leaves_it_are_refused():
    with pytest.raises(FrameError, match="float32"):
        TorchPreprocessor(card(), "cpu")(np.zeros((4, 4, 3), np.float32), torch.empty(3, 48, 64))
    with pytest.raises(CardError, match="resize_side is 40"):
        TorchPreprocessor(card(resize_side=40), "cpu")


@pytest.fixture(params=DEVICES)
def engine(request, tiny_network, tiny_card, monkeypatch) -> TorchEngine:
    """One whose streams prepare their frames on its device, the CPU, too."""
    monkeypatch.setattr(stream, "_on_device", lambda engine: engine.name == "torch")
    return TorchEngine(tiny_network, tiny_card, request.param)


@pytest.mark.parametrize("streams", [1, 3])
def test_streams_on_the_device_predict_what_others_do(engine, tiny_card, seed_weights, streams,
                                                      monkeypatch):
    from models.build import build_network

    ours = [Stream(engine) for _ in range(streams)]
    assert all(isinstance(one._preprocess, TorchPreprocessor) for one in ours)
    monkeypatch.undo()
    plain = TorchEngine(seed_weights(build_network(tiny_card)), tiny_card)
    others = [Stream(plain) for _ in range(streams)]
    assert all(isinstance(one._preprocess, Preprocessor) for one in others)
    frames = np.random.default_rng(1).integers(0, 256, (8, streams, 40, 52, 3), np.uint8)
    monkeypatch.setattr(stream, "_on_device", lambda engine: engine is ours[0].engine)
    for number, images in enumerate(frames):
        times = [number / 10] * streams
        for mine, other in zip(step_streams(ours, list(images), times),
                               step_streams(others, list(images), times), strict=True):
            assert np.abs(mine.logits - other.logits).max() < 1e-3


def test_a_tensor_that_does_not_fit_is_named(engine):
    for inputs, named in ((torch.zeros(1, 3, 16, 32), r"\[1, 3, 16, 32\]"),
                          (torch.zeros(1, 3, 32, 32, dtype=torch.float16), "torch.float16")):
        with pytest.raises(EngineError, match=named):
            engine.step(inputs, [engine.open_state()])


@pytest.mark.skipif(not cuda_granted(), reason="torch has no CUDA here")
def test_on_cuda_nothing_is_allocated():
    pre, out = TorchPreprocessor(card(), "cuda"), torch.empty(3, 48, 64, device="cuda")
    image = picture(480, 640)
    pre(image, out)
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    for _ in range(5):
        pre(image, out)
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before
