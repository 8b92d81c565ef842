"""What preprocess.py does, on the network's device: frames are sent as they are, as bytes, and
resized and normalised there. For torch on CUDA, where one CPU thread could not keep up.

Nothing here waits for the device: while it works on one stream's frame, the next one is copied
into pinned memory. A step waits once, for its logits.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.card import ModelCard
from online_tsm.preprocess import Pixels, Preprocessor, checked, kept_box
from online_tsm.resize import area, triangle


class TorchPreprocessor:
    """Resize, colour order and normalisation of one stream's frames, exactly as the card says.

    `pre(image, out)` takes the same frames as `Preprocessor` and writes the network's input to
    `out`, float32 [3, height, width] on the device, once the device gets to it. The rectangle and
    the weights are those of `Preprocessor`, and grey levels are not rounded either.
    """

    def __init__(self, card: ModelCard, device: str) -> None:
        """Raises CardError, as `Preprocessor` does."""
        Preprocessor(card)
        self._card = card
        self._device = torch.device(device)
        std = torch.tensor(card.std, dtype=torch.float32)
        self._scale = (1 / (255 * std)).view(3, 1, 1).to(self._device)
        self._offset = (-torch.tensor(card.mean, dtype=torch.float32) / std).view(3, 1, 1).to(
            self._device)
        self._buffers: _Buffers | None = None

    @torch.inference_mode()
    def __call__(self, image: Pixels, out: Tensor) -> Tensor:
        """The network's input for one frame. Raises FrameError."""
        image = checked(image)
        if self._buffers is None or self._buffers.shape != image.shape:
            self._buffers = _Buffers(self._card, image.shape, self._device)
        self._buffers.resize(image, out)
        out.mul_(self._scale).add_(self._offset)
        return out


class _Buffers:
    """For frames of one shape: weights, and memory that every frame uses again."""

    def __init__(self, card: ModelCard, shape: tuple[int, ...], device: torch.device) -> None:
        """`shape` is [H, W] or [H, W, 3]."""
        self.shape = shape
        left, top, right, bottom = kept_box(card, *shape[:2])
        height, width = card.input_size
        weights = triangle if card.filter == "bilinear" else area
        rows, self._high = _used(weights(top, bottom, height, shape[0]))
        columns, self._wide = _used(weights(left, right, width, shape[1]))
        channels = 1 if len(shape) == 2 else 3
        kept = (rows.shape[1], columns.shape[1], channels)
        self._rows = rows.to(device)
        self._columns = columns.to(device).expand(height, *columns.shape)  # one for each row
        self._sent = torch.empty(kept, dtype=torch.uint8, pin_memory=device.type == "cuda")
        self._frame = self._sent.to(device)
        self._pixels = torch.empty(kept, device=device)
        self._squeezed = torch.empty(height, kept[1] * channels, device=device)
        self._small = torch.empty(height, width, channels, device=device)
        order = [0, 0, 0] if channels == 1 else [2, 1, 0] if card.colour == "rgb" else [0, 1, 2]
        self._order = torch.tensor(order, device=device)

    def resize(self, image: Pixels, out: Tensor) -> None:
        """Grey levels [3, height, width] of a frame, in the card's order of colours."""
        kept = image[self._high, self._wide]
        np.copyto(self._sent.numpy(), kept[:, :, None] if kept.ndim == 2 else kept)
        self._frame.copy_(self._sent, non_blocking=True)
        self._pixels.copy_(self._frame)
        torch.mm(self._rows, self._pixels.flatten(1), out=self._squeezed)
        lines = self._squeezed.view(len(self._squeezed), *self._pixels.shape[1:])
        torch.bmm(self._columns, lines, out=self._small)
        torch.index_select(self._small.permute(2, 0, 1), 0, self._order, out=out)


def _used(weights: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[Tensor, slice]:
    """Weights [n, length] without the inputs that no output uses, and where the others lie."""
    used = np.flatnonzero(weights.any(axis=0))
    kept = slice(int(used[0]), int(used[-1]) + 1)
    return torch.from_numpy(weights[:, kept].astype(np.float32)), kept
