"""Renders sets of clips in several processes, shard by shard; what exists is left alone."""

import hashlib
import json
import logging
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import IMapIterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tqdm import tqdm

from online_tsm.graphs import write_atomically
from training.synthesis.assets import SynthesisError
from training.synthesis.bake import ensure_baked
from training.synthesis.cast import Person, people
from training.synthesis.clip import Studio
from training.synthesis.language import common_of, load_gestures, resting_poses
from training.synthesis.plan import CLIPS_A_SHARD, shard_count, shard_jobs, shard_size
from training.synthesis.shards import shard_path, write_shard

log = logging.getLogger(__name__)

SET_FILE = "set.json"
HERE = Path(__file__).parent
LOOK_S = 2.0  # without a result for so long, the workers are counted
CODE = (".py", ".frag", ".vert")  # what the pictures depend on, beside the gestures


@dataclass(frozen=True)
class Order:
    """One set to render. gestures: folder of gesture files. device: EGL device number. draft: see
    training.synthesis.clip."""

    out: str
    clips: int
    seed: int
    split: str
    gestures: str
    cache: str
    device: int
    draft: bool = False


def render_set(order: Order, workers: int) -> int:
    """Render the shards that the set's folder lacks; returns how many were made.

    Raises SynthesisError when the folder holds a set of other settings, or a worker fails.
    """
    out = Path(order.out)
    claim(out, order)
    total = shard_count(order.clips)
    missing = [i for i in range(total) if not shard_path(out, i).exists()]
    ensure_baked(Path(order.cache), performers(order, missing))
    there = order.clips - sum(shard_size(number, order.clips) for number in missing)
    with tqdm(total=order.clips, initial=there, unit="clip", desc=out.name) as bar:
        for clips in _made(order, missing, workers):
            bar.update(clips)
    return len(missing)


def performers(order: Order, shards: Sequence[int]) -> list[Person]:
    """Who performs in these shards: a small set needs few of the cast, and baking takes time."""
    gestures = load_gestures(Path(order.gestures))
    wanted = {job.person.number for number in shards
              for job in shard_jobs(number, order.clips, order.seed, order.split, gestures)}
    return [person for person in people(order.split) if person.number in wanted]


def _made(order: Order, missing: list[int], workers: int) -> Iterator[int]:
    """Renders the missing shards; says how many more clips there are, time and again."""
    if workers <= 1 or len(missing) <= 1:
        worker = Worker(order)
        for number in missing:
            yield from worker.render(number)
        return
    # The software rasteriser starts its own threads; one process a core is faster.
    os.environ.setdefault("LP_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(workers, len(missing)), _start_worker) as pool:
        crew: set[BaseProcess] = set(multiprocessing.active_children())
        made = pool.imap_unordered(partial(_work, order), missing)
        for _ in missing:
            yield _next(made, crew)


def _next(made: "IMapIterator[int]", crew: set[BaseProcess]) -> int:
    """The next result of a pool. Raises SynthesisError where one of its first processes is gone:
    the pool starts another one, and waits for ever for what the lost one had in hand."""
    while True:
        try:
            return made.next(timeout=LOOK_S)
        except multiprocessing.TimeoutError:
            if not crew <= set(multiprocessing.active_children()):
                raise SynthesisError(
                    "a worker has died: it was killed, perhaps for want of memory, or crashed. The "
                    "same command goes on where it was; fewer --workers need less memory."
                ) from None


class Worker:
    """One process's studio and gestures: renders whole shards."""

    def __init__(self, order: Order) -> None:
        folder = Path(order.gestures)
        self.order = order
        self.gestures = load_gestures(folder)
        self.studio = Studio(Path(order.cache), resting_poses(folder), order.device,
                             draft=order.draft)

    def render(self, number: int) -> Iterator[int]:
        """Render one shard and write it; yields 1 after each clip, and is to be exhausted."""
        o, clips = self.order, []
        for job in shard_jobs(number, o.clips, o.seed, o.split, self.gestures):
            clips.append(self.studio.clip(job.person, list(job.gestures), job.seed))
            yield 1
        write_shard(shard_path(Path(o.out), number), clips)


_worker: list[Worker] = []  # a worker process keeps its one Worker for its whole life


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others, in silence


def _work(order: Order, number: int) -> int:
    if not _worker:  # here, for a pool starts processes that fail at their start again for ever
        _worker.append(Worker(order))
    return sum(_worker[0].render(number))


def claim(out: Path, order: Order) -> None:
    """Mark a folder as one set's own; raises SynthesisError when it is another's, or when shards
    of other code are there and not all of them."""
    out.mkdir(parents=True, exist_ok=True)
    mine: dict[str, Any] = {
        "seed": order.seed,
        "split": order.split,
        "gestures": _digest(_gesture_files(Path(order.gestures))),
        "folder": Path(order.gestures).resolve().name,
        "clips": order.clips,
        "draft": order.draft,
        "code": _digest(path for path in HERE.iterdir() if path.suffix in CODE),
    }
    path = out / SET_FILE
    if path.exists():
        known = _read_set(path)
        fixed = ("seed", "split", "gestures", "draft")
        differing = [k for k in fixed if known.get(k, False) != mine[k]]
        if differing:
            raise SynthesisError(
                f"{out} already holds a set with another {' and '.join(differing)}. Pick another "
                "--out, or go on with that set's own settings (they are in its set.json)."
            )
        mine["code"] = _made_with(out, order, known, mine["code"])
        last = shard_count(known["clips"]) - 1
        if known["clips"] % CLIPS_A_SHARD and (known["clips"] < order.clips
                                               or last >= shard_count(order.clips)):
            # It is a short one: it is made again in full, or is no part of a smaller set, for
            # when that grows again nobody would know of it.
            shard_path(out, last).unlink(missing_ok=True)
    write_atomically(path, (json.dumps(mine, indent=1) + "\n").encode())


def _made_with(out: Path, order: Order, known: dict[str, Any], code: str) -> str | None:
    """The fingerprint of the code of the shards that are there, or `code` where none is; None for
    a set of before there were any. Raises SynthesisError where more shards would be of other code.
    """
    there = [shard_path(out, number).exists() for number in range(shard_count(order.clips))]
    if not any(out.glob("shard-*.npz")):  # a training reads all of them
        return code
    before: str | None = known.get("code")
    finished = all(there) and order.clips <= known["clips"]
    if before is None and not finished:
        log.warning("%s does not say which code rendered the shards that it holds: if the code was "
                    "edited since, the set mixes two", out)
    elif before != code and not finished:
        raise SynthesisError(
            f"{out} holds shards that other code rendered (training/synthesis was edited since), "
            "and the set would mix two: pick another --out, or go on with the code of then."
        )
    return before


def _read_set(path: Path) -> dict[str, Any]:
    """What a set's folder says of it. Raises SynthesisError."""
    try:
        known = json.loads(path.read_text())
        int(known["clips"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SynthesisError(
            f"{path} does not say which set {path.parent} holds ({error!r}). Pick another --out, "
            "or delete the folder and render it again."
        ) from error
    return dict(known)


def _gesture_files(folder: Path) -> set[Path]:
    folder = folder.resolve()
    return {*folder.glob("*.yaml"), common_of(folder)}


def _digest(files: Iterable[Path]) -> str:
    """A fingerprint of files: a set is made by one choreography and one code."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
