"""Teaches a model gestures from a few recordings: `python -m training.teach FOLDER`.

FOLDER holds a folder a gesture with a few videos each, and one named "background". The result is
an ordinary model: run_demo.py --model FILE. The figures of the report are honest: every recording
is judged by what the others taught.
"""

from __future__ import annotations

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import logging
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import torch
from tqdm import tqdm

from models.card import CardError, ModelCard
from models.checkpoints import DEFAULT_MODEL, load_model, resolve, save_model
from models.errors import CheckpointError
from models.network import OnlineNetwork
from online_tsm.engine import EngineError, open_engine
from online_tsm.graphs import file_digest, forget_graph, graph_of
from online_tsm.recordings import PERSONAL, REPORT, RecordingError
from online_tsm.watching import Watcher
from training.flags import natural
from training.memory import keep_memory
from training.replay import Replay, ReplayError, read_replay, replay_path
from training.teach_data import Lesson, TeachError, read_lessons
from training.teach_report import results_of, text_of, write_report
from training.teach_run import Told, learn

KILLED_S = 600  # saving takes seconds: what is older was left by a teaching that was killed
WORKERS = 2  # cores used; the demo may be running on the others
USER_ERRORS = (TeachError, RecordingError, ReplayError, CheckpointError, CardError, EngineError,
               OSError)


class Progress:
    """A bar on stderr for people, or lines on stdout for a program that reads them."""

    def __init__(self) -> None:
        self._bar = tqdm(total=100, bar_format="{l_bar}{bar}| {elapsed} {postfix}",
                         ) if sys.stdout.isatty() else None
        self._said = (-1, "")

    def __call__(self, share: float, what: str) -> None:
        now = (int(100 * share), what)
        if now == self._said:
            return
        self._said = now
        if self._bar is None:
            print(f"progress {now[0] / 100:.2f} {what}", flush=True)
        else:
            self._bar.set_postfix_str(what, refresh=False)
            self._bar.update(now[0] - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def teach(folder: Path, model: str, out: Path, report: Path, *, seed: int = 0,
          told: Told = lambda *_: None, use_replay: bool = True) -> str:
    """Teaches, judges and writes; the report's text. Raises USER_ERRORS."""
    path = resolve(model)
    network, card = load_model(path)
    _check_card(card)
    replay = find_replay(path, network, card) if use_replay else None
    told(0.0, "reading the recordings")
    lessons = read_lessons(folder, card, watch=Watcher(path))
    taught = learn(network, card, lessons, replay, seed=seed, told=told, workers=WORKERS)
    results = results_of(taught, lessons)
    new_card = _described(taught.card, card, path, lessons=lessons, results=results, seed=seed)
    told(0.95, "saving")
    write_report(report, taught, results, card.name)
    _save(taught.network, new_card, out)
    told(1.0, "done")
    return text_of(results, new_card, card.name)


def find_replay(model: Path, network: OnlineNetwork, card: ModelCard) -> Replay:
    """The replay file beside a model. Raises ReplayError."""
    path = replay_path(model)
    if not path.is_file():
        raise ReplayError(
            f"{model.name} has no {path.name} beside it, so it would forget its own gestures. Make "
            f"it from rendered clips: python -m training.replay {model} --shards DIR; or give "
            "--without-replay")
    return read_replay(path, model, network, card)


def _check_card(card: ModelCard) -> None:
    if "teaching" in card.measured:
        parent = card.measured["teaching"].get("parent", "the model below it")
        raise TeachError(f"{card.name!r} was taught already; teach {parent} again instead, with "
                         "all recordings: they are all kept")
    if not card.background:
        raise TeachError(f"model {card.name!r} has no background label, so it cannot tell a "
                         "gesture from none; teach another model")
    if card.shift.direction != "past":
        raise TeachError(f"model {card.name!r} looks ahead in time, which no stream can; teach "
                         "another model")


def _described(card: ModelCard, parent: ModelCard, path: Path, *, lessons: Sequence[Lesson],
               results: dict[str, Any], seed: int) -> ModelCard:
    """The card that says where the model comes from and what was measured."""
    counts = Counter({lesson.source: lesson.label for lesson in lessons}.values())
    added = [label for label in card.labels if label not in parent.labels]
    teaching = {
        "parent": parent.name, "parent sha256": file_digest(path), "added": added, "seed": seed,
        "recordings": {label: counts[label] for label in sorted(counts)}, **results}
    told = (f"Taught by its user on top of {parent.name}: {len(added)} new gestures, "
            f"{sum(counts.values())} recordings")
    provenance = ". ".join(part for part in (parent.provenance.rstrip("."), told) if part)
    return card.replace(name=f"{parent.name} taught", provenance=provenance,
                        measured={"teaching": teaching, "parent": dict(parent.measured)})


def _save(network: OnlineNetwork, card: ModelCard, out: Path) -> None:
    """The whole checkpoint or nothing of it, its graph first: so the demo needs no torch."""
    out.parent.mkdir(parents=True, exist_ok=True)
    for left in out.parent.glob(".teach-*"):
        if time.time() - left.stat().st_mtime > KILLED_S:  # else another teaching is saving there
            shutil.rmtree(left, ignore_errors=True)
    old = graph_of(out)
    aside = Path(tempfile.mkdtemp(prefix=".teach-", dir=out.parent))
    try:
        save_model(network, card, aside / out.name)
        open_engine(aside / out.name, "onnxruntime", "cpu")
        os.replace(aside / out.name, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    if old != graph_of(out):
        forget_graph(old)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.teach", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="recordings: a folder a gesture, and background")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or file of what is taught")
    parser.add_argument("--out", type=Path, help=f"the new model (default: FOLDER/{PERSONAL})")
    parser.add_argument("--report", type=Path, help=f"a folder (default: FOLDER/{REPORT})")
    parser.add_argument("--seed", type=natural, default=0)
    parser.add_argument("--without-replay", action="store_true",
                        help="learn without the replay file; what is not recorded is forgotten")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    torch.set_num_threads(1)  # the workers are the threads
    cv2.setNumThreads(1)
    out, progress = args.out or args.folder / PERSONAL, Progress()
    try:
        if out.suffix != ".safetensors":
            raise TeachError(f"--out is {out}; the name of a model ends in .safetensors")
        text = teach(args.folder, args.model, out, args.report or args.folder / REPORT,
                     seed=args.seed, told=progress, use_replay=not args.without_replay)
    except BrokenPipeError:  # stdout's reader left; `command_line` knows what that means
        progress.close()
        raise
    except USER_ERRORS as error:
        progress.close()
        for words in str(error).splitlines():  # one for each bad clip
            print(f"error: {words}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        progress.close()
        print("stopped; no model was changed", file=sys.stderr)
        return 130
    progress.close()
    print(text)
    print(f"saved {out}")
    return 0


if __name__ == "__main__":
    keep_memory()
    command_line.run(main)
