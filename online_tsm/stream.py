"""One camera's life: its caches, its clock, its resets. Frames in, predictions and events out."""

from __future__ import annotations

import math
import time as clocks
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from online_tsm.engine import Engine, State
from online_tsm.events import Event, EventDetector
from online_tsm.labels import restricted
from online_tsm.official import OfficialHead
from online_tsm.phases import MAX_PHASES, PhaseClock, Turn
from online_tsm.preprocess import Preprocessor
from online_tsm.smoothing import SmoothingHead

Array = NDArray[np.float32]
Preset = Literal["card", "official"]


class StreamError(ValueError):
    """A stream that cannot be run as asked, or a frame without a usable time."""


@dataclass(frozen=True)
class Prediction:
    """What one frame gave. Nothing in it changes later: its arrays are its own, and read-only.

    `index` counts the stream's steps from 0; a reset does not set it back. `time` is the frame's,
    s. `logits` [K] are the network's own, `probabilities` [K] the smoothed ones, which sum to 1;
    `label` and `confidence` (0 to 1) are the smoothed decision. `cold`: the frame's phase is not
    warm yet (the card's `warmup_steps`), so it fired nothing and did not vote. `phase` names the
    cache that was used, of `phases` wanted; `lookback_s` is the real time back to that phase's
    last step, None if it began here. `stages`: s spent in "preprocess", "network", "smoothing".
    """

    index: int
    time: float
    logits: Array
    probabilities: Array
    label: str
    confidence: float
    cold: bool
    events: tuple[Event, ...]
    phase: int
    phases: int
    lookback_s: float | None
    stages: Mapping[str, float]


class _Head(Protocol):
    """From the logits of one frame to the decision."""

    def update(self, turn: Turn, logits: Array, index: int
               ) -> tuple[int, Array, tuple[Event, ...]]: ...
    def reset(self) -> None: ...


class _CardHead:
    """The smoothing head and the event detector, with the card's constants."""

    def __init__(self, smoothing: SmoothingHead, detector: EventDetector) -> None:
        self._smoothing = smoothing
        self._detector = detector

    def update(self, turn: Turn, logits: Array, index: int
               ) -> tuple[int, Array, tuple[Event, ...]]:
        probabilities = self._smoothing.update(turn.time, logits, cold=turn.cold)
        events = () if turn.cold else self._detector.update(turn.time, probabilities, index)
        return int(np.argmax(probabilities)), probabilities, events

    def reset(self) -> None:
        self._smoothing.reset()
        self._detector.reset()


class Stream:
    """Steps an engine over the frames of one source.

    `phases`: None finds the number from the times of the frames (see phases.py); a number makes
    the frames go round so many caches in turn. `allow` and `deny` are labels, see
    `labels.restricted`. `preset` "official" decides as the official online demo does instead,
    which knows neither the card's smoothing nor lists.

    `card` is the engine's with all that in force.

    Raises StreamError or LabelError for what cannot be.
    """

    def __init__(self, engine: Engine, *, phases: int | None = None,
                 allow: Iterable[str] = (), deny: Iterable[str] = (),
                 preset: Preset = "card") -> None:
        allow, deny = _names(allow), _names(deny)
        if phases is not None and (phases != int(phases) or not 1 <= phases <= MAX_PHASES):
            raise StreamError(f"phases is {phases}; it must be a whole number from 1 to "
                              f"{MAX_PHASES}")
        if preset not in get_args(Preset):
            raise StreamError(f"unknown preset {preset!r}; known: {', '.join(get_args(Preset))}")
        if preset == "official" and (allow or deny):
            raise StreamError("the official preset has its own constants and its own list of "
                              "classes; leave out allow and deny, or the preset")
        self.engine = engine
        self.card = restricted(engine.card, allow, deny)
        self._preprocess = _preprocessor(engine)
        self._clock = PhaseClock(engine.card.frame_rate, engine.card.warmup_steps, phases)
        self._head: _Head = OfficialHead(engine.card) if preset == "official" else _CardHead(
            SmoothingHead(self.card), EventDetector(self.card))
        self._states: dict[int, State] = {}  # by phase
        self._inputs = _empty_inputs(engine, 1)
        self._steps = 0

    def step(self, image: NDArray[np.uint8], time: float) -> Prediction:
        """The prediction of one frame: `image` as Preprocessor takes it, `time` in s.

        Times may start anywhere and must grow. After a gap, or where they go back, the stream
        starts anew by itself. Raises FrameError, StreamError or EngineError; a frame that is
        refused leaves the stream as it was.
        """
        return step_streams([self], [image], [time])[0]

    def reset(self) -> None:
        """Forget everything seen: caches, times, votes, events. For a change of source."""
        self._clock.reset()
        self._head.reset()
        self._states.clear()

    def _take_turn(self, time: float) -> tuple[Turn, State]:
        turn = self._clock.turn(float(time))
        if turn.restart:
            self._head.reset()
        for phase in self._states.keys() - self._clock.live:
            del self._states[phase]
        state = self.engine.open_state() if turn.fresh else self._states[turn.phase]
        return turn, state

    def _finish(self, turn: Turn, state: State, logits: Array, seconds: tuple[float, float]
                ) -> Prediction:
        started = clocks.perf_counter()
        self._states[turn.phase] = state
        place, probabilities, events = self._head.update(turn, logits, self._steps)
        logits.setflags(write=False)
        probabilities.setflags(write=False)
        smoothing = clocks.perf_counter() - started
        prediction = Prediction(
            index=self._steps, time=turn.time, logits=logits, probabilities=probabilities,
            label=self.card.labels[place], confidence=float(probabilities[place]),
            cold=turn.cold, events=events, phase=turn.phase, phases=turn.phases,
            lookback_s=turn.lookback_s,
            stages={"preprocess": seconds[0], "network": seconds[1], "smoothing": smoothing})
        self._steps += 1
        return prediction


def step_streams(streams: Sequence[Stream], images: Sequence[NDArray[np.uint8]],
                 times: Sequence[float]) -> list[Prediction]:
    """Steps several streams of one engine in one pass; each keeps its own caches and clock.

    One image and one time a stream, in the same order as the predictions. The stage "network" is
    the whole pass, which they share. Raises as `Stream.step` does; a frame that is refused leaves
    all streams as they were, and an engine that fails leaves them reset.
    """
    _check_batch(streams, images, times)
    inputs, seconds = _prepare(streams, images)
    turns, states = [], []
    try:
        for stream, time in zip(streams, times, strict=True):
            turn, state = stream._take_turn(time)
            turns.append(turn)
            states.append(state)
        started = clocks.perf_counter()
        logits, after = streams[0].engine.step(inputs, states)
        network = clocks.perf_counter() - started
        if not np.isfinite(logits).all():
            raise StreamError(f"model {streams[0].card.name!r} gave logits that are not finite "
                              "numbers; its weights, or its card's mean and std, are broken")
    except BaseException:
        for stream in streams:  # their clocks have moved on, their caches have not
            stream.reset()
        raise
    return [stream._finish(turn, state, np.array(row, np.float32), (before, network))
            for stream, turn, state, row, before
            in zip(streams, turns, after, logits, seconds, strict=True)]


def _check_batch(streams: Sequence[Stream], images: Sequence[Any], times: Sequence[float]) -> None:
    if not len(streams) == len(images) == len(times) or not streams:
        raise StreamError(f"got {len(streams)} streams, {len(images)} images and {len(times)} "
                          "times; it must be the same number of each, and at least one")
    if any(stream.engine is not streams[0].engine for stream in streams):
        raise StreamError("streams that step together must share one engine")
    if len({id(stream) for stream in streams}) < len(streams):
        raise StreamError("one stream is named twice; it can take one frame a pass")
    for time in times:
        if not math.isfinite(time):
            raise StreamError(f"a frame's time is {time}; it must be a number of seconds")


def _prepare(streams: Sequence[Stream], images: Sequence[NDArray[np.uint8]]
             ) -> tuple[Any, list[float]]:
    """The network's inputs [N, 3, h, w], in a buffer of the first stream, and s for each."""
    first = streams[0]
    if len(first._inputs) != len(streams):
        first._inputs = _empty_inputs(first.engine, len(streams))
    seconds = []
    for stream, image, out in zip(streams, images, first._inputs, strict=True):
        started = clocks.perf_counter()
        stream._preprocess(image, out)
        seconds.append(clocks.perf_counter() - started)
    return first._inputs, seconds


def _names(labels: Iterable[str]) -> tuple[str, ...]:
    """A single label, too, which is an iterable of letters."""
    return (labels,) if isinstance(labels, str) else tuple(labels)


def _on_device(engine: Engine) -> bool:
    """Whether frames are prepared where the network runs. Its time is then told with that of the
    network, which waits for it: "preprocess" is what the CPU does, copying and queueing."""
    return engine.provider == "torch" and engine.device == "cuda"


def _preprocessor(engine: Engine) -> Callable[[NDArray[np.uint8], Any], Any]:
    if not _on_device(engine):
        return Preprocessor(engine.card)
    from online_tsm.preprocess_torch import TorchPreprocessor

    return TorchPreprocessor(engine.card, engine.device)


def _empty_inputs(engine: Engine, streams: int) -> Any:
    """A buffer for the network's inputs [N, 3, h, w], an array or a tensor of the device."""
    shape = (streams, 3, *engine.card.input_size)
    if not _on_device(engine):
        return np.empty(shape, np.float32)
    import torch

    return torch.empty(shape, device=engine.device)
