"""Tiny rendered-looking shards: a square that moves left or right, holds still, or is not there."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from training.sequences import Targets

LABELS = ("left", "right", "stop", "nothing")
RATE = 12.0  # frames a second
START_S, STROKE_S, HOLD_END, END_S, LAST_S = 0.8, (1.2, 1.9), 2.1, 2.5, 3.2


def picture(label: str, time: float, colour: np.ndarray) -> np.ndarray:
    """What a clip of `label` shows at `time`: uint8 [24, 32, 3], BGR."""
    image = np.full((24, 32, 3), 40, np.uint8)
    share = np.clip((time - STROKE_S[0]) / (STROKE_S[1] - STROKE_S[0]), 0, 1)
    place = {"left": 2 + 22 * share, "right": 24 - 22 * share, "stop": 13}.get(label)
    if place is not None and START_S <= time < END_S:
        image[8:16, round(place):round(place) + 7] = colour
    return image


def said_and_moved(pixels: np.ndarray, asked: Targets) -> tuple[str, str] | None:
    """What is asked of a sample at last, and where its square went by the picture (the performer's
    left is its right); None where either cannot be told. `pixels` are [T, 3, h, w]."""
    place = [np.nonzero(frame)[1].mean() for frame in pixels.mean(1) > 127 if frame.any()]
    says = [LABELS[p] for p, w in zip(asked.places, asked.weights, strict=True)
            if w > 0 and LABELS[p] != "nothing"]
    if not says or len(place) <= 3 or abs(place[-1] - place[0]) <= 6:
        return None
    return says[-1], "left" if place[-1] > place[0] else "right"


def write_shard(folder: Path, labels: list[str], *, number: int = 0, person: str = "train-0",
                held_out_style: bool = False, masks: bool = False) -> None:
    """A shard in the format of synthesis.shards with a clip of 3.2 s for each label."""
    rng = np.random.default_rng(number)
    jpegs, pngs, times, told, first = [], [], [], [], [0]
    for label in labels:
        clip_times = np.arange(0, LAST_S, 1 / RATE)
        colour = rng.integers(150, 255, 3)
        for time in clip_times:
            image = picture(label, time, colour)
            jpegs.append(cv2.imencode(".jpg", image)[1].tobytes())
            pngs.append(cv2.imencode(".png", (image[..., 0] > 100).astype(np.uint8) * 255)[1]
                        .tobytes())
        times += clip_times.tolist()
        first.append(len(jpegs))
        told.append({"person": person, "seed": 1, "events": [
            event(label, held_out_style) if label != "nothing" else
            {"label": label, "start": 0.0, "end": LAST_S, "stroke": None, "happened": None,
             "phases": [["rest", 0.0, LAST_S]]}]})
    folder.mkdir(parents=True, exist_ok=True)
    extra = {"masks": packed(pngs), "mask_offsets": offsets(pngs)} if masks else {}
    np.savez(folder / f"shard-{number:05d}.npz", format=np.array(1), jpeg=packed(jpegs),
             offsets=offsets(jpegs), first=np.array(first), times=np.array(times, np.float32),
             clips=np.array(json.dumps(told)), **extra)


def event(label: str, held_out_style: bool) -> dict[str, object]:
    return {"label": label, "style": "plain", "held_out_style": held_out_style, "hand": "R",
            "start": START_S, "end": END_S, "stroke": STROKE_S, "happened": STROKE_S[1],
            "phases": [["raise", START_S, STROKE_S[0]], ["stroke", *STROKE_S],
                       ["hold", STROKE_S[1], HOLD_END], ["retract", HOLD_END, END_S]]}


def packed(pictures: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(pictures), np.uint8)


def offsets(pictures: list[bytes]) -> np.ndarray:
    return np.cumsum([0, *map(len, pictures)])


def toy_recipe(folder: Path, **changes: object) -> dict[str, object]:
    """A recipe of a few seconds over shards in `folder`/train and `folder`/heldout."""
    said: dict[str, object] = {
        "out": str(folder / "out"),
        "train": [{"path": str(folder / "train")}], "held_out": [{"path": str(folder / "heldout")}],
        "card": {"labels": list(LABELS), "background": ["nothing"],
                 "mirrored_pairs": [["left", "right"]], "input_size": [32, 32],
                 "resize": "whole-frame", "width_multiplier": 0.25, "frame_rate": 5.0,
                 "mean": [0.5] * 3, "std": [0.5] * 3, "warmup_steps": 2},
        "sequence": {"frames": 6},
        "optimiser": {"batch": 4, "views": 32, "frozen_views": 8, "warmup_steps": 2, "ema": 0.8},
        "run": {"log_every": 2, "validate_every": 8, "precision": "fp32", "device": "cpu",
                "validation_clips": 8, "save_every_s": 1000.0}}
    return {**said, **changes}
