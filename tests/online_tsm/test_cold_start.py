"""What a start does not load: it is counted in modules, which do not depend on the machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "onnx", "openvino", "PIL", "matplotlib", "urllib.request", "http.client", "ssl",
         "tqdm", "numpy.ma", "statistics")
START = f"""
import sys
import run_demo
from app import command, settings
from models.checkpoints import DEFAULT_MODEL
from online_tsm.engine import open_engine
from online_tsm.stream import Stream
import numpy as np
engine = open_engine(DEFAULT_MODEL, "onnxruntime", "cpu")
Stream(engine).step(np.zeros((48, 64, 3), np.uint8), 0.0)
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_a_start_loads_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", START], cwd=ROOT, capture_output=True, text=True,
                          check=True)
    assert done.stdout.strip() == "[]"
