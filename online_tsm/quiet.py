"""Whether other programs compete for the processor, and what a measurement costs in energy."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

PRESSURE = Path("/proc/pressure/cpu")  # Linux 4.20 and later
POWERCAP = Path("/sys/class/powercap")
BUSY_SHARE = 0.01  # of a block: waiting for a core for longer makes it noisy


def waited_s() -> float | None:
    """Seconds so far in which some task of the machine waited for a core; None where the system
    does not count them."""
    try:
        found = re.match(r"some .*total=(\d+)", PRESSURE.read_text())
    except OSError:
        return None
    return int(found[1]) / 1e6 if found else None


def clean(before: float | None, after: float | None, seconds: float) -> bool | None:
    """Whether a block of `seconds` between two readings of `waited_s` had the cores it wanted;
    None where nobody knows."""
    if before is None or after is None:
        return None
    return after - before <= BUSY_SHARE * seconds


def joules() -> dict[str, float]:
    """Energy counters that can be read now: "cpu" (RAPL packages), "gpu" (NVML), in J."""
    found = {"cpu": _rapl(), "gpu": _nvml()}
    return {name: value for name, value in found.items() if value is not None}


def _rapl() -> float | None:
    """All processor packages together; None where the system hides them, as most do from users."""
    try:
        counters = [folder / "energy_uj" for folder in POWERCAP.glob("intel-rapl:?")]
        return sum(int(counter.read_text()) for counter in counters) / 1e6 if counters else None
    except OSError:
        return None


def _nvml() -> float | None:
    """The first NVIDIA GPU, since its driver was loaded; None without one that counts."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    handle, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
    if (library.nvmlInit_v2() or library.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle))
            or library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules))):
        return None
    return millijoules.value / 1e3
