"""What a network says to single clips: logits at the card's rate, brought to one answer."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
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

Reduction = Literal["mean", "peak", "last", "spread"]
REDUCTIONS: dict[Reduction, str] = {
    "mean": "mean logits of all frames, at the card's rate",
    "peak": "the clearest half second, at the card's rate; background where none rises over it",
    "last": "logits of the last frame, at the card's rate",
    "spread": "mean logits of 8 frames spread over the clip, whatever the rate",
}
PEAK_S = 0.5  # a moment, as long as a live stream would average over
SPREAD = 8  # frames, as the published figures on Jester


def clip_answers(clips: Iterable[Clip], network: OnlineNetwork, card: ModelCard,
                 reduction: Reduction, left_out: Sequence[str] = ()) -> list[Answer]:
    """One answer for every event of every clip; labels in `left_out` are never said."""
    masked = np.isin(card.labels, left_out)
    answers = []
    for clip in clips:
        for event in clip.events:
            logits = _event_logits(clip, event, network, card, reduction)
            order = np.argsort(-np.where(masked, -np.inf, logits), kind="stable")
            ranking = tuple(card.labels[place] for place in order)
            answers.append(Answer(clip.name, event.label, ranking, clip.person))
    return answers


def _event_logits(clip: Clip, event: LabelledEvent, network: OnlineNetwork, card: ModelCard,
                  reduction: Reduction) -> NDArray[np.float32]:
    """[K] over the time in which an answer counts."""
    first, last = judged_span(event)
    if reduction == "spread":
        spread = _logits(clip, np.linspace(first, last, SPREAD), network, card)
        return np.asarray(spread.mean(0))
    rows = sorted(((float(time), row) for times in interleaved(clip, first, last, card)
                   for time, row in zip(times, _logits(clip, times, network, card), strict=True)),
                  key=lambda one: one[0])
    within = [row for time, row in rows if time >= first - 1e-6]
    if reduction == "mean" and within:
        return np.asarray(np.mean(within, axis=0))
    if reduction == "peak":
        return peak(np.array([time for time, _ in rows]), np.array([row for _, row in rows]), card,
                    first)
    return np.asarray(rows[-1][1])


def peak(times: NDArray[np.float64], logits: NDArray[np.float32], card: ModelCard,
         first: float = -np.inf) -> NDArray[np.float32]:
    """Scores [K] of logits [T, K] at growing `times` [T] s, as whoever watches would judge.

    A gesture counts by its clearest moment, however long the hand then rests; background counts
    by its weakest one, since a clip is only that if nothing else ever happens. A moment is the half
    second up to a time; those before `first` (s) do not count, though what was said then does.
    """
    judged = times[times >= min(first, times[-1]) - 1e-6]
    moments = np.array([logits[(times <= time) & (times > time - PEAK_S)].mean(0)
                        for time in judged])
    odds = np.exp(moments - moments.max(1, keepdims=True))
    probabilities = odds / odds.sum(1, keepdims=True)
    calm = np.isin(card.labels, card.background)
    scores = probabilities.max(0)
    shares = probabilities[:, calm].mean(0)
    scores[calm] = probabilities[:, calm].sum(1).min() * shares / max(float(shares.max()), 1e-9)
    return np.asarray(scores, np.float32)


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
    the last part counts. Raises DataError, also where two rows have the same one: files of two
    folders, or two events of a recording.
    """
    said: dict[str, tuple[str, str, str]] = {}
    for row in rows_of(table, ("file", "first", "second", "third")):
        name, told = Path(row["file"] or "").name, (row["first"], row["second"], row["third"])
        if said.setdefault(name, told) != told:
            raise DataError(f"{table} has several answers to {name}, and does not say which of "
                            "them is for which clip; give every clip a name of its own")
    missing = [clip.name for clip in clips if clip.name not in said]
    if missing:
        raise DataError(f"{table} has no answer to {missing[0]}")
    return [Answer(clip.name, event.label, said[clip.name], clip.person)
            for clip in clips for event in clip.events]


def write_answers(path: Path, answers: Sequence[Answer]) -> None:
    """The first three labels of each clip, beside the true one."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label", "first", "second", "third"))
        writer.writerows((answer.name, answer.label, *answer.ranking[:3]) for answer in answers)
