"""What the benchmark compares with: our own network in plain eager torch, preprocessed as the
official online demo does it, stepped or recomputed over a window of frames (arXiv 1811.08383,
table 6 and section 5.5)."""

from __future__ import annotations

import copy
import functools
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from models import jester
from models.build import build_network
from models.cache import cache_folder
from models.card import ModelCard
from models.checkpoints import save_model
from models.network import OnlineNetwork
from online_tsm.preprocess import kept_box
from online_tsm.rounds import Candidate, Images

WINDOW = 8  # frames that are computed anew for each frame
REFERENCE = ModelCard(
    name="full width, 224 x 224, random weights", architecture="mobilenet_v2",
    labels=jester.ALPHABETICAL, provenance="random weights, for speed alone")


def reference_model() -> Path:
    """The full-width network of 224 x 224 pixels with random weights, made once and kept."""
    path = cache_folder() / "benchmark" / "reference_224.safetensors"
    if not path.is_file():
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            network = build_network(REFERENCE)
            for module in network.modules():
                if isinstance(module, nn.Conv2d):  # keeps activations of an ordinary size
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        save_model(network, REFERENCE, path)
    return path


def anchors(network: OnlineNetwork, card: ModelCard, threads: int, streams: int,
            device: str = "cpu") -> list[Candidate]:
    """The eager step, and the windows both ways and without shift; the windows for one stream."""
    network = copy.deepcopy(network).to(device)
    prepare = functools.partial(torch.set_num_threads, threads)

    def candidate(kind: str, name: str, run: Any) -> Candidate:
        name = _called(name if device == "cpu" else f"{name}, {device}", threads, streams)
        return Candidate(name, "torch", threads, streams, run, prepare, device=device, anchor=kind)

    found = [candidate("eager", "(a) eager, official preprocessing", _Step(network, card, streams))]
    if streams == 1:
        both = build_network(card.replace(shift={"direction": "both"})).to(device)
        both.load_state_dict(network.state_dict())
        found += [
            candidate("window", f"(b) window of {WINDOW}, both ways", _Window(both, card, True)),
            candidate("window without shift", f"(c) window of {WINDOW}, no shift",
                      _Window(network, card, False)),
        ]
    return found


def _called(name: str, threads: int, streams: int) -> str:
    words = f"{name}, {threads} thread{'s' if threads > 1 else ''}"
    return words + (f", {streams} streams" if streams > 1 else "")


def official_input(card: ModelCard, image: NDArray[np.uint8]) -> Tensor:
    """One frame uint8 [H, W, 3] to [1, 3, h, w] as the official demo does it: Pillow resizes the
    whole frame, the crop is cut out, fresh tensors are normalised channel by channel."""
    height, width = image.shape[:2]
    left, top, right, bottom = kept_box(card, height, width)
    y, x = card.input_size[0] / (bottom - top), card.input_size[1] / (right - left)
    picture = Image.fromarray(image).resize((round(width * x), round(height * y)),
                                            Image.Resampling.BILINEAR)
    x0, y0 = round(left * x), round(top * y)
    picture = picture.crop((x0, y0, x0 + card.input_size[1], y0 + card.input_size[0]))
    tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float().div(255)
    for plane, mean, std in zip(tensor, card.mean, card.std, strict=True):
        plane.sub_(mean).div_(std)
    return tensor[None]


class _Step:
    """Anchor (a): one eager step a frame."""

    def __init__(self, network: OnlineNetwork, card: ModelCard, streams: int) -> None:
        self._network, self._card = network, card
        self._state = network.open_state(streams, *card.input_size)

    @torch.inference_mode()
    def __call__(self, images: Images) -> dict[str, float]:
        started = time.perf_counter()
        frames = torch.cat([official_input(self._card, image) for image in images])
        ready = time.perf_counter()
        logits, self._state = self._network.step(frames.to(self._state[0].device), self._state)
        logits.cpu().numpy()
        return {"preprocess": ready - started, "network": time.perf_counter() - ready}


class _Window:
    """Anchors (b) and (c): the last frames, all computed anew for each frame."""

    def __init__(self, network: OnlineNetwork, card: ModelCard, shifted: bool) -> None:
        self._network, self._card, self._shifted = network, card, shifted
        self._window: deque[Tensor] = deque(maxlen=WINDOW)

    @torch.inference_mode()
    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> dict[str, float]:
        started = time.perf_counter()
        self._window.append(official_input(self._card, images[0]))
        while len(self._window) < WINDOW:
            self._window.append(self._window[-1])
        ready = time.perf_counter()
        clip = torch.cat(list(self._window)).to(next(self._network.parameters()).device)
        if self._shifted:
            logits = self._network(clip[None])[0]
        else:
            logits = self._network.walk(clip, lambda x: x)
        logits.mean(0).cpu().numpy()
        return {"preprocess": ready - started, "network": time.perf_counter() - ready}
