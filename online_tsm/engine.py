"""What executes the network: (inputs, states) to (logits, new states), and nothing else.

Imports neither torch nor ONNX Runtime until an engine is opened, and torch only for one that
needs it.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from models.card import ModelCard
from models.checkpoints import load_model, read_card, resolve, warn_of_lost_future

log = logging.getLogger(__name__)

State = Any  # what one stream's one phase keeps; only the engine that made it can read it
Array = NDArray[np.float32]
EngineName = Literal["auto", "compiled", "onnxruntime", "openvino", "tensorrt", "torch"]
DeviceName = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "bf16", "fp16"]

HALF = {"bf16": "openvino or torch or compiled",  # engines that compute so
        "fp16": "torch or compiled or tensorrt"}

GPU_RUNTIME = '"onnxruntime-gpu[cuda,cudnn]==1.31.1"'  # with the CUDA and cuDNN wheels
NO_GPU = ("no NVIDIA GPU or driver is visible here, so CUDA cannot be used; use --device cpu, or "
          "install the driver and see that `nvidia-smi` lists the GPU")
TORCH_WITHOUT_CUDA = ("this installation of torch cannot use the NVIDIA GPU; install a build with "
                      "CUDA (https://pytorch.org/get-started/locally)")


class EngineError(RuntimeError):
    """An engine that cannot be opened or fed; the message says why and what to do."""


class Engine(Protocol):
    """One network on one device. It holds no stream's memory: states go in and come out.

    One thread at a time: a step uses buffers of the engine. Threads that step at once need an
    engine each, or a lock around their steps.
    """

    card: ModelCard
    name: str  # "compiled", "onnxruntime", "openvino", "tensorrt" or "torch"
    device: str  # "cpu" or "cuda"
    provider: str  # "OpenVINO", "torch", or what ONNX Runtime calls its own
    precision: str  # "fp32", "bf16", "fp16" or, for such a graph, "int8"
    threads: int  # CPU threads of one step
    shifted_blocks: int  # after this many steps nothing is left of an older state
    note: str  # one line for the user: what `auto` took, and what would mend a missing GPU

    def open_state(self) -> State:
        """The state of one stream before its first frame: zeros."""

    def step(self, inputs: Array, states: Sequence[State]) -> tuple[Array, list[State]]:
        """One pass for N streams: inputs [N, 3, h, w] and N states to logits [N, K], N new states.

        The given states stay as they are, so a caller may step from one twice. Raises EngineError
        where the shapes do not fit.
        """


def open_engine(
    model: str | Path, engine: EngineName = "auto", device: DeviceName = "auto",
    threads: int | None = None, *, precision: Precision = "fp32",
    overrides: Mapping[str, Any] | None = None, card_file: Path | None = None, trust: bool = False,
) -> Engine:
    """The engine for a model's name or file.

    "auto" takes what the benchmark suggested for this machine, if it was asked to; else CUDA where
    it is really granted (ONNX Runtime's, else torch's) and otherwise ONNX Runtime on the CPU with
    one thread: with two it is no faster at a camera's pace, and its waiting burns a core.
    TensorRT, which first builds its engines for minutes, and "compiled", which is torch and first
    fuses its kernels for tens of seconds, are never taken by themselves.
    `threads` None is torch's own choice for torch, and one for the others. "bf16" is for OpenVINO
    and on CUDA for torch, compiled or not, "fp16" for these and for TensorRT: faster and less
    exact, so never taken by themselves.
    `overrides`, `card_file` and `trust` go to the loading of the model. Raises EngineError,
    CheckpointError or CardError. Warns of a network that was trained with a shift both ways.
    """
    _check_choice("engine", engine, get_args(EngineName))
    _check_choice("device", device, get_args(DeviceName))
    _check_choice("precision", precision, get_args(Precision))
    if precision != "fp32" and engine not in HALF[precision].split(" or "):
        raise EngineError(f"the precision {precision} needs --engine {HALF[precision]}; the others "
                          "compute in fp32 here")
    if threads is not None and threads < 1:
        raise EngineError(f"threads is {threads}; an engine needs at least 1")
    path = resolve(model)
    given: dict[str, Any] = {"overrides": overrides, "card_file": card_file, "trust": trust}
    if engine == device == "auto" and threads is None:
        suggested = _open_suggested(path, given)
        if suggested is not None:
            return suggested
    opened = _open(path, engine, device, threads, precision=precision, given=given)
    warn_of_lost_future(opened.card, path.name)
    return opened


def _open(path: Path, engine: EngineName, device: DeviceName, threads: int | None, *,
          precision: Precision, given: Mapping[str, Any]) -> Engine:
    load = functools.partial(load_model, path, **given)
    if engine == "openvino":
        return _open_openvino(path, given, device, threads, precision)
    if engine in ("torch", "compiled"):
        if path.suffix.lower() == ".onnx":
            raise EngineError(f"{path.name} is an ONNX file, which the engine {engine} cannot run; "
                              "use --engine onnxruntime")
        return _open_torch(load, device, threads, precision, compiled=engine == "compiled")
    gpu = nvidia_visible()
    if (device == "cuda" or engine == "tensorrt") and not gpu:
        raise EngineError(NO_GPU)
    if engine == "tensorrt":
        return _open_tensorrt(path, given, device, threads, precision)

    from online_tsm.engine_onnx import CPU, CUDA, open_onnx

    card = read_card(path, **given)
    wanted = CUDA if gpu and device != "cpu" else CPU
    opened = open_onnx(path, card, wanted, threads, lambda: load()[0])
    if gpu and device != "cpu" and opened.device == "cpu":
        if engine == "auto" and path.suffix.lower() != ".onnx" and torch_cuda():
            served = _open_torch(load, "cuda", threads)
            served.note = f"torch on the NVIDIA GPU; ONNX Runtime was not granted it. {mend()}"
            return served
        if device == "cuda":
            raise EngineError(f"ONNX Runtime was not granted the NVIDIA GPU. {mend()}")
    if device == "auto":
        opened.note = _taken(opened, gpu)
    return opened


def nvidia_visible() -> bool:
    """Whether an NVIDIA GPU's driver shows itself, without loading anything of it.

    Asking ONNX Runtime is no test: it lists CUDA on every machine, and trying prints errors.
    """
    if sys.platform == "darwin":
        return False
    if sys.platform == "win32":
        return Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "nvcuda.dll").exists()
    signs = ("/dev/nvidiactl", "/dev/nvidia0", "/proc/driver/nvidia/version",
             "/usr/lib/wsl/lib/libcuda.so.1")
    return any(Path(sign).exists() for sign in signs) or shutil.which("nvidia-smi") is not None


def torch_cuda() -> bool:
    """Whether torch is installed and can use CUDA. Imports torch."""
    if importlib.util.find_spec("torch") is None:
        return False
    from online_tsm.engine_torch import cuda_granted

    return cuda_granted()


def mend() -> str:
    """The command that gives ONNX Runtime its CUDA, for this installation."""
    from online_tsm.engine_onnx import built_for_cuda

    install = f"pip install {GPU_RUNTIME}"
    if not built_for_cuda():
        install = f"pip uninstall -y onnxruntime && {install}"
    return (f"To mend it: {install} (its CUDA and cuDNN are then loaded by "
            "onnxruntime.preload_dlls(); the driver must know CUDA 13)")


def _taken(engine: Engine, gpu: bool) -> str:
    if engine.device == "cuda":
        return "ONNX Runtime on the NVIDIA GPU"
    note = f"ONNX Runtime on the CPU, {engine.threads} thread{'s' if engine.threads > 1 else ''}"
    return f"{note}; an NVIDIA GPU is present but was not granted. {mend()}" if gpu else note


def check_step(inputs: Any, states: Sequence[State], size: tuple[int, int]) -> None:
    """Raises EngineError unless `inputs` (an array or a torch tensor) is float32 [N, 3, *size] and
    there are N states."""
    is_float32 = inputs.dtype == np.float32 or str(inputs.dtype) == "torch.float32"
    if not is_float32 or inputs.ndim != 4 or inputs.shape[1:] != (3, *size):
        raise EngineError(f"a step needs inputs float32 [N, 3, {size[0]}, {size[1]}], got "
                          f"{inputs.dtype} {list(inputs.shape)}")
    if len(inputs) != len(states) or not states:
        raise EngineError(f"a step needs one state an input, got {len(states)} states for "
                          f"{len(inputs)} inputs")


def _open_suggested(path: Path, given: Mapping[str, Any]) -> Engine | None:
    """What the benchmark suggested for this machine; None without that, or where it fails."""
    from online_tsm.suggestion import kept

    found = kept()
    if found is None:
        return None
    try:
        opened = open_engine(path, found.engine, found.device, found.threads, **given)
    except EngineError as error:
        log.warning("the benchmark suggested %s, which cannot be used: %s", found.engine, error)
        return None
    opened.note = (f"{found.engine} on {found.device}, {found.threads} "
                   f"thread{'s' if found.threads > 1 else ''}, as the benchmark suggested")
    return opened


def _open_openvino(path: Path, given: Mapping[str, Any], device: str, threads: int | None,
                   precision: str) -> Engine:
    if importlib.util.find_spec("openvino") is None:
        raise EngineError("the engine openvino needs the package openvino: pip install openvino")
    if device == "cuda":
        raise EngineError("OpenVINO cannot use an NVIDIA GPU; use --device cpu, or --engine "
                          "onnxruntime")
    from online_tsm.engine_openvino import open_openvino

    return open_openvino(path, read_card(path, **given), precision, threads,
                         lambda: load_model(path, **given)[0])


def _open_tensorrt(path: Path, given: Mapping[str, Any], device: str, threads: int | None,
                   precision: str) -> Engine:
    if device == "cpu":
        raise EngineError("TensorRT runs on an NVIDIA GPU alone; use --device cuda, or another "
                          "--engine")
    if importlib.util.find_spec("tensorrt") is None:
        raise EngineError("the engine tensorrt needs the package tensorrt: pip install tensorrt")
    importlib.import_module("tensorrt")  # loads the libraries that ONNX Runtime then finds
    from online_tsm.engine_onnx import TENSORRT, open_onnx

    opened = open_onnx(path, read_card(path, **given), TENSORRT, threads,
                       lambda: load_model(path, **given)[0], precision=precision)
    if opened.provider != TENSORRT:
        raise EngineError("ONNX Runtime was not granted TensorRT: the versions of tensorrt and "
                          f"onnxruntime-gpu must fit each other. {mend()}")
    return opened


def _open_torch(load: Callable[..., tuple[Any, ModelCard]], device: str, threads: int | None,
                precision: str = "fp32", *, compiled: bool = False) -> Engine:
    """`load(device)` gives the network and its card."""
    chosen = _torch_device(device, precision)
    from online_tsm.engine_torch import TorchEngine

    kind = TorchEngine
    if compiled:
        from online_tsm.engine_compiled import CompiledEngine, missing

        kind = CompiledEngine
        if lacking := missing(chosen):
            raise EngineError(lacking)
    network, card = load(chosen)
    note = (f"torch{', compiled,' if compiled else ''} on the "
            f"{'NVIDIA GPU' if chosen == 'cuda' else 'CPU'}" if device == "auto" else "")
    return kind(network, card, chosen, threads, note, precision=precision)


def _torch_device(device: str, precision: str) -> str:
    """The device that torch takes, "cpu" or "cuda". Raises EngineError."""
    if importlib.util.find_spec("torch") is None:
        raise EngineError("this engine needs the package torch: pip install torch")
    from online_tsm.engine_torch import cuda_granted

    if device == "cuda" and not cuda_granted():
        raise EngineError(TORCH_WITHOUT_CUDA if nvidia_visible() else NO_GPU)
    chosen = "cuda" if device == "cuda" or (device == "auto" and cuda_granted()) else "cpu"
    if chosen == "cpu" and precision != "fp32":  # slower there than fp32
        raise EngineError(f"torch computes in {precision} on an NVIDIA GPU alone, which was not "
                          "granted or asked for; use --device cuda, or --precision fp32")
    return chosen


def _check_choice(flag: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise EngineError(f"unknown {flag} {value!r}; known: {', '.join(known)}")
