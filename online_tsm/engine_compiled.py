"""The torch engine with its kernels fused by TorchInductor (`torch.compile`).

A step of the eager network is a row of small kernels, most of which only add a bias, clamp, gather
or scatter. Compiled, these join their neighbours. On CUDA the compiled step is then captured as the
eager one is. Compiling takes tens of seconds for each number of streams; Inductor keeps what it has
compiled, in its own place, so that later starts are faster.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from models.card import ModelCard
from models.network import OnlineNetwork
from online_tsm.engine import EngineError
from online_tsm.engine_torch import Run, TorchEngine

log = logging.getLogger(__name__)

OPTIONS: dict[str, Any] = {"triton.cudagraphs": False}  # whatever a user's variables say:
# `captured` does that, with our buffers
COMPILATIONS = 128  # of the step, kept in one process; torch's own limit is 8
NOISY = ("torch._dynamo", "torch._functorch", "torch._inductor")  # loggers


def missing(device: str) -> str:
    """What keeps the step from being compiled for `device`, "cpu" or "cuda", and what to do, as a
    sentence; "" if nothing is known to."""
    instead = "or use --engine torch"
    if device == "cuda":
        if importlib.util.find_spec("triton") is None:
            return ("the engine compiled needs Triton on an NVIDIA GPU: pip install triton (on "
                    f"Windows triton-windows), {instead}")
        if sys.platform != "win32" and not _found(os.environ.get("CC"), "gcc", "clang"):
            return ("the engine compiled needs a C compiler for Triton's launchers, and none was "
                    f"found; install gcc and Python's headers (python3-dev), {instead}")
        return ""
    usual = {"win32": "cl", "darwin": "clang++"}.get(sys.platform, "g++")
    if not _found(os.environ.get("CXX") or usual):
        return (f"the engine compiled needs the C++ compiler {os.environ.get('CXX') or usual} on "
                f"the CPU, which was not found; install it, {instead}")
    return ""


def _found(*programs: str | None) -> bool:
    return any(shutil.which(program) for program in programs if program)


class CompiledEngine(TorchEngine):
    """A loaded network, its step compiled. The first step is done, and compiled, when it opens."""

    name = "compiled"
    _first_rows = 128  # more than a stream has phases, for a bank that grew is compiled for anew
    _reference = False

    def __init__(self, network: OnlineNetwork, card: ModelCard, device: str = "cpu",
                 threads: int | None = None, note: str = "", *, precision: str = "fp32") -> None:
        """As `TorchEngine`. Raises EngineError where the step cannot be compiled."""
        super().__init__(network, card, device, threads, note, precision=precision)
        log.warning("compiling the network, which takes a while, the longest at the first time")
        self.step(np.zeros((1, 3, *card.input_size), np.float32), [self.open_state()])

    @staticmethod
    def _played(run: Run, device: str) -> Run:
        with _compiling():
            fused: Run = torch.compile(run, fullgraph=True, dynamic=False, options=OPTIONS)
            fused()  # here it is compiled, so neither while it is captured nor in a later step
            return TorchEngine._played(fused, device)


@contextmanager
def _compiling() -> Iterator[None]:
    """Quiet, and with one sentence for all that can go wrong in torch.compile: EngineError."""
    import torch._dynamo
    import torch._inductor  # so that their loggers have the levels which are put back

    loggers = [logging.getLogger(name) for name in NOISY]
    levels = [logger.level for logger in loggers]
    torch._dynamo.config.recompile_limit = COMPILATIONS
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # of the compiler, of Triton, of a capture: of many types
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        words = " ".join([f"{type(error).__name__}:", *lines[:2]])[:200]
        raise EngineError(f"the network could not be compiled here ({words}). If it lacks a "
                          "compiler, install one for C and C++ and Python's headers (Debian: g++ "
                          "python3-dev); else use --engine torch") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
