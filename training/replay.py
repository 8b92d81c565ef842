"""What a model remembers of the pictures it was trained on, in a small file beside its weights:

    python -m training.replay MODEL --shards DIR --out FILE

Single frames' features before the head, of every class and of background, as bytes. Teaching
plays them again, so that a new gesture does not push out the old ones. The file belongs to the
very weights it was made with, and to what they are shown: their hash is in it. Other thresholds, or
another name, change nothing.
"""

from __future__ import annotations

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import dataclasses
import hashlib
import io
import logging
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from models.card import CardError, ModelCard
from models.checkpoints import load_model, resolve
from models.errors import CheckpointError
from models.network import OnlineNetwork
from online_tsm.graphs import write_atomically
from training.augment import AugmentOptions, augment, normalised
from training.data import Clip, read_shards
from training.events_file import DataError
from training.flags import natural
from training.sequences import SequenceOptions, frame_numbers, targets
from training.targets import check_file
from training.teach_views import Body
from training.validation import event_times

FORMAT = 2
SUFFIX = ".replay.npz"
FRAMES = 12  # of a window; the network forgets what came before
PICKS = 2  # frames of a window that are kept: one where the gesture is shown, one at random
MOST_BYTES = 1_400_000
SHOWN = ("input_size", "resize", "resize_side", "filter", "mean", "std", "colour", "frame_rate",
         "shift")  # of the card: what decides on the features, beside the weights
MILD = AugmentOptions(zoom=(0.8, 1.05), colour=0.5, noise=0.2, blur=0.2, cut_out=0.1, grey=0.0)


class ReplayError(ValueError):
    """A replay file that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Replay:
    """`features` float32 [N, D] of single frames, `places` [N] of their labels."""

    features: Tensor
    places: Tensor


def replay_path(model: Path) -> Path:
    """Where a model's replay file lies: beside it."""
    return model.with_name(model.stem + SUFFIX)


def weights_digest(network: OnlineNetwork, card: ModelCard) -> str:
    """SHA-256 of the weights and of what the card says of their pictures, in hexadecimal."""
    said = dataclasses.asdict(card)
    digest = hashlib.sha256(repr([said[key] for key in SHOWN]).encode())
    for name, tensor in sorted(network.state_dict().items()):
        if tensor.is_floating_point():  # counters are none
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_replay(path: Path, model: Path, network: OnlineNetwork, card: ModelCard) -> Replay:
    """The replay file at `path`, which must have been made with `network`, the one in `model`.

    Raises ReplayError.
    """
    try:
        with np.load(path) as file:
            digest, known = str(file["weights"]), int(file["format"])
            features = file["features"].astype(np.float32) * file["scale"] / 255
            labels, places = file["labels"].tolist(), file["places"].astype(np.int64)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ReplayError(f"{path} is no whole replay file ({error}); make it anew: "
                          f"{_command(model, path)}") from error
    if (known != FORMAT or digest != weights_digest(network, card)
            or tuple(labels) != card.labels):
        raise ReplayError(f"{path.name} was made for other weights than those now in {model.name}; "
                          f"make it anew: {_command(model, path)}")
    return Replay(torch.from_numpy(features), torch.from_numpy(places))


def make_replay(model: Path, clips: Sequence[Clip], most_bytes: int = MOST_BYTES, seed: int = 0
                ) -> bytes:
    """The replay file of a model, of at most so many bytes. Raises CheckpointError, DataError."""
    network, card = load_model(model)
    digest = weights_digest(network, card)
    body = Body(network, card)
    rng = np.random.default_rng(seed)
    chosen = _balanced(clips, card, rng, most_bytes)
    rows: list[NDArray[np.float32]] = []
    places: list[int] = []
    for clip, number in tqdm(chosen, unit="clip", leave=False):
        features, labels = _frames(clip, number, card, body, rng)
        rows += list(features)
        places += labels
    scale = np.maximum(np.quantile(rows, 0.999, axis=0), 1e-3).astype(np.float32)
    quantised = np.clip(np.round(np.stack(rows) / scale * 255), 0, 255).astype(np.uint8)
    order = rng.permutation(len(places))  # so that a shorter file is as good, only smaller
    for keep in range(len(places), 0, -max(1, len(places) // 50)):
        data = _packed(quantised[order[:keep]], np.array(places)[order[:keep]], scale, card, digest)
        if len(data) <= most_bytes:
            return data
    raise DataError(f"{most_bytes} bytes hold no replay file; allow more")


def _balanced(clips: Sequence[Clip], card: ModelCard, rng: np.random.Generator, most_bytes: int
              ) -> list[tuple[Clip, int]]:
    """Events (clip, its number) so that every label comes about equally often."""
    by_label: dict[str, list[tuple[Clip, int]]] = {}
    for clip in clips:
        for number, event in enumerate(clip.events):
            by_label.setdefault(event.label, []).append((clip, number))
    unknown = sorted(set(by_label) - set(card.labels))
    if unknown:
        raise DataError(f"the clips are labelled {unknown[0]!r}, which is no label of the model")
    each = max(1, most_bytes // (500 * PICKS * max(len(by_label), 1)))
    return [found[place] for label in sorted(by_label)
            for found in [by_label[label]] for place in rng.permutation(len(found))[:each]]


def _frames(clip: Clip, number: int, card: ModelCard, body: Body, rng: np.random.Generator
            ) -> tuple[NDArray[np.float32], list[int]]:
    """Features and places of a few frames that are asked for, of one window on an event."""
    times = event_times(clip.events[number], card, FRAMES) + rng.uniform(-0.3, 0.3)
    asked = targets(clip, times, card, SequenceOptions(frames=FRAMES))
    images = clip.read(frame_numbers(clip, times, card.background).tolist())
    pixels = torch.from_numpy(augment(images, card, MILD, rng))
    features = body(normalised(pixels, card)[None])[0].numpy()
    clear = np.flatnonzero(asked.weights[card.warmup_steps:] > 0.45) + card.warmup_steps
    own = clear[asked.places[clear] == card.labels.index(clip.events[number].label)]
    picks = [int(rng.choice(group)) for group in (own, clear) if len(group)][:PICKS]
    return features[picks], asked.places[picks].tolist()


def _packed(features: NDArray[np.uint8], places: NDArray[np.int64], scale: NDArray[np.float32],
            card: ModelCard, digest: str) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, format=np.array(FORMAT), weights=np.array(digest),
                        labels=np.array(card.labels), places=places.astype(np.uint8),
                        features=features, scale=scale)
    return file.getvalue()


def _command(model: Path, out: Path) -> str:
    return f"python -m training.replay {model} --shards DIR --out {out}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.replay", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name or .safetensors file")
    parser.add_argument("--shards", type=Path, required=True,
                        help="a folder of rendered shards, of people the model was trained on")
    parser.add_argument("--out", type=Path, help=f"default: MODEL{SUFFIX} beside the model")
    parser.add_argument("--most-bytes", type=natural, default=MOST_BYTES)
    parser.add_argument("--seed", type=natural, default=0)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING)
    try:
        model = resolve(args.model)
        out = args.out or replay_path(model)
        check_file(out)
        clips = read_shards(args.shards)
        if not clips:
            raise DataError(f"{args.shards} holds no shards")
        data = make_replay(model, clips, args.most_bytes, args.seed)
        write_atomically(out, data)
    except (DataError, CheckpointError, CardError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{out}: {len(data)} bytes")
    return 0


if __name__ == "__main__":
    command_line.run(main)
