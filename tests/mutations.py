"""Breaks the code in small ways and requires the tests to notice each: python tests/mutations.py

Every mutation is made in a copy of the project and must make the named tests fail; unbroken, they
must pass. Not part of the suite: it takes minutes. Exit code 0 if every mutation was caught.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 600
PASSED, FAILED = 0, 1  # exit codes of pytest


class Mutation(NamedTuple):
    """`old`, which stands once in `file`, becomes `new`; `tests` must fail then."""

    what: str
    file: str
    old: str
    new: str
    tests: str


MUTATIONS = (
    Mutation("the state is dropped", "models/temporal_shift.py",
             "return torch.cat([*around, cached, x[:, past.stop :]], dim=1), kept",
             "return torch.cat([*around, cached * 0, x[:, past.stop :]], dim=1), kept",
             "tests/models/test_networks.py"),
    Mutation("the fold is off by one", "models/temporal_shift.py",
             "return slice(start, start + size)", "return slice(start + 1, start + size + 1)",
             "tests/models/test_temporal_shift.py"),
    Mutation("the shift looks into the future", "models/temporal_shift.py",
             "return (1, other) if shift.past_fold", "return (-1, other) if shift.past_fold",
             "tests/models/test_temporal_shift.py"),
    Mutation("zero padding goes round", "models/temporal_shift.py",
             'if padding == "zero":', 'if padding == "none":',
             "tests/models/test_temporal_shift.py"),
    Mutation("the shift leaves the residual branch", "models/mobilenet_v2.py",
             'self.before_shortcut = shift.placement == "block"', "self.before_shortcut = True",
             "tests/models/test_networks.py"),
    Mutation("a checkpoint may run code", "models/weight_files.py",
             "weights_only=True", "weights_only=False", "tests/models/test_weight_files.py"),
    Mutation("BGR for RGB", "online_tsm/preprocess.py",
             'if card.colour == "rgb" else', 'if card.colour == "bgr" else',
             "tests/online_tsm/test_preprocess.py"),
    Mutation("the crop is rounded", "online_tsm/resize.py",
             "left, top, right, bottom = box",
             "left, top, right, bottom = map(round, box)",
             "tests/online_tsm/test_preprocess.py"),
    Mutation("rows of a batch are mixed up", "online_tsm/pool.py",
             "[i])[s.row:s.row + 1]", "[i])[0:1]",
             "tests/online_tsm/test_engine_onnx.py"),
    Mutation("torch overwrites the state it reads", "online_tsm/engine_torch.py",
             "part.index_copy_(0, after,", "part.index_copy_(0, before,",
             "tests/online_tsm/test_engine_torch.py"),
    Mutation("captured graphs share a number", "online_tsm/engine_onnx.py",
             "str(next(self._graphs))", '"1"', "tests/online_tsm/test_engine_onnx_captures.py"),
    Mutation("a run writes where another one of its state did", "online_tsm/engine_onnx.py",
             "pair = (id(before), id(after.place)) if", "pair = (id(before), 0) if",
             "tests/online_tsm/test_engine_onnx.py"),
    Mutation("rows of a frame are weighed wrongly", "online_tsm/resize.py",
             "weight / total", "weight", "tests/online_tsm/test_preprocess.py"),
    Mutation("columns mix the colours", "online_tsm/resize.py",
             "np.kron(weights.T, np.eye(channels))", "np.kron(np.eye(channels), weights.T)",
             "tests/online_tsm/test_preprocess.py"),
    Mutation("a stale graph is used", "online_tsm/graphs.py",
             "return key.encode() in _end_of(graph)", "return True",
             "tests/online_tsm/test_graphs.py"),
    Mutation("phases share one cache", "online_tsm/stream.py",
             "self._states[turn.phase] = state",
             "self._states = dict.fromkeys(range(64), state)",
             "tests/online_tsm/test_stream_states.py"),
    Mutation("a gap does not reset", "online_tsm/phases.py",
             "GAP = 4.0", "GAP = 4e9", "tests/online_tsm/test_phases.py"),
    Mutation("cold frames fire", "online_tsm/stream.py",
             "events = () if turn.cold else", "events =", "tests/online_tsm/test_stream.py"),
    Mutation("thresholds are ignored", "online_tsm/events.py",
             "if top < needed or best", "if best",
             "tests/online_tsm/test_events.py"),
    Mutation("a class's own hold is ignored", "online_tsm/events.py",
             "self._hold[leader]", "self._constants.hold_s", "tests/online_tsm/test_events.py"),
    Mutation("events repeat", "online_tsm/events.py",
             "self._armed[leader] = False\n        self._fired", "self._fired",
             "tests/online_tsm/test_events.py"),
    Mutation("the returning hand fires", "online_tsm/events.py",
             "if leader is not None and self._is_way_back(leader, time):", "if False:",
             "tests/online_tsm/test_events.py"),
    Mutation("smoothing counts frames, not time", "online_tsm/smoothing.py",
             "oldest = time - self._constants.window_s + EPSILON_S",
             "oldest = self._votes[-9][0] if len(self._votes) > 8 else -1e9",
             "tests/online_tsm/test_smoothing.py"),
    Mutation("denied classes stay", "online_tsm/labels.py",
             'kept -= indices(card, denied, "deny")', "pass", "tests/online_tsm/test_labels.py"),
    Mutation("warm-up frames are measured", "online_tsm/latency.py",
             "if not warm:", "if False:", "tests/online_tsm/test_latency.py"),
    Mutation("a password is shown", "app/streams.py",
             'rest = rest.rpartition("@")[2]', "pass", "tests/app/test_camera_streams.py"),
    Mutation("files drop frames in --fast", "app/files.py",
             "if not self._fast:", "if True:", "tests/app/test_sources.py"),
    Mutation("a new size does not reset", "app/loop.py",
             "if source.epoch != self._epoch:", "if False:",
             "tests/app/test_run_demo.py::test_a_video_that_changes_its_size_midway"),
    Mutation("flags lose to the file", "app/settings.py",
             "merged = {**values, **{k: v for k, v in given.items() if k in names}}",
             "merged = {**{k: v for k, v in given.items() if k in names}, **values}",
             "tests/app/test_settings.py"),
    Mutation("Esc in a session ends the demo", "app/teach.py",
             'return key == "esc"', "return False", "tests/app/test_teach.py"),
    Mutation("a clip is shown before it is saved", "app/teach_worker.py",
             "stroke, energy = self._stroke_of(clip)\n        try:",
             "stroke, energy = self._stroke_of(clip)\n        "
             "self._answers.put(Examined(stroke, energy))\n        try:",
             "tests/app/test_teaching.py"),
    Mutation("features do not say when the stroke begins", "online_tsm/stroke.py",
             "start = max(float(clock[0]), min(seen, end - SHORTEST_S))", "pass",
             "tests/online_tsm/test_watching.py"),
    Mutation("phases of a watched clip share a cache", "online_tsm/watching.py",
             "states[turn % phases] = state", "states = [state] * phases",
             "tests/online_tsm/test_watching.py"),
    Mutation("a clip backwards keeps its label", "training/backwards.py",
             "label=names[event.label]", "label=event.label", "tests/training/test_backwards.py"),
    Mutation("evaluation sees ways that nobody wrote", "training/synthesis/clip.py",
             "if split == SPLITS[0]:", "if True:", "tests/training/test_mixing.py"),
    Mutation("any taught model is used", "app/personal.py",
             "if taught != shipped:", "if False:", "tests/app/test_personal.py"),
)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
            check=True, capture_output=True, text=True).stdout
        for name in filter(None, listed.split("\0")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
        for tests in sorted({mutation.tests for mutation in MUTATIONS}):
            if outcome(copy, tests) != PASSED:
                print(f"{tests} fails before anything is broken; mend that first")
                return 1
        missed = [mutation.what for mutation in tqdm(MUTATIONS, unit=" mutations")
                  if not caught(copy, mutation)]
    for what in missed:
        print(f"NOT CAUGHT: {what}")
    print(f"{len(MUTATIONS) - len(missed)} of {len(MUTATIONS)} mutations caught")
    return 1 if missed else 0


def caught(copy: Path, mutation: Mutation) -> bool:
    """Whether the tests fail once the mutation is made. The copy is as before afterwards."""
    path = copy / mutation.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutation.old) != 1:
        raise SystemExit(f"{mutation.file} holds {text.count(mutation.old)} times, not once: "
                         f"{mutation.old}")
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        return outcome(copy, mutation.tests) == FAILED
    finally:
        path.write_text(text, encoding="utf-8")


def outcome(copy: Path, tests: str) -> int:
    """pytest's exit code: 0 passed, 1 failed, others for what is no verdict (none in time: -1)."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", tests]
    # No bytecode: it is found stale by size and whole seconds only, which a mutation may share.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return subprocess.run(command, cwd=copy, check=False, capture_output=True,
                              env=environment, timeout=TIMEOUT_S).returncode
    except subprocess.TimeoutExpired:
        return -1


if __name__ == "__main__":
    raise SystemExit(main())
