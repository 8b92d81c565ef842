"""What the network sees in a recorded clip, frame by frame: the features that it hands on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.checkpoints import load_model, read_card, resolve
from online_tsm.preprocess import Preprocessor
from online_tsm.stroke import Curve, Image, Seconds

if TYPE_CHECKING:
    from online_tsm.engine_onnx import OnnxEngine

HIGHEST_RATE = 12.0  # frames a second that are looked at; what lies between is interpolated


class Watcher:
    """Watches clips with a model, by its name or file, on ONNX Runtime and one thread of the CPU.

    It is opened with the first clip, which may raise EngineError, CheckpointError or CardError.
    """

    def __init__(self, model: str | Path) -> None:
        self._model = model

    def __call__(self, images: Sequence[Image], times: Seconds) -> Curve:
        """Features [T, D] of frames uint8 [H, W, 3] in BGR at `times` [T] in s: the mean of each
        channel that the last shifted block hands on to the next frame.

        The clip is taken to have shown its first frame for ever: rest, in a recording.
        """
        engine, clock = self._engine, np.asarray(times, np.float64)
        rate = (len(clock) - 1) / max(float(clock[-1] - clock[0]), 1e-6)
        numbers = list(range(0, len(clock), max(1, round(rate / HIGHEST_RATE))))
        phases = max(1, round(rate * len(numbers) / len(clock) / engine.card.frame_rate))
        preprocess, state = Preprocessor(engine.card), engine.open_state()
        first = preprocess(images[0])[None].copy()
        for _ in range(engine.shifted_blocks):
            (state,) = engine.step(first, [state])[1]
        states = [state] * phases
        rows = []
        for turn, number in enumerate(numbers):
            inputs = preprocess(images[number])[None]
            (state,) = engine.step(inputs, [states[turn % phases]])[1]
            states[turn % phases] = state
            rows.append(engine.handed_on(state).mean((1, 2)))
        columns = [np.interp(clock, clock[numbers], column) for column in np.transpose(rows)]
        return np.asarray(np.transpose(columns), np.float32)

    @cached_property
    def _engine(self) -> OnnxEngine:
        from online_tsm.engine_onnx import CPU, open_onnx

        path = resolve(self._model)
        return open_onnx(path, read_card(path), CPU, 1, lambda: load_model(path)[0])
