"""What a start does not load: it is counted in modules, which do not depend on the machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "onnx", "openvino", "PIL", "matplotlib", "urllib.request", "http.client", "ssl")
START = f"""
import sys
import run_demo
from app import command, settings
from online_tsm.engine import open_engine
open_engine("mobilenet_v2_interim", "onnxruntime", "cpu")
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_a_start_loads_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", START], cwd=ROOT, capture_output=True, text=True,
                          check=True)
    assert done.stdout.strip() == "[]"
