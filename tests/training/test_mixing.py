"""Ways between and beyond ways: what lies there, and when nothing does."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from training.synthesis.clip import choose
from training.synthesis.language import (
    GESTURES_FOLDER,
    Gesture,
    Style,
    load_gesture,
    load_gestures,
    resting_poses,
)
from training.synthesis.mixing import SHARES, VARIED_SHARE, mixed, varied
from training.synthesis.performing import TOUCH, draw_pose, perform

FILE = """
label: Push
styles:
  low and slow:
    size: [0.8, 1.0]
    phases:
      - raise: {time: [0.2, 0.4], to: {at: [0, 0, 0.5], point: [0, 2, 0], palm: near, shape: open}}
      - hold: {time: [0.4, 0.8]}
      - stroke: {time: [1.0, 1.0], to: {at: [0, 0, 1], point: up, palm: near, shape: open}}
      - retract: {time: 0.4}
  high and fast:
    size: [1.0, 1.4]
    phases:
      - raise: {time: [0.4, 0.6], to: {at: [1, 1, 0.5], point: [1, 0, 0], palm: near, shape: fist}}
      - stroke: {time: [0.4, 0.4], to: {at: [1, 1, 1], point: [1, 0, 0], palm: near, shape: fist}}
      - retract: {time: 0.4}
  palm turned away:
    phases:
      - raise: {time: 0.3, to: {at: [1, 1, 0.5], point: up, palm: [0, 0, -1], shape: open}}
      - stroke: {time: 0.4, to: {at: [1, 1, 1], point: up, palm: [0, 0, -1], shape: open}}
      - retract: {time: 0.4}
  twice:
    repeat: 2
    phases:
      - raise: {time: 0.3, to: {at: [1, 1, 0.5], point: up, palm: near, shape: open}}
      - stroke: {time: 0.4, to: {at: [1, 1, 1], point: up, palm: near, shape: open}}
      - retract: {time: 0.4}
  held out:
    held_out: true
    phases:
      - raise: {time: 0.3, to: {at: [1, 1, 0.5], point: up, palm: near, shape: open}}
      - stroke: {time: 0.4, to: {at: [1, 1, 1], point: up, palm: near, shape: open}}
      - retract: {time: 0.4}
"""


@pytest.fixture(scope="module")
def push(tmp_path_factory: pytest.TempPathFactory) -> Gesture:
    path = Path(tmp_path_factory.mktemp("mixing")) / "push.yaml"
    path.write_text(FILE)
    return load_gesture(path)


def test_halfway_lies_in_the_middle_and_a_hold_that_one_lacks_is_half_as_long(push: Gesture
                                                                              ) -> None:
    slow, fast, *_ = push.styles
    way = mixed(slow, fast, 0.5)
    assert way is not None
    assert [phase.kind for phase in way.phases] == ["raise", "hold", "stroke", "retract"]
    assert way.phases[0].time == pytest.approx((0.3, 0.5))
    assert way.phases[1].time == pytest.approx((0.2, 0.4))
    assert way.size == pytest.approx((0.9, 1.2))
    end = way.phases[2].to
    assert end is not None
    assert np.mean(end.at, 1) == pytest.approx((0.5, 0.5, 1))
    direction = np.mean(way.phases[0].to.point, 1)  # type: ignore[union-attr]
    assert direction == pytest.approx((0.5, 0.5, 0))  # whatever the lengths that were written
    rng = np.random.default_rng(0)
    fist, open_hand = (draw_pose(style.phases[-2].to, rng)  # type: ignore[arg-type]
                       for style in (fast, slow))
    middle = draw_pose(end, rng)
    assert np.abs(middle - (fist + open_hand) / 2)[9:17].max() < 0.5
    assert mixed(fast, slow, 0.5).phases[1].time == pytest.approx((0.2, 0.4))  # type: ignore[union-attr]


def test_beyond_a_way_lies_what_differs_more_from_the_other(push: Gesture) -> None:
    slow, fast, *_ = push.styles
    way = mixed(slow, fast, -0.5)
    assert way is not None
    first, end = way.phases[0], way.phases[2].to
    assert end is not None
    assert np.mean(end.at, 1) == pytest.approx((-0.5, -0.5, 1))
    assert first.time == pytest.approx((0.1, 0.3))
    assert way.phases[2].time == pytest.approx((1.3, 1.3))
    assert way.size == pytest.approx((0.7, 0.8))
    assert end.shape == slow.phases[2].to.shape  # type: ignore[union-attr]
    assert mixed(slow, fast, -3).phases[0].time[0] > 0  # type: ignore[union-attr]


def test_at_the_ends_lie_the_two_themselves(push: Gesture) -> None:
    slow, fast, *_ = push.styles
    way = mixed(slow, fast, 0.0)
    assert way is not None
    assert [phase.time for phase in way.phases] == [phase.time for phase in slow.phases]


def test_nothing_lies_between_ways_that_differ_in_course_or_direction(push: Gesture) -> None:
    slow, _, away, twice, _ = push.styles
    assert mixed(slow, slow, 0.5) is None
    assert mixed(slow, away, 0.3) is None
    assert mixed(slow, twice, 0.3) is None


def test_a_stroke_neither_turns_round_nor_shrinks_to_nothing_beyond_any_shipped_way() -> None:
    for gesture in load_gestures(GESTURES_FOLDER).values():
        for one, other in itertools.permutations(gesture.styles, 2):
            way = mixed(one, other, SHARES[0])
            for before, after in zip(legs(one), legs(way), strict=True) if way else ():
                if np.linalg.norm(before) > 0.15:
                    assert before @ after > 0.49 * (before @ before), way
            strokes = [[phase.time[0] for phase in style.phases if phase.kind == "stroke"]
                       for style in (one, way or one)]
            assert all(new > 0.49 * own for own, new in zip(*strokes, strict=True))


def legs(style: Style) -> list[np.ndarray]:
    """From the place before each stroke to the one at its end, where both are told."""
    found, here = [], None
    for phase in style.phases:
        if phase.to is not None:
            there = np.mean(phase.to.at, 1)
            if here is not None and phase.kind == "stroke" and not phase.through:
                found.append(there - here)
            here = there
    return found


def test_a_hand_that_touches_the_body_stays_there() -> None:
    (gesture,) = (g for g in load_gestures(GESTURES_FOLDER).values()
                  if g.label == "Doing other things")
    touching = 0
    for one, other in itertools.permutations(gesture.styles, 2):
        way = mixed(one, other, SHARES[0])
        poses, new = ([phase.to for phase in style.phases if phase.to]
                      for style in (one, way or one))
        for before, after in zip(poses, new, strict=True):
            touching += way is not None and np.mean(before.at[2]) < TOUCH
            assert np.mean(before.at[2]) >= TOUCH or after is before
    assert touching  # or this says nothing


def test_only_training_performs_between_ways_and_never_near_a_held_out_one(push: Gesture) -> None:
    rng = np.random.default_rng(1)
    gestures = {"Push": push}
    names = {split: [choose(rng, push, gestures, split)[1].name for _ in range(300)]
             for split in ("train", "heldout")}
    known = {style.name for style in push.styles}
    new = [name for name in names["train"] if name not in known]
    assert 0.2 < len(new) / 300 < VARIED_SHARE  # two of the four ways lie apart from the others
    assert {" + " in name for name in new} == {True, False}  # between, and beyond
    assert not any("held out" in name for name in names["train"])
    assert set(names["heldout"]) == known


def test_every_way_between_the_shipped_ones_can_be_performed() -> None:
    rng = np.random.default_rng(2)
    for gesture in load_gestures(GESTURES_FOLDER).values():
        styles = [style for style in gesture.styles if not style.held_out]
        for style in styles:
            way = varied(style, styles, rng)
            done = perform(way, "R", rng, 0.0, _home(), background=gesture.background)
            assert all(np.isfinite(segment.points).all() for segment in done.segments)
            assert done.end > 0


def _home() -> np.ndarray:
    return draw_pose(resting_poses()[0], np.random.default_rng(0))
