"""How much rendered clips look like real ones to a network that was trained on real ones.

    python -m training.meter NETWORK.onnx --shards FOLDER [--out FOLDER]
    python -m training.meter NETWORK.onnx --clips labels.csv

The network is yours: an ONNX file that takes 16 RGB frames, 1/6 s apart, shorter side 112 pixels,
centre crop, 0..255 less the channel means, float32 [1, 3, 16, 112, 112], not mirrored, and gives
logits of the 27 Jester classes in alphabetical order. It judges motions and pictures while they are
made; it is no source of labels or weights. `answers.csv` in --out is for `training.evaluate
--compare`; the sheets show what it saw.
"""

from __future__ import annotations

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import collections
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.jester import ALPHABETICAL as LABELS
from training.answers import write_answers
from training.backwards import only_backwards
from training.data import Clip, Image, kind_of, open_clips
from training.evaluate import sample
from training.events_file import DataError, LabelledEvent
from training.scoring import Answer, by_class, clip_figures
from training.targets import check_folder

FRAMES, SIDE = 16, 112
SPAN_S = (FRAMES - 1) / 6  # from the first to the last
MEAN = np.array([114.7748, 107.7354, 99.4750], np.float32)  # of the channels, red first
STROKE_SHARE = 0.6  # the window's middle lies so far from the event's towards the stroke's
SHEET_ROWS, SHEET_FRAMES, SHEET_PX = 8, 14, (132, 99)
TAKEN_FOR = 3  # wrong answers told for each class


def moments(clip: Clip, event: LabelledEvent) -> NDArray[np.float64]:
    """[FRAMES] times in s around the stroke, inside of the clip; a shorter clip is stretched."""
    middle = (event.start + event.end) / 2
    if event.stroke is not None:
        middle += STROKE_SHARE * (sum(event.stroke) / 2 - middle)
    first, last = float(clip.times[0]), float(clip.times[-1])
    span = min(SPAN_S, last - first)
    start = min(max(middle - span / 2, first), last - span)
    return np.linspace(start, start + span, FRAMES)


def network_input(images: Sequence[Image]) -> NDArray[np.float32]:
    """float32 [1, 3, FRAMES, SIDE, SIDE] of BGR pictures."""
    out = np.empty((3, FRAMES, SIDE, SIDE), np.float32)
    for number, image in enumerate(images):
        scale = SIDE / min(image.shape[:2])
        small = cv2.resize(image, (round(image.shape[1] * scale), round(image.shape[0] * scale)))
        top, left = (small.shape[0] - SIDE) // 2, (small.shape[1] - SIDE) // 2
        crop = small[top:top + SIDE, left:left + SIDE, ::-1].astype(np.float32)
        out[:, number] = (crop - MEAN).transpose(2, 0, 1)
    return out[None]


def opened(path: Path) -> Any:
    """An ONNX Runtime session. Raises DataError for a file that is no such network."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(path), options,
                                               providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises many kinds
        raise DataError(f"{path} cannot be opened as an ONNX network: {error}") from error
    wanted = [1, 3, FRAMES, SIDE, SIDE]
    shape = session.get_inputs()[0].shape
    if len(shape) != len(wanted) or any(
            isinstance(a, int) and a != b for a, b in zip(shape, wanted, strict=True)):
        raise DataError(f"{path} takes {shape}, not {wanted}")
    return session


def judged(session: Any, clip: Clip) -> tuple[Answer, list[Image]]:
    """What the network says to a clip's only event, and the pictures it was shown."""
    (event,) = clip.events
    numbers = [int(np.abs(clip.times - moment).argmin()) for moment in moments(clip, event)]
    images = clip.read(numbers)
    logits = session.run(None, {session.get_inputs()[0].name: network_input(images)})[0][0]
    if len(logits) != len(LABELS):
        raise DataError(f"the network knows {len(logits)} classes, not the {len(LABELS)} of Jester")
    ranking = tuple(LABELS[i] for i in np.argsort(-logits))
    return Answer(clip.name, event.label, ranking, clip.person), images


def table(answers: Sequence[Answer]) -> list[str]:
    """Class by class, the commonest wrong answers with each, then all together."""
    lines = [f"{'class':30} {'clips':>5} {'top-1':>6} {'top-3':>6}  taken for"]
    for label, (count, first, three) in by_class(answers).items():
        wrong = collections.Counter(a.ranking[0] for a in answers
                                    if a.label == label and a.ranking[0] != label)
        told = ", ".join(f"{name} {n}" for name, n in wrong.most_common(TAKEN_FOR))
        lines.append(f"{label:30} {count:5} {first / count:6.2f} {three / count:6.2f}  {told}")
    return [*lines, "", *(f"{name}: {figure}" for name, figure in clip_figures(answers).items())]


def sheet_row(answer: Answer, images: Sequence[Image]) -> Image:
    picks = np.linspace(0, len(images) - 1, SHEET_FRAMES).round().astype(int)
    row = np.hstack([cv2.resize(images[i], SHEET_PX) for i in picks])
    right = answer.label == answer.ranking[0]
    cv2.putText(row, f"{answer.name}: {answer.label} -> {answer.ranking[0]}", (3, 11),
                cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 255, 255) if right else (80, 80, 255), 1)
    return np.asarray(row, np.uint8)


def run(args: argparse.Namespace) -> list[str]:
    """Judges all clips and writes answers and sheets; the table. Raises DataError."""
    check_folder(args.out)
    session = opened(args.network)
    clips = (open_clips("shards", args.shards) if args.shards else
             open_clips(kind_of(args.clips, shards=False), args.clips))
    if args.backwards:
        clips = only_backwards(clips)
    clips = sample([clip for clip in clips if len(clip.events) == 1], args.most)
    if not clips:
        raise DataError(f"{args.shards or args.clips} holds no clip with a single event")
    answers: list[Answer] = []
    rows: dict[str, list[Image]] = collections.defaultdict(list)
    for clip in tqdm(clips, unit="clip", leave=False):
        answer, images = judged(session, clip)
        answers.append(answer)
        if len(rows[answer.label]) < SHEET_ROWS:
            rows[answer.label].append(sheet_row(answer, images))
    args.out.mkdir(parents=True, exist_ok=True)
    write_answers(args.out / "answers.csv", answers)
    for label, pictures in rows.items():
        cv2.imwrite(str(args.out / f"{label.lower().replace(' ', '_')}.jpg"), np.vstack(pictures))
    return table(answers)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.meter", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, help="an ONNX file")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--shards", type=Path, help="a folder of rendered shards")
    source.add_argument("--clips", type=Path, help="a CSV with file and label, or a folder with "
                                                   "a folder a class")
    parser.add_argument("--backwards", action="store_true",
                        help="play the clips backwards, as the gestures that they are then")
    parser.add_argument("--most", type=int, help="take at most so many clips")
    parser.add_argument("--out", type=Path, default=Path("runs/meter"))
    args = parser.parse_args(argv)
    try:
        lines = run(args)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join([*lines, "", f"answers and sheets: {args.out}"]))
    return 0


if __name__ == "__main__":
    command_line.run(main)
