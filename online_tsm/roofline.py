"""The limit: what a network asks of a machine, and the least time the machine needs for it.

MACs and bytes are counted from the ONNX graph; peaks are measured. The roofline (Williams et al.,
2009) of a layer is the longer of its arithmetic at the matmul peak and its traffic at the copy
bandwidth for that many bytes.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch

from online_tsm.engine_torch import captured

PRECISION_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
MATMUL_SIDES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192)}
COPY_BYTES = (1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26)  # read and written together
PEAK_S = 0.15  # of trying, for each size
GPU_REPEATS = 20  # works one after the other, before the GPU is waited for
LAYERS = ("Conv", "Gemm", "MatMul")
FREE = ("BatchNormalization", "Clip", "Relu", "Constant", "Identity", "Flatten", "Unsqueeze")


@dataclass(frozen=True)
class Layer:
    """One node, for one stream: multiply-accumulates, and elements read or written. Its weights
    are read once for all streams of a pass."""

    name: str
    kind: str
    macs: int
    elements: int
    weights: int = 0


@dataclass(frozen=True)
class Count:
    """What a graph does in one step of one stream."""

    layers: tuple[Layer, ...]
    nodes: int
    weights: int  # elements
    state: int  # elements

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def elements(self) -> int:
        """Read or written, weights among them."""
        return sum(layer.elements + layer.weights for layer in self.layers)


@dataclass(frozen=True)
class Peaks:
    """A machine's measured best: MACs a second, and bytes a second by bytes moved at a time."""

    macs_per_s: float
    bytes_per_s: dict[int, float]

    def bandwidth(self, size: int) -> float:
        """Bytes a second when about `size` bytes are moved at a time."""
        near = min(self.bytes_per_s, key=lambda known: abs(math.log(known / max(size, 1))))
        return self.bytes_per_s[near]


def count(graph: Path | bytes) -> Count:
    """Counts a stateful graph with a batch of one. Elementwise nodes that every runtime fuses
    into a convolution count for nothing."""
    model = (onnx.load_model_from_string(graph) if isinstance(graph, bytes)
             else onnx.load(str(graph), load_external_data=False))
    for value in (*model.graph.input, *model.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if not first.dim_value:
            first.dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
              for value in (*inferred.input, *inferred.value_info, *inferred.output)}
    weights = {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    shapes.update(weights)
    layers = [_layer(node, shapes, weights) for node in inferred.node
              if node.op_type not in FREE]
    state = sum(math.prod(shapes[value.name]) for value in inferred.input[1:]
                if value.name not in weights)
    return Count(tuple(layers), len(inferred.node), sum(map(math.prod, weights.values())), state)


def least_s(counted: Count, peaks: Peaks, precision: str = "fp32", streams: int = 1
            ) -> tuple[float, float]:
    """The least seconds of a pass: by arithmetic alone, and by the roofline of each layer."""
    width = PRECISION_BYTES[precision]
    compute = counted.macs * streams / peaks.macs_per_s
    roofline = 0.0
    for layer in counted.layers:
        size = (layer.elements * streams + layer.weights) * width
        roofline += max(layer.macs * streams / peaks.macs_per_s, size / peaks.bandwidth(size))
    return compute, roofline


def measured_peaks(precision: str, threads: int, device: str = "cpu") -> Peaks | None:
    """This machine's peaks with so many threads; None where torch cannot multiply in that
    precision here, or only slower than in float32, or has not the device."""
    torch.set_num_threads(threads)
    try:
        macs = _matmul_peak(precision, device)
        if precision != "fp32" and macs < _matmul_peak("fp32", device):
            return None  # a stopgap of torch, and no limit of the machine
        return Peaks(macs, {size: size / _fastest(_copy(size, device), device)
                            for size in COPY_BYTES})
    except (RuntimeError, AssertionError):  # no such kernel on this processor; torch without CUDA
        return None


def _matmul_peak(precision: str, device: str) -> float:
    """MACs a second of torch's best product of two matrices."""
    types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    multiply = (functools.partial(_int8_matmul, device=device) if precision == "int8" else
                functools.partial(_float_matmul, kind=types[precision], device=device))
    return max(side ** 3 / _fastest(multiply(side), device) for side in MATMUL_SIDES[device])


def _layer(node: Any, shapes: dict[str, list[int]], weights: Collection[str]) -> Layer:
    sizes = {name: math.prod(shapes[name]) for name in (*node.input, *node.output)
             if name in shapes}
    constant = sum(size for name, size in sizes.items() if name in weights)
    macs = 0
    if node.op_type in LAYERS:
        weight = shapes[node.input[1]]
        outputs = math.prod(shapes[node.output[0]])
        # Each output is a sum over the weights of its own channel.
        macs = outputs * (math.prod(weight[1:]) if node.op_type == "Conv" else
                          math.prod(weight) // shapes[node.output[0]][-1])
    return Layer(node.name, node.op_type, macs, sum(sizes.values()) - constant, constant)


def _fastest(work: Callable[[], object], device: str) -> float:
    """The shortest of several runs, s. On a GPU a run is a row of them in one graph, for to queue
    a small copy, and to wait for its end, takes longer than the copy."""
    repeats = GPU_REPEATS if device == "cuda" else 1

    def row() -> None:
        for _ in range(repeats):
            work()

    play = captured(row) if device == "cuda" else row

    def run() -> None:
        play()
        if device == "cuda":
            torch.cuda.synchronize()

    run()
    best, ends = math.inf, time.perf_counter() + PEAK_S
    while time.perf_counter() < ends:
        started = time.perf_counter()
        run()
        best = min(best, (time.perf_counter() - started) / repeats)
    return best


def _float_matmul(side: int, kind: torch.dtype, device: str) -> Callable[[], object]:
    one, out = (torch.ones(side, side, dtype=kind, device=device) for _ in range(2))
    return lambda: torch.mm(one, one, out=out)


def _int8_matmul(side: int, device: str) -> Callable[[], object]:
    one = torch.ones(side, side, dtype=torch.int8, device=device)
    return lambda: torch._int_mm(one, one)


def _copy(size: int, device: str) -> Callable[[], object]:
    """Moves `size` bytes in all, half of them reads."""
    source, target = (torch.ones(size // 2, dtype=torch.uint8, device=device) for _ in range(2))
    return lambda: target.copy_(source)
