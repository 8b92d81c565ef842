"""Everything about one network on this machine: times, ratios, faithfulness, distance to the limit.

Anchors and candidates share the network, the frames and the process.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import torch

from models.card import ModelCard
from models.checkpoints import load_model
from online_tsm.anchors import anchors
from online_tsm.engine import (
    DeviceName,
    Engine,
    EngineError,
    EngineName,
    Precision,
    nvidia_visible,
    open_engine,
)
from online_tsm.faithful import (
    Faithfulness,
    compared,
    eager_logits,
    engine_logits,
    network_inputs,
)
from online_tsm.graphs import open_graph
from online_tsm.roofline import Count, Peaks, count, least_s, measured_peaks
from online_tsm.rounds import PERIOD_S, Block, Candidate, Images, figures, ratio, timed
from online_tsm.stream import Stream, step_streams

log = logging.getLogger(__name__)

GRAPH_ENGINES = ("onnxruntime", "openvino")  # that run any ONNX form of a network on a CPU
Runtime = tuple[EngineName, DeviceName, Precision]  # engine, device, precision


@dataclass(frozen=True)
class Plan:
    """What is measured of each network."""

    frames: Images
    threads: Sequence[int]
    streams: Sequence[int]
    engines: Sequence[Runtime]
    graphs: Sequence[Path]  # other ONNX forms of the same network, such as INT8
    rounds: int
    block: int
    paced: bool


def usable(path: Path, names: Collection[EngineName] | None = None) -> list[Runtime]:
    """Every engine that is installed and granted here, or those of `names`, found by opening each
    for the model. On a CPU "compiled" must be named."""
    wanted: list[Runtime] = [("onnxruntime", "cpu", "fp32"), ("torch", "cpu", "fp32")]
    if names is not None:
        wanted.append(("compiled", "cpu", "fp32"))
    if importlib.util.find_spec("openvino") is not None:
        wanted += [("openvino", "cpu", "fp32"), ("openvino", "cpu", "bf16")]
    if nvidia_visible():
        wanted += [("onnxruntime", "cuda", "fp32"), ("torch", "cuda", "fp32"),
                   ("torch", "cuda", "bf16"), ("torch", "cuda", "fp16")]
        if importlib.util.find_spec("tensorrt") is not None:
            wanted += [("tensorrt", "cuda", "fp32"), ("tensorrt", "cuda", "fp16")]
        if importlib.util.find_spec("triton") is not None:
            wanted += [("compiled", "cuda", "fp32"), ("compiled", "cuda", "bf16"),
                       ("compiled", "cuda", "fp16")]
    found = []
    for engine, device, precision in wanted:
        if names is not None and engine not in names:
            continue
        try:
            open_engine(path, engine, device, 1, precision=precision)
        except EngineError as error:
            log.warning("not measured: %s", error)
        else:
            found.append((engine, device, precision))
    return found


class OwnStreams:
    """A candidate's `run`: our own streams on one engine, each with one cache."""

    def __init__(self, engine: Engine, streams: int) -> None:
        self._streams = [Stream(engine, phases=1) for _ in range(streams)]
        self._step_s = 1 / engine.card.frame_rate
        self._frames = 0

    def __call__(self, images: Images) -> Mapping[str, float]:
        self._frames += 1
        times = [self._frames * self._step_s] * len(images)
        predictions = step_streams(self._streams, images, times)
        return {**predictions[0].stages,
                **{stage: sum(p.stages[stage] for p in predictions)
                   for stage in ("preprocess", "smoothing")}}


def measure(path: Path, plan: Plan,
            peaks: Callable[[str, int, str], Peaks | None] = measured_peaks) -> dict[str, Any]:
    """Everything about one network, as plain values. Durations in ms, as the keys say."""
    network, card = load_model(path)
    counted = count(open_graph(path, card, lambda: network, lambda graph: graph))
    inputs = network_inputs(card, plan.frames)
    reference = eager_logits(network, inputs)
    candidates: list[Candidate] = []
    faithful: dict[str, Faithfulness] = {}
    for threads in plan.threads:
        for device, streams in itertools.product(sorted(_devices(plan, threads)), plan.streams):
            candidates += anchors(network, card, threads, streams, device)
        for engine in _engines(path, plan, threads):
            same = compared(engine_logits(engine, inputs), reference)
            for streams in plan.streams:
                candidate = candidate_of(engine, streams)
                candidates.append(candidate)
                faithful[candidate.name] = same
    hot = timed(candidates, plan.frames, plan.rounds, plan.block)
    steps = [c for c in candidates if c.anchor in ("", "eager")]
    paced = timed(steps, plan.frames, plan.rounds, plan.block,
                  period_s=PERIOD_S) if plan.paced else {}
    limits = {key: peaks(*key) for key in sorted({_peaks_key(c) for c in candidates})}
    times = _Times(candidates, hot, paced)
    rows = [{**times.row(c), "faithful": _plain(faithful.get(c.name)),
             "limit": _limit(c, counted, limits, hot[c.name])} for c in candidates]
    return {**_facts(card, counted), "rows": rows, "peaks": [
        {"precision": p, "threads": t, "device": device, **asdict(found)}
        for (p, t, device), found in limits.items() if found is not None]}


def _facts(card: ModelCard, counted: Count) -> dict[str, Any]:
    return {"name": card.name, "input_size": list(card.input_size), "macs": counted.macs,
            "weights": counted.weights, "state_bytes": 4 * counted.state, "nodes": counted.nodes,
            "traffic_bytes": 4 * counted.elements, "measured": dict(card.measured)}


def _devices(plan: Plan, threads: int) -> set[str]:
    """Those that anchors are needed on; a GPU knows no threads."""
    return {device for _, device, _ in plan.engines
            if device == "cpu" or threads == plan.threads[0]} | {"cpu"}


def _engines(path: Path, plan: Plan, threads: int) -> Iterator[Engine]:
    for name, device, precision in plan.engines:
        if device in _devices(plan, threads):
            yield open_engine(path, name, device, threads, precision=precision)
    for graph in plan.graphs:
        for name, device, precision in plan.engines:
            if name in GRAPH_ENGINES and (device, precision) == ("cpu", "fp32"):
                yield open_engine(graph, name, "cpu", threads)


def candidate_of(engine: Engine, streams: int) -> Candidate:
    """Our own way of running an engine, for so many streams at once."""
    where = "" if engine.device == "cpu" else f" {engine.device}"
    name = f"{engine.name}{where} {engine.precision}, {_count(engine.threads, 'thread')}"
    if streams > 1:
        name += f", {streams} streams"
    return Candidate(name, engine.name, engine.threads, streams, OwnStreams(engine, streams),
                     functools.partial(_set_threads, engine.threads), engine.precision,
                     device=engine.device)


def _set_threads(threads: int) -> None:
    """For what is set for a whole process: torch, and OpenCV's resize."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


@dataclass(frozen=True)
class _Times:
    """All candidates with their blocks, hot and paced (some candidates are too slow for that)."""

    candidates: Sequence[Candidate]
    hot: Mapping[str, list[Block]]
    paced: Mapping[str, list[Block]]

    def row(self, candidate: Candidate) -> dict[str, Any]:
        """One candidate's figures, and how many times faster than the anchors it is."""
        name, streams, paced = candidate.name, candidate.streams, self.paced
        anchors = {c.anchor: c.name for c in self.candidates
                   if c.anchor and (c.streams, c.threads, c.device)
                   == (streams, candidate.threads, candidate.device)}
        return {
            "name": name, "engine": candidate.engine, "device": candidate.device,
            "threads": candidate.threads, "streams": streams, "precision": candidate.precision,
            "anchor": candidate.anchor, "hot": figures(self.hot[name], streams),
            "paced": figures(paced[name], streams) if name in paced else None,
            "ratios": {kind: ratio(self.hot[anchor], self.hot[name])
                       for kind, anchor in anchors.items()},
        }


def _plain(faithful: Faithfulness | None) -> dict[str, Any] | None:
    return None if faithful is None else {**asdict(faithful), "faithful": faithful.faithful}


def _peaks_key(candidate: Candidate) -> tuple[str, int, str]:
    """Precision, threads, device."""
    return candidate.precision, candidate.threads, candidate.device


def _limit(candidate: Candidate, counted: Count,
           limits: Mapping[tuple[str, int, str], Peaks | None], hot: Sequence[Block]
           ) -> dict[str, float] | None:
    """The least time of a pass, and how many times that the network's stage took; None where it
    took less: then the peaks were measured while others had the cores."""
    peaks = limits[_peaks_key(candidate)]
    if peaks is None or candidate.anchor.startswith("window"):
        return None
    compute, roofline = least_s(counted, peaks, candidate.precision, candidate.streams)
    network = figures(hot)["stages_ms"]["network"]
    if network < roofline * 1e3:
        log.warning("%s took less than the limit: that was measured on a busy machine and is left "
                    "out", candidate.name)
        return None
    return {"compute_ms": compute * 1e3, "roofline_ms": roofline * 1e3,
            "times_roofline": network / (roofline * 1e3)}


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("s" if number > 1 else "")
