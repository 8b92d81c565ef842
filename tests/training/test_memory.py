"""A process that keeps its memory pays for the pages of large tensors once."""

import subprocess
import sys
from pathlib import Path

import pytest

from training.memory import keep_memory

ROOT = Path(__file__).parents[2]
STEPS = """
import resource, sys
from training.memory import keep_memory
if sys.argv[1] == "keep" and not keep_memory():
    sys.exit(3)
import torch
def step():
    return torch.ones(20, 1 << 20).sum() + torch.ones(10, 1 << 20).sum()
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _page_faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", STEPS, how], cwd=ROOT, capture_output=True,
                          text=True, check=False)
    if done.returncode == 3:
        pytest.skip("no glibc here")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_freed_memory_is_used_again_with_few_page_faults() -> None:
    assert _page_faults("keep") < _page_faults("as ever") / 4  # a tenth and an eighth were seen


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_memory()
