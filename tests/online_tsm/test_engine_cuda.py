"""Engines on an NVIDIA GPU, and what is said where there is none or it is not granted."""

from __future__ import annotations

import numpy as np
import pytest
from fresh_python import python
from gpu_marks import needs_gpu, needs_no_gpu
from tiny_streams import logits_of

from online_tsm import engine as engines
from online_tsm.engine import EngineError, open_engine

pytestmark = pytest.mark.usefixtures("in_shared_cache")


@needs_no_gpu
@pytest.mark.parametrize("engine", ["auto", "onnxruntime", "tensorrt", "torch"])
def test_cuda_without_a_gpu_is_an_error_that_says_so(checkpoint, engine):
    with pytest.raises(EngineError, match="no NVIDIA GPU"):
        open_engine(checkpoint, engine, "cuda")


@needs_no_gpu
def test_torch_computes_in_half_precision_on_a_gpu_alone(checkpoint):
    with pytest.raises(EngineError, match="fp16 on an NVIDIA GPU alone"):
        open_engine(checkpoint, "torch", "cpu", precision="fp16")


MENDED = 'pip install "onnxruntime-gpu[cuda,cudnn]==1.31.1"'


@needs_no_gpu
def test_a_gpu_that_is_not_granted_is_explained_quietly(graph_file):
    # The driver shows itself, but the CUDA libraries do not load: real ONNX Runtime, real failure.
    code = ("from online_tsm import engine\n"
            "engine.nvidia_visible = lambda: True\n"
            f"opened = engine.open_engine({str(graph_file)!r})\n"
            "print(opened.device, opened.provider)\n"
            "print(opened.note)\n"
            f"try: engine.open_engine({str(graph_file)!r}, device='cuda')\n"
            "except engine.EngineError as error: print(error)\n")
    done = python(code)
    assert done.stderr == ""  # none of ONNX Runtime's red lines
    device, note, refused = done.stdout.splitlines()
    assert device == "cpu CPUExecutionProvider"
    assert note.startswith("ONNX Runtime on the CPU, 1 thread; an NVIDIA GPU is present")
    assert refused.startswith("ONNX Runtime was not granted the NVIDIA GPU")
    for line in (note, refused):
        assert MENDED in line
        assert "preload_dlls()" in line


@needs_no_gpu
def test_torch_serves_where_onnxruntime_has_no_cuda(checkpoint, monkeypatch):
    # No GPU here: torch is only told that it has one, and then loads onto the CPU.
    monkeypatch.setattr(engines, "nvidia_visible", lambda: True)
    monkeypatch.setattr(engines, "torch_cuda", lambda: True)
    asked = []

    def on_cpu(load, device, threads, precision="fp32"):
        asked.append(device)
        network, card = load("cpu")
        from online_tsm.engine_torch import TorchEngine
        return TorchEngine(network, card, "cpu", threads)

    monkeypatch.setattr(engines, "_open_torch", on_cpu)
    engine = open_engine(checkpoint)
    assert (engine.name, asked) == ("torch", ["cuda"])
    assert engine.note.startswith("torch on the NVIDIA GPU; ONNX Runtime was not granted it.")
    assert MENDED in engine.note


@needs_no_gpu
@pytest.mark.parametrize(("device", "named"), [
    ("cpu", "TensorRT runs on an NVIDIA GPU alone"), ("cuda", "pip install tensorrt")])
def test_what_tensorrt_lacks_is_named(checkpoint, monkeypatch, device, named):
    monkeypatch.setattr(engines, "nvidia_visible", lambda: True)
    with pytest.raises(EngineError, match=named):
        open_engine(checkpoint, "tensorrt", device)


@needs_gpu
@pytest.mark.parametrize("engine", ["onnxruntime", "tensorrt", "torch"])
def test_cuda_agrees_with_the_cpu(checkpoint, engine):
    try:
        on_gpu = open_engine(checkpoint, engine, "cuda")
    except EngineError as error:
        pytest.skip(str(error))
    assert on_gpu.device == "cuda"
    on_cpu = open_engine(checkpoint, engine, "cpu")
    assert np.abs(logits_of(on_gpu, 12) - logits_of(on_cpu, 12)).max() < 5e-4
