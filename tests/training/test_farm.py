"""Sets of shards: one a folder, who is baked for it, its workers, and what a shard holds."""

import dataclasses
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
from toy_people import bake_toy_people
from toy_training import environment

from training.data import read_shards
from training.events_file import DataError
from training.made_by import commands
from training.synthesis import farm
from training.synthesis.assets import SynthesisError
from training.synthesis.cast import people
from training.synthesis.clip import Clip, Event
from training.synthesis.farm import SET_FILE, Order, claim, performers
from training.synthesis.language import GESTURES_FOLDER, load_gestures
from training.synthesis.plan import CLIPS_A_PERSON, CLIPS_A_SHARD, shard_jobs
from training.synthesis.shards import shard_path, write_shard

DEVICE_99 = ["--device", "99", "render", "--clips", str(2 * CLIPS_A_SHARD), "--workers", "2"]

KILLED = """
import os, signal
from training.synthesis import farm
from training.synthesis.assets import SynthesisError

def killed(order, number):
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    farm._work = killed
    try:
        list(farm._made(farm.Order("", 64, 1, "train", "", "", 0), [0, 1], 2))
    except SynthesisError as error:
        print(error)
"""


def test_a_folder_holds_one_set_and_a_longer_one_goes_on_with_it(tmp_path):
    def order(clips, seed=1):
        return Order(str(tmp_path), clips, seed, "train", str(GESTURES_FOLDER), str(tmp_path), 0)

    claim(tmp_path, order(CLIPS_A_SHARD + 4))
    for number in (0, 1):
        shard_path(tmp_path, number).write_bytes(b"there")
    claim(tmp_path, order(CLIPS_A_SHARD + 4))
    assert shard_path(tmp_path, 1).exists()
    claim(tmp_path, order(3 * CLIPS_A_SHARD))
    assert shard_path(tmp_path, 0).exists()
    assert not shard_path(tmp_path, 1).exists(), "the short last shard is made again in full"
    with pytest.raises(SynthesisError, match="another seed"):
        claim(tmp_path, order(CLIPS_A_SHARD, seed=2))
    with pytest.raises(SynthesisError, match="another draft"):
        claim(tmp_path, dataclasses.replace(order(3 * CLIPS_A_SHARD), draft=True))


def test_a_set_knows_its_gestures_however_their_folder_is_spelt(tmp_path):
    folder = GESTURES_FOLDER.with_name("gestures_auxiliary")
    spelt = GESTURES_FOLDER / ".." / folder.name
    claim(tmp_path, Order(str(tmp_path), 4, 1, "train", str(folder), str(tmp_path), 0))
    claim(tmp_path, Order(str(tmp_path), 4, 1, "train", str(spelt), str(tmp_path), 0))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"{{out: o, train: [{{path: {tmp_path}}}], "
                      "held_out: [{kind: table, path: t}]}")
    assert "--gestures training/gestures_auxiliary" in commands(recipe)[1]
    with pytest.raises(SynthesisError, match="another gestures"):
        claim(tmp_path, Order(str(tmp_path), 4, 1, "train", str(GESTURES_FOLDER), "", 0))


def test_a_set_whose_description_was_cut_off_says_what_to_do(tmp_path):
    order = Order(str(tmp_path), 4, 1, "train", str(GESTURES_FOLDER), str(tmp_path), 0)
    claim(tmp_path, order)
    whole = (tmp_path / SET_FILE).read_text()
    (tmp_path / SET_FILE).write_text(whole[:20])
    with pytest.raises(SynthesisError, match="does not say which set"):
        claim(tmp_path, order)


def test_a_small_set_bakes_nobody_but_those_who_perform():
    order = Order("", CLIPS_A_SHARD, 1, "train", str(GESTURES_FOLDER), "", 0)
    few = performers(order, range(1))
    jobs = shard_jobs(0, CLIPS_A_SHARD, 1, "train", load_gestures())
    assert {p.name for p in few} == {job.person.name for job in jobs}
    assert len(few) <= CLIPS_A_SHARD // CLIPS_A_PERSON < len(people("train"))
    assert performers(order, []) == []


def test_a_smaller_order_in_between_leaves_no_short_shard_behind(tmp_path):
    def order(clips):
        return Order(str(tmp_path), clips, 1, "train", str(GESTURES_FOLDER), str(tmp_path), 0)

    claim(tmp_path, order(CLIPS_A_SHARD + 4))
    for number in (0, 1):
        shard_path(tmp_path, number).write_bytes(b"there")
    claim(tmp_path, order(CLIPS_A_SHARD))
    claim(tmp_path, order(2 * CLIPS_A_SHARD))
    assert shard_path(tmp_path, 0).exists()
    assert not shard_path(tmp_path, 1).exists(), "it holds four clips"


@pytest.mark.slow
def test_workers_that_cannot_start_end_with_a_sentence(tmp_path):
    """No such device: the pool started worker after worker, for ever."""
    script = ("from training.synthesize import main\nif __name__ == '__main__':\n"
              f"    raise SystemExit(main({DEVICE_99!r} + ['--out', {str(tmp_path / 'set')!r}]))\n")
    (tmp_path / "run.py").write_text(script)
    bake_toy_people(tmp_path, people("train"))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "run.py")], capture_output=True, text=True, timeout=120,
        check=False, env={**environment(), "ONLINE_TSM_CACHE": str(tmp_path)})
    assert done.returncode == 2
    assert "No off-screen OpenGL could be opened" in done.stderr


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_rendering_with_a_sentence(tmp_path):
    """The pool waited for its shard for ever."""
    (tmp_path / "run.py").write_text(KILLED)
    done = subprocess.run([sys.executable, str(tmp_path / "run.py")], capture_output=True,
                          text=True, timeout=120, check=False, env=environment())
    assert "a worker has died" in done.stdout, done.stderr


def test_a_worker_leaves_ctrl_c_to_the_first_process():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        farm._start_worker()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def packed(levels, form):
    """Grey pictures [24, 32, 3] of these levels as a clip holds them: encoded."""
    return [cv2.imencode(form, np.full((24, 32, 3), level, np.uint8))[1].tobytes()
            for level in levels]


def test_a_shard_comes_back_as_it_was_written(tmp_path):
    event = Event("Thumb Up", "twice", True, "L", 0.1, 1.9, (0.5, 0.9), 0.7,
                  (("stroke", 0.5, 0.9), ("hold", 0.9, 1.4)))
    quiet = Event("No gesture", "still", False, "R", 0.0, 1.0, None, None, ())
    levels, masks = [[30, 90], [200]], [[0, 255], [255]]
    clips = [
        Clip(packed(levels[0], ".jpg"), packed(masks[0], ".png"), np.float32([0.0, 0.1]),
             (event,), "train001", 7),
        Clip(packed(levels[1], ".jpg"), packed(masks[1], ".png"), np.float32([0.5]),
             (quiet, event), "train002", 1 << 60),
    ]
    path = shard_path(tmp_path, 3)
    write_shard(path, clips)
    for number, (before, after) in enumerate(zip(clips, read_shards(tmp_path), strict=True)):
        numbers = range(len(before.frames))
        assert [image.mean() for image in after.read(numbers)] == pytest.approx(levels[number],
                                                                               abs=2)
        assert [mask.mean() for mask in after.read_masks(numbers)] == masks[number]
        assert np.allclose(after.times, before.times)
        assert after.person == before.person
        for told, found in zip(before.events, after.events, strict=True):
            assert (found.label, found.style, found.held_out_style) == (
                told.label, told.style, told.held_out_style)
            assert (found.start, found.end, found.stroke, found.happened) == (
                told.start, told.end, told.stroke, told.happened)
            assert found.held == (1.4 if told.stroke else None)
    whole = path.read_bytes()
    for broken in (b"broken", b"", whole[:300]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="no whole shard"):
            read_shards(tmp_path)
