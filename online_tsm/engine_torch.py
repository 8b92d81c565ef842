"""The engine on torch: CPU or CUDA. The reference, and CUDA where ONNX Runtime has none."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch

from models.card import ModelCard
from models.network import OnlineNetwork
from online_tsm.engine import Array, State, check_step


def cuda_granted() -> bool:
    """Whether torch can use a GPU, without its warnings about drivers that are too old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cuda.is_available()


class TorchEngine:
    """A loaded network, stepped by torch. A state is a tuple of tensors [1, fold, h, w]."""

    name = "torch"
    provider = "torch"
    precision = "fp32"

    def __init__(self, network: OnlineNetwork, card: ModelCard, device: str = "cpu",
                 threads: int | None = None, note: str = "") -> None:
        """`threads`, where given, holds for all of torch in this process."""
        if threads is not None:
            torch.set_num_threads(threads)
        if device == "cuda":  # TF32 keeps 10 bits of a float's 23
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False
        self.card = card
        self.device = device
        self.threads = torch.get_num_threads()
        self.note = note
        # On the CPU, too, convolutions read channels-last faster: 11 ms against 17 a step.
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network: OnlineNetwork = network.eval().to(device)
        self.shifted_blocks = len(self.open_state())

    def open_state(self) -> State:
        return self._network.open_state(1, *self.card.input_size)

    def step(self, inputs: Array, states: Sequence[State]) -> tuple[Array, list[State]]:
        check_step(inputs, states, self.card.input_size)
        with torch.inference_mode():
            frames = torch.from_numpy(inputs).to(self.device, memory_format=torch.channels_last)
            if len(states) == 1:
                logits, after = self._network.step(frames, states[0])
                new = [after]
            else:
                together = tuple(torch.cat(parts) for parts in zip(*states, strict=True))
                logits, after = self._network.step(frames, together)
                new = list(zip(*(torch.split(t, 1) for t in after), strict=True))
            if self.device == "cuda":  # the states must be done too, or their time goes unseen
                torch.cuda.synchronize()
            result: Array = logits.cpu().numpy().astype(np.float32, copy=False)
        return result, new
