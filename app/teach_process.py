"""The trainer in a process of its own, and what it says while it works."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[1]  # where `training` is found
NICENESS = 10  # the demo's frames come first
# A pool of threads for each library would take all cores from the demo; the trainer has workers.
# And its pipe speaks UTF-8, whatever the system's pipes speak: paths are said on it.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
               "PYTHONIOENCODING": "utf-8"}
_PROGRESS = re.compile(r"progress (\d*\.?\d+) ?(.*)")
_END_S = 3.0  # how long an ended trainer is waited for before it is killed
_KEPT = 30  # lines of what it said, for the log when it fails


class Trainer:
    """Learns from the recordings in `folder` on top of `model`; the checkpoint goes to `out`.

    `progress` (0 to 1) and `doing` say how far it is. Once `ended`, either `saved` is the
    checkpoint or `failed` a sentence. Nothing here blocks: a thread reads the trainer's pipe.
    """

    def __init__(self, folder: Path, model: str, out: Path, report: Path) -> None:
        self.progress = 0.0
        self.doing = "starting"
        self.saved: Path | None = None
        self.failed = ""
        self._lines: deque[str] = deque(maxlen=_KEPT)
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": path}
        self._process = subprocess.Popen(
            # -P: or a folder `training` where the demo was started would be taken for ours
            [sys.executable, "-P", "-m", "training.teach", str(folder), "--model", model,
             "--out", str(out), "--report", str(report)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", errors="replace", env=environment,
            creationflags=getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0))
        if sys.platform != "win32":
            with contextlib.suppress(OSError):  # it ended already, which is told below
                own = os.getpriority(os.PRIO_PROCESS, 0)
                os.setpriority(os.PRIO_PROCESS, self._process.pid, own + NICENESS)
        self._thread = threading.Thread(target=self._read, name="trainer", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether there is an outcome."""
        return not self._thread.is_alive()

    def close(self) -> None:
        """Ends the trainer if it is at work still; what it saved before stays."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._thread.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            for line in map(str.rstrip, pipe):
                if found := _PROGRESS.fullmatch(line):
                    self.progress = min(float(found[1]), 1.0)
                    self.doing = found[2] or self.doing
                elif line.startswith("saved "):
                    self.saved = Path(line.removeprefix("saved "))
                elif line:
                    self._lines.append(line)
        code = self._process.wait()
        if code or self.saved is None:
            self.saved, self.failed = None, self._why(code)
            log.info("the trainer said:\n%s", "\n".join(self._lines))

    def _why(self, code: int) -> str:
        """The trainer's own sentences, else its last line: what a traceback ends with."""
        own = [line.removeprefix("error: ") for line in self._lines if line.startswith("error: ")]
        last = self._lines[-1] if self._lines else f"it ended with code {code}"
        return "; ".join(own) if own else f"the trainer failed: {last}"
