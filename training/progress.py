"""What a training leaves on disk on its way: its state, its log, its average network."""

from __future__ import annotations

import copy
import csv
import io
import os
from pathlib import Path
from typing import Any

import torch

from models.network import OnlineNetwork
from online_tsm.graphs import write_atomically


class StateError(RuntimeError):
    """A saved training that cannot be taken up again; the message says what to do."""


class Average:
    """An exponential moving average of a network's weights and statistics, itself a network."""

    def __init__(self, network: OnlineNetwork, decay: float) -> None:
        self.network: OnlineNetwork = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    def update(self, network: OnlineNetwork, step: int) -> None:
        """Moves towards `network`, faster in the first steps."""
        move(self.network, network, 1 - min(self.decay, (1 + step) / (10 + step)))


@torch.no_grad()
def move(network: OnlineNetwork, other: OnlineNetwork, share: float) -> None:
    """Moves weights and statistics of `network` so much of the way to those of `other`."""
    own = network.state_dict()
    for name, value in other.state_dict().items():
        if value.is_floating_point():
            own[name].lerp_(value, share)
        else:
            own[name].copy_(value)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Writes a training's state so that a kill at any moment leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def load_state(path: Path) -> dict[str, Any] | None:
    """What `save_state` wrote, None where there is nothing. Raises StateError."""
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler meets
        raise StateError(f"{path} cannot be read ({error}); delete it to start anew") from error
    return state if isinstance(state, dict) else {}  # {}: it lacks what a state has


class Log:
    """A CSV file that grows by a row at a time; rows after `step` of an earlier run are dropped."""

    def __init__(self, path: Path, columns: tuple[str, ...], step: int) -> None:
        self.path, self.columns = path, columns
        self.rows = [row for row in self._read() if int(row["step"]) <= step]
        path.parent.mkdir(parents=True, exist_ok=True)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(path, text.getvalue().encode())  # the rows so far outlive a kill

    def add(self, **values: float) -> None:
        row = {name: str(value) if isinstance(value := values[name], int) else f"{value:.6g}"
               for name in self.columns}
        self.rows.append(row)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    def column(self, name: str) -> list[float]:
        return [float(row[name]) for row in self.rows]

    def _read(self) -> list[dict[str, str]]:
        """Whole lines only: a kill may have cut the last one off, even within its last number."""
        if not self.path.is_file():
            return []
        lines = self.path.read_text().splitlines(keepends=True)
        return [row for row in csv.DictReader(line for line in lines if line.endswith("\n"))
                if all(row.get(name) for name in self.columns)]
