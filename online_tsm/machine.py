"""What a measurement ran on: the engine, the versions really loaded, the CPU and the GPUs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from online_tsm.engine import Engine

TIMEOUT_S = 5.0  # for a tool of the system to answer
# module, and what people call it; only those that are loaded count, and none is loaded for this
PACKAGES = {"numpy": "numpy", "cv2": "opencv", "onnxruntime": "onnxruntime", "openvino": "openvino",
            "torch": "torch", "PIL": "pillow"}


def machine_info(engine: Engine | None = None) -> dict[str, Any]:
    """Plain values for a report: what the engine says of itself, versions, processor names."""
    info: dict[str, Any] = {}
    if engine is not None:
        info["model"] = engine.card.name
        for key in ("name", "provider", "device", "precision", "threads"):
            info["engine" if key == "name" else key] = getattr(engine, key)
    versions = {"python": platform.python_version()}
    for module, package in PACKAGES.items():
        if module in sys.modules:
            versions[package] = str(getattr(sys.modules[module], "__version__", "unknown"))
    return {**info, "versions": versions, "cpu": cpu_name(), "cores": os.cpu_count() or 0,
            "gpus": gpu_names(), "system": platform.platform()}


def cpu_name() -> str:
    """The processor's name as its maker writes it, or else what the system calls it."""
    found = ""
    if sys.platform == "win32":
        found = _windows_cpu()
    elif sys.platform == "darwin":
        found = _output(["sysctl", "-n", "machdep.cpu.brand_string"])
    else:
        try:
            text = Path("/proc/cpuinfo").read_text(errors="replace")
        except OSError:
            text = ""  # a system without /proc; platform knows a little
        fields = dict(re.findall(r"^(\S[^:\n]*?)\s*:\s*(.+)$", text, re.MULTILINE))
        found = fields.get("model name") or fields.get("Model") or ""
    return found or platform.processor() or platform.machine() or "unknown"


def gpu_names() -> list[str]:
    """Names of the NVIDIA GPUs with their driver; empty where the driver's tool is not there."""
    if shutil.which("nvidia-smi") is None:
        return []
    listed = _output(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"])
    return [", driver ".join(part.strip() for part in line.split(","))
            for line in listed.splitlines() if line.strip()]


def _output(command: list[str]) -> str:
    """What a command prints, or nothing if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True,
                              timeout=TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _windows_cpu() -> str:
    if sys.platform != "win32":
        return ""
    import winreg

    path = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
        return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
