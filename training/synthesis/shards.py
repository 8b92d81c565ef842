"""Shard files: many clips in one .npz with labels, times and seeds; whole or not there at all."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from training.synthesis.clip import Clip

FORMAT = 1


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.npz"


def write_shard(path: Path, clips: list[Clip]) -> None:
    """Write clips to one file.

    Arrays: `jpeg` (bytes of all frames, uint8), `offsets` (frames+1,) into it, `first` (clips+1,)
    the frame each clip starts at, `times` (frames,) seconds from the clip's start. `masks` and
    `mask_offsets`: a PNG a frame, 255 where the person is. `clips` is one
    JSON text: a list with person, seed and events (label, style, held_out_style, hand, start,
    end, stroke, happened, phases) of each clip.
    """
    frames = [frame for clip in clips for frame in clip.frames]
    masks = [mask for clip in clips for mask in clip.masks]
    offsets = np.cumsum([0, *(len(f) for f in frames)])
    mask_offsets = np.cumsum([0, *(len(m) for m in masks)])
    first = np.cumsum([0, *(len(c.frames) for c in clips)])
    about = [
        {"person": c.person, "seed": c.seed, "events": [asdict(e) for e in c.events]} for c in clips
    ]
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as out:
        np.savez(
            out,
            format=np.array(FORMAT),
            jpeg=np.frombuffer(b"".join(frames), np.uint8),
            offsets=offsets.astype(np.int64),
            masks=np.frombuffer(b"".join(masks), np.uint8),
            mask_offsets=mask_offsets.astype(np.int64),
            first=first.astype(np.int64),
            times=np.concatenate([c.times for c in clips]).astype(np.float32),
            clips=np.array(json.dumps(about)),
        )
    temporary.replace(path)
