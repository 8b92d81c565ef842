"""The invariants of an online network, checked on a given model and engine in seconds:

    python -m online_tsm.selftest --model MODEL --engine auto

Prints one line a check, PASS, FAIL or SKIP with the reason; exit code 0 unless one failed.
"""

from __future__ import annotations

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import dataclasses
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from models.card import CardError, ModelCard
from models.checkpoints import DEFAULT_MODEL, CheckpointError, load_model, resolve
from online_tsm.engine import (
    DeviceName,
    Engine,
    EngineError,
    EngineName,
    State,
    open_engine,
)
from online_tsm.preprocess import Preprocessor
from online_tsm.stream import Stream, StreamError

Array = NDArray[np.float32]
Clip = Callable[[Array], Array]  # inputs [T, 3, h, w] to logits [T, K] of the clip's network

TOLERANCE = 5e-4  # between fp32 engines, for logits of ordinary size
CLEAR = 1e-2  # a difference that arithmetic cannot explain, for the same logits
PHASES = 3
SWAPS = {"left": "right", "right": "left", "clockwise": "counterclockwise",
         "counterclockwise": "clockwise"}


class Result(NamedTuple):
    verdict: Literal["PASS", "FAIL", "SKIP"]
    detail: str


def run_checks(engine: Engine, clip: Clip | None) -> dict[str, Result]:
    """All checks on one engine. `clip` None skips the comparison with the clip."""
    images = moving_picture(max(engine.shifted_blocks + 3, 4 * PHASES))
    preprocess = Preprocessor(engine.card)
    inputs = np.stack([preprocess(image).copy() for image in images])
    return {
        "streaming equals the clip": check_clip(engine, inputs, clip),
        "the state matters": check_state(engine, inputs),
        "the past is forgotten in time": check_forgetting(engine, inputs),
        "a phase sees its own frames": check_phases(engine, images),
        "mirrored labels are declared": check_labels(engine.card),
    }


def check_clip(engine: Engine, inputs: Array, clip: Clip | None) -> Result:
    """Stepping over the frames gives what the past-only shift over the whole clip gives."""
    if clip is None:
        return Result("SKIP", "needs torch and a checkpoint; an ONNX file holds no clip network")
    expected = clip(inputs)
    difference = _difference(_stepped(engine, inputs)[0], expected)
    return _result(difference <= TOLERANCE,
                   f"largest difference {difference:.1g}, allowed {TOLERANCE:g}")


def check_state(engine: Engine, inputs: Array) -> Result:
    """Dropping the state before every frame changes the logits clearly."""
    kept, _ = _stepped(engine, inputs)
    dropped = np.concatenate([_stepped(engine, inputs[t:t + 1])[0] for t in range(len(inputs))])
    difference = _difference(kept, dropped)
    return _result(difference >= CLEAR,
                   f"without it logits move by {difference:.2g}, expected at least {CLEAR:g}")


def check_forgetting(engine: Engine, inputs: Array) -> Result:
    """Two pasts still differ in the step number B, and no more in the next; B shifted blocks."""
    blocks = engine.shifted_blocks
    _, other_past = _stepped(engine, inputs[::-1] * -1)
    frames = inputs[:blocks + 1]
    one, other = _stepped(engine, frames)[0], _stepped(engine, frames, other_past)[0]
    moved = np.abs(one - other).max(axis=1) / max(1.0, float(np.abs(one).max()))
    last = int(np.flatnonzero(moved > 0).max(initial=-1)) + 1
    return _result(last == blocks,
                   f"after {last} steps, expected after {blocks} (shifted blocks)")


def check_phases(engine: Engine, images: NDArray[np.uint8]) -> Result:
    """At a steady rate, k phases give what k streams over every k-th frame give."""
    step_s = 1 / engine.card.frame_rate / PHASES
    times = np.arange(len(images)) * step_s
    together = _streamed(engine, PHASES, images, times)
    apart = np.empty_like(together)
    for phase in range(PHASES):
        own = slice(phase, None, PHASES)
        apart[own] = _streamed(engine, 1, images[own], times[own])
    difference = _difference(together, apart)
    mixed = _difference(together, _streamed(engine, 1, images, times))
    return _result(difference <= TOLERANCE and mixed >= CLEAR,
                   f"largest difference {difference:.1g}, allowed {TOLERANCE:g}; "
                   f"one cache for all frames moves logits by {mixed:.2g}")


def check_labels(card: ModelCard) -> Result:
    """The card's pairs swap each label with at most one other, and leave out no left or right."""
    faults = []
    named = [name for pair in card.mirrored_pairs for name in pair]
    faults += [f"{name!r} is in two pairs" for name in sorted(set(named)) if named.count(name) > 1]
    declared = {frozenset(pair) for pair in card.mirrored_pairs}
    by_words = {label.lower(): label for label in card.labels}
    for label in card.labels:
        swapped = re.sub(r"[a-z]+", lambda word: SWAPS.get(word[0], word[0]), label.lower())
        partner = by_words.get(swapped, label)
        if partner != label and frozenset((label, partner)) not in declared:
            faults.append(f"{label!r} and {partner!r} are no declared pair")
    return _result(not faults, "; ".join(faults) or f"{len(declared)} pairs")


def moving_picture(count: int) -> NDArray[np.uint8]:
    """Frames uint8 [count, 240, 320, 3]: bright discs that cross a textured ground."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 120, (12, 16, 3), np.uint8)
    ground = cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC)
    discs = [(rng.uniform(60, 260, 2), rng.uniform(-25, 25, 2), int(rng.integers(20, 60)),
              rng.integers(100, 256, 3).tolist()) for _ in range(4)]
    images = []
    for t in range(count):
        image = ground.copy()
        for start, speed, radius, colour in discs:
            x, y = (start + t * speed) % (320, 240)
            cv2.circle(image, (int(x), int(y)), radius, colour, -1)
        images.append(image)
    return np.stack(images)


def clip_of(model: str | Path, given: Mapping[str, Any]) -> Clip | None:
    """The past-only network over a clip, in torch on the CPU; None where there is none."""
    path = resolve(model)
    if path.suffix.lower() == ".onnx" or importlib.util.find_spec("torch") is None:
        return None
    import torch

    network, _ = load_model(path, **given)
    # A stream has no future, whatever the network was trained with.
    network.shift = dataclasses.replace(network.shift, direction="past", padding="zero")

    def clip(inputs: Array) -> Array:
        with torch.inference_mode():
            logits: Array = network(torch.from_numpy(inputs)[None])[0].numpy()
        return logits

    return clip


def _stepped(engine: Engine, inputs: Array, state: State = None) -> tuple[Array, State]:
    """Logits [T, K] of one stream, and the state that it ends with."""
    state = engine.open_state() if state is None else state
    rows = []
    for frame in inputs:
        logits, (state,) = engine.step(np.ascontiguousarray(frame[None]), [state])
        rows.append(logits[0])
    return np.stack(rows), state


def _streamed(engine: Engine, phases: int, images: NDArray[np.uint8], times: Array) -> Array:
    stream = Stream(engine, phases=phases)
    return np.stack([stream.step(image, float(time)).logits
                     for image, time in zip(images, times, strict=True)])


def _difference(one: Array, other: Array) -> float:
    """The largest difference, relative to the logits where these are above 1; NaN counts."""
    scale = max(1.0, float(np.abs(other).max()))
    return float(np.abs(one - other).max()) / scale


def _result(passed: bool, detail: str) -> Result:
    return Result("PASS" if passed else "FAIL", detail)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m online_tsm.selftest",
                                     description="Check the invariants of an online network.")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a model's name or file")
    parser.add_argument("--engine", default="auto", choices=get_args(EngineName))
    parser.add_argument("--device", default="auto", choices=get_args(DeviceName))
    parser.add_argument("--card", type=Path, help="a YAML card for the model")
    parser.add_argument("--trust-checkpoint", action="store_true",
                        help="allow a checkpoint that runs code as it loads")
    args = parser.parse_args(arguments)
    given = {"card_file": args.card, "trust": args.trust_checkpoint}
    try:
        engine = open_engine(args.model, args.engine, args.device, **given)
        results = run_checks(engine, clip_of(args.model, given))
    except (CardError, CheckpointError, EngineError, StreamError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{engine.card.name} on {engine.name}, {engine.device}, {engine.precision}")
    for name, result in results.items():
        print(f"{result.verdict}  {name}: {result.detail}")
    return 1 if any(result.verdict == "FAIL" for result in results.values()) else 0


if __name__ == "__main__":
    command_line.run(main)
