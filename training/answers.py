"""What a network says to single clips: logits at the card's rate, brought to one answer."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from models.card import ModelCard
from models.network import OnlineNetwork
from online_tsm.preprocess import Preprocessor
from training.data import Clip
from training.events_file import DataError, LabelledEvent, rows_of
from training.scoring import Answer
from training.sequences import frame_numbers, held_until, stroke_of

Reduction = Literal["mean", "last", "spread"]
REDUCTIONS: dict[Reduction, str] = {
    "mean": "mean logits of all frames, at the card's rate",
    "last": "logits of the last frame, at the card's rate",
    "spread": "mean logits of 8 frames spread over the clip, whatever the rate",
}
SPREAD = 8  # frames, as the published figures on Jester


def clip_answers(clips: Sequence[Clip], network: OnlineNetwork, card: ModelCard,
                 reduction: Reduction, left_out: Sequence[str] = ()) -> list[Answer]:
    """One answer for every event of every clip; labels in `left_out` are never said."""
    masked = np.isin(card.labels, left_out)
    answers = []
    for clip in clips:
        for event in clip.events:
            logits = _event_logits(clip, event, network, card, reduction)
            order = np.argsort(-np.where(masked, -np.inf, logits), kind="stable")
            ranking = tuple(card.labels[place] for place in order)
            answers.append(Answer(clip.name, event.label, ranking))
    return answers


def _event_logits(clip: Clip, event: LabelledEvent, network: OnlineNetwork, card: ModelCard,
                  reduction: Reduction) -> NDArray[np.float32]:
    """[K] over the time in which an answer counts."""
    first, last = judged_span(event)
    if reduction == "spread":
        spread = _logits(clip, np.linspace(first, last, SPREAD), network, card)
        return np.asarray(spread.mean(0))
    rows = [(time, row) for times in interleaved(clip, first, last, card)
            for time, row in zip(times, _logits(clip, times, network, card), strict=True)]
    within = [row for time, row in rows if time >= first - 1e-6]
    if reduction == "mean" and within:
        return np.asarray(np.mean(within, axis=0))
    return np.asarray(max(rows, key=lambda one: float(one[0]))[1])


def judged_span(event: LabelledEvent) -> tuple[float, float]:
    """From when to when (s) an answer counts: while the gesture is shown, where that is known,
    or else all of the event."""
    if event.held is None and event.happened is None:
        return event.start, event.end
    return stroke_of(event)[0], held_until(event)


def interleaved(clip: Clip, first: float, last: float, card: ModelCard
                ) -> list[NDArray[np.float64]]:
    """Times at the card's rate up to `last`, once for every phase that a stream would keep.

    They begin where the clip does, but not long before `first`: the network forgets.
    """
    rate = (len(clip.times) - 1) / max(float(clip.times[-1] - clip.times[0]), 1e-6)
    phases, period = max(1, round(rate / card.frame_rate)), 1 / card.frame_rate
    begin = max(float(clip.times[0]), first - card.warmup_steps * period)
    return [times for phase in range(phases)
            if len(times := np.arange(begin + phase * period / phases, last + 1e-6, period))]


@torch.inference_mode()
def _logits(clip: Clip, times: NDArray[np.float64], network: OnlineNetwork, card: ModelCard
            ) -> NDArray[np.float32]:
    """[T, K] of the clip's frames at `times`, from an empty cache."""
    pre = Preprocessor(card)
    images = clip.read(frame_numbers(clip, times, card.background).tolist())
    inputs = np.stack([pre(image).copy() for image in images])
    logits: NDArray[np.float32] = network(torch.from_numpy(inputs)[None])[0].numpy()
    return logits


def read_answers(table: Path, clips: Sequence[Clip]) -> list[Answer]:
    """Another recogniser's answers to the same clips, to compare with.

    CSV with the columns file, first, second, third; `file` as in the clips' own table, of which
    the last part counts. Raises DataError.
    """
    said = {Path(row["file"]).name: (row["first"], row["second"], row["third"])
            for row in rows_of(table, ("file", "first", "second", "third"))}
    missing = [clip.name for clip in clips if clip.name not in said]
    if missing:
        raise DataError(f"{table} has no answer to {missing[0]}")
    return [Answer(clip.name, event.label, said[clip.name])
            for clip in clips for event in clip.events]


def write_answers(path: Path, answers: Sequence[Answer]) -> None:
    """The first three labels of each clip, beside the true one."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label", "first", "second", "third"))
        writer.writerows((answer.name, answer.label, *answer.ranking[:3]) for answer in answers)
