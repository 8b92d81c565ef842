"""Marks of tests that need an NVIDIA GPU, or that there is none."""

from __future__ import annotations

import pytest

from online_tsm.engine import nvidia_visible
from online_tsm.engine_torch import cuda_granted

needs_cuda = pytest.mark.skipif(not cuda_granted(), reason="torch has no CUDA here")
needs_no_gpu = pytest.mark.skipif(nvidia_visible(), reason="there is an NVIDIA GPU here")
needs_gpu = pytest.mark.skipif(not nvidia_visible(), reason="there is no NVIDIA GPU here")
