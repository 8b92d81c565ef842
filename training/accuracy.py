"""What each faster setting costs in accuracy: the same clips through every engine, precision and
input size. The benchmark runs this for its tables, and by itself it prints one:

    python -m training.accuracy CLIPS --sizes 84x112 128x160 --json accuracy.json

CLIPS is a folder of shards, a folder with a folder a class, or a CSV with file and label. This
stands in training, which knows clips and labels; the benchmark knows frames and times, reads the
JSON, and imports nothing of this.
"""

from __future__ import annotations

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.checkpoints import DEFAULT_MODEL, read_card, resolve
from online_tsm.benchmark_report import judged_lines
from online_tsm.engine import DeviceName, Engine, EngineName, Precision, open_engine
from online_tsm.measuring import usable
from online_tsm.sizes import Size, at_size, size_of
from online_tsm.smoothing import SmoothingHead
from training.answers import clip_answers
from training.data import Clip, kind_of, open_clips
from training.evaluate import USER_ERRORS, check_labels, sample
from training.scoring import clip_figures
from training.targets import check_file


@dataclass(frozen=True)
class Setting:
    """How the model is run; `file` is another form of it (INT8), or None."""

    engine: EngineName
    device: DeviceName
    precision: Precision | Literal["int8"]
    input_size: Size
    file: Path | None = None


class _Stepped:
    """What `clip_answers` asks of a network, done by an engine as a stream would do it: frame
    after frame, with its state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.decisions: list[int] = []  # of every frame's own logits
        self.shown: list[int] = []  # what the demo shows at every frame: the smoothed decision

    def __call__(self, clips: Tensor) -> Tensor:
        """Inputs [1, T, 3, h, w] to logits [1, T, K]."""
        state, rows = self._engine.open_state(), []
        for frame in clips[0].numpy():
            logits, (state,) = self._engine.step(frame[None], [state])
            rows.append(logits[0].copy())
        self.decisions += [int(row.argmax()) for row in rows]
        card = self._engine.card
        head = SmoothingHead(card)
        for i, row in enumerate(rows):
            cold = i < card.warmup_steps
            self.shown.append(int(head.update(i / card.frame_rate, row, cold=cold).argmax()))
        return torch.from_numpy(np.stack(rows))[None]


def settings(path: Path, sizes: Sequence[Size], int8: Path | None) -> list[Setting]:
    """float32 at each size, the model's own first; there, every other precision, too."""
    own = read_card(path).input_size
    found = [Setting("onnxruntime", "cpu", "fp32", size)
             for size in (own, *(size for size in sizes if size != own))]
    found += [Setting(*runtime, own) for runtime in usable(path) if runtime[2] != "fp32"]
    if int8 is not None:
        found.append(Setting("onnxruntime", "cpu", "int8", own, int8))
    return found


def judged(path: Path, clips: Sequence[Clip], tried: Sequence[Setting]) -> list[dict[str, Any]]:
    """Top-1 and top-3 of each setting with their intervals, and on what share of frames it
    decides, and shows after smoothing, what the first setting does (None at another size, whose
    frames are others)."""
    rows: list[dict[str, Any]] = []
    first: _Stepped | None = None
    for setting in tqdm(tried, unit=" settings", leave=False, disable=None):
        engine = open_engine(
            setting.file or path, setting.engine, setting.device, 1,
            precision="fp32" if setting.precision == "int8" else setting.precision,
            overrides=None if setting.file else at_size(read_card(path), setting.input_size))
        network, card = _Stepped(engine), engine.card
        answers = clip_answers(clips, network, card, "mean",  # type: ignore[arg-type]
                               card.smoothing.disabled)
        first = first or network
        comparable = setting.input_size == tried[0].input_size
        top1, top3 = clip_figures(answers).values()
        rows.append({
            "engine": setting.engine, "device": setting.device, "precision": setting.precision,
            "input_size": list(setting.input_size),
            "agreement": _share(network.decisions, first.decisions) if comparable else None,
            "shown": _share(network.shown, first.shown) if comparable else None,
            "top1": asdict(top1), "top3": asdict(top3)})
    return rows


def _share(ours: Sequence[int], theirs: Sequence[int]) -> float:
    return float(np.mean(np.array(ours) == theirs))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.accuracy", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="shards, a folder with a folder a class, or a CSV")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or file")
    parser.add_argument("--sizes", nargs="+", type=size_of, default=[], metavar="HxW",
                        help="other sizes of the network's input")
    parser.add_argument("--int8", type=Path, metavar="FILE.onnx", help="the model's INT8 form")
    parser.add_argument("--most", type=int, help="take at most so many clips")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows")
    args = parser.parse_args(argv)
    try:
        if args.json:
            check_file(args.json, "--json")
            args.json.parent.mkdir(parents=True, exist_ok=True)
        path = resolve(args.model)
        clips = sample(open_clips(kind_of(args.clips, shards=True), args.clips), args.most)
        check_labels(clips, read_card(path))
        rows = judged(path, clips, settings(path, args.sizes, args.int8))
    except USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    report = {"model": path.stem, "set": args.clips.name, "clips": len(clips), "rows": rows}
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(judged_lines(report))
    return 0


if __name__ == "__main__":
    command_line.run(main)
