"""Training in its own process: killed, ended by a signal, and in two at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from toy_training import column, environment, run

from training.progress import load_state
from training.train import main


def test_a_killed_training_goes_on(recipe: dict[str, object], tmp_path: Path) -> None:
    recipe["run"] = {**recipe["run"], "save_every_s": 0.0, "validate_every": 1000,
                     "precision": "auto"}
    recipe["optimiser"] = {**recipe["optimiser"], "views": 4000}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    state = tmp_path / "out" / "state.pt"
    process = subprocess.Popen([sys.executable, "-m", "training.train", str(path)],
                               stderr=subprocess.DEVNULL, env=environment())
    ends = time.monotonic() + 60
    while not state.exists() and time.monotonic() < ends:
        time.sleep(0.02)
    time.sleep(0.5)
    process.kill()
    process.wait()
    step = load_state(state)["step"]  # type: ignore[index]
    assert step > 0
    assert main([str(path), "--steps", "1"]) == 0
    assert load_state(state)["step"] == step + 1  # type: ignore[index]


def test_a_signal_to_the_whole_process_group_ends_it_and_it_is_saved(
        recipe: dict[str, object], tmp_path: Path) -> None:
    """`timeout` and torchrun signal a group: the processes that prepare pictures, too."""
    recipe["run"] = {**recipe["run"], "log_every": 1, "validate_every": 100_000, "workers": 2}
    recipe["optimiser"] = {**recipe["optimiser"], "views": 400_000}
    path, log = tmp_path / "recipe.yaml", tmp_path / "out" / "log.csv"
    path.write_text(yaml.safe_dump(recipe))
    process = subprocess.Popen([sys.executable, "-m", "training.train", str(path)], text=True,
                               stderr=subprocess.PIPE, env=environment(), start_new_session=True)
    ends = time.monotonic() + 60
    while time.monotonic() < ends and not (log.exists() and column(log, "step")):
        time.sleep(0.02)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert "Traceback" not in told
    assert load_state(tmp_path / "out" / "state.pt")["step"] > 0  # type: ignore[index]


def test_two_processes_do_what_one_does(recipe: dict[str, object], tmp_path: Path) -> None:
    """Same losses, gradients and statistics, batch norm included, with the same global batch.

    Without learning: rounding differs, and the first steps of Adam blow such differences up.
    """
    recipe["optimiser"] = {**recipe["optimiser"], "dropout": 0.0, "learning_rate": 0.0,
                           "frozen_views": 4, "views": 12, "clip_norm": 1e9}
    recipe["run"] = {**recipe["run"], "log_every": 1, "threads": 1}
    path, told = tmp_path / "two.yaml", tmp_path / "two.json"
    path.write_text(yaml.safe_dump({**recipe, "out": str(tmp_path / "two")}))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
         str(Path(__file__).with_name("two_processes.py")), str(path), str(told)],
        env=environment(), capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(told.read_text())
    assert said["processes"] == 2
    assert said["error"] < 1e-5
    outs = [run({**recipe, "out": str(tmp_path / "one")}), tmp_path / "two"]
    assert len(column(outs[1] / "validation.csv", "top1")) == 1  # one of them wrote
    losses = [column(out / "log.csv", "loss") for out in outs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    one, two = (load_state(out / "state.pt") for out in outs)
    assert one is not None
    assert two is not None
    for name, tensor in one["network"].items():  # nothing is learnt: statistics of batch norm
        assert torch.allclose(tensor, two["network"][name], rtol=1e-3, atol=1e-4), name
    means = [torch.cat([moments["exp_avg"].flatten() for moments in
                        state["optimiser"]["state"].values()]) for state in (one, two)]
    assert (means[0] - means[1]).norm() < 0.2 * means[0].norm()  # of all gradients together
