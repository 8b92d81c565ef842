"""Arms reach, hands take their shape, and both sides are mirror images."""

import numpy as np
import pytest

from tests.training.rest_skeleton import rest_skeleton
from training.synthesis.arms import PALM_CENTRE, HandTrack, arm_length, arm_rotations
from training.synthesis.hands import hand_rest, shape_vector
from training.synthesis.language import load_gestures, resting_poses
from training.synthesis.performing import draw_pose, perform
from training.synthesis.posing import bone_matrices, draw_manner, own_to_room
from training.synthesis.skeleton import frames, pose

SKELETON = rest_skeleton()
MIRROR = np.array([-1, 1, 1], np.float32)


def posed(matrices, name, point):
    bone = matrices[:, SKELETON.index(name)]
    return bone[:, :, :3] @ point + bone[:, :, 3]


def track(centre, forward, palm, thumb="side", curl=0.0):
    axes = frames(np.array([forward], np.float32), np.array([palm], np.float32))
    shape = shape_vector(np.full(4, curl), np.full(4, curl), 0.0, thumb)
    return HandTrack(
        np.array([centre], np.float32), axes[..., 0], axes[..., 1], shape[None], np.array([0.3])
    )


def arm(side, hand):
    shoulder = SKELETON.head(f"upperarm01.{side}")[None]
    return pose(SKELETON, {}, arm_rotations(SKELETON, side, shoulder, hand), np.zeros((1, 3)))


@pytest.mark.parametrize("side", ["L", "R"])
@pytest.mark.parametrize("at", [(0.9, 0.4, 0.6), (-0.5, 0.2, 0.6), (0.4, 1.2, 0.5)])
def test_the_palm_goes_where_it_is_sent(side, at):
    target = own_to_room(SKELETON, side, np.array([at], np.float32))[0]
    matrices = arm(side, track(target, (0, 0, 1), (0, -1, 0)))
    rest = hand_rest(SKELETON, side)
    wrist = SKELETON.head(f"wrist.{side}")
    centre = posed(matrices, f"wrist.{side}", wrist + rest.forward * rest.length * PALM_CENTRE)
    assert np.allclose(centre[0], target, atol=8e-3), "within a centimetre"


def test_a_place_out_of_reach_is_approached_not_overstretched():
    far = SKELETON.head("upperarm01.R") + np.array([0, -3.0, 0], np.float32)
    matrices = arm("R", track(far, (0, -1, 0), (0, 0, -1)))
    wrist = posed(matrices, "wrist.R", SKELETON.head("wrist.R"))[0]
    reach = np.linalg.norm(wrist - SKELETON.head("upperarm01.R"))
    assert 0.95 * arm_length(SKELETON, "R") < reach < arm_length(SKELETON, "R")


def test_the_upper_arm_keeps_its_length_and_joints_stay_together():
    matrices = arm("R", track((-0.2, -0.35, 0.7), (0, 0, 1), (0, -1, 0)))
    for bone, parent in (("lowerarm01.R", "upperarm02.R"), ("wrist.R", "lowerarm02.R")):
        joint = SKELETON.head(bone)
        assert np.allclose(posed(matrices, bone, joint), posed(matrices, parent, joint), atol=1e-5)


def test_a_straight_finger_points_along_the_hand_and_a_bent_one_back():
    for curl, sign in ((0.0, 1), (1.0, -1)):
        matrices = arm("R", track((-0.2, -0.35, 0.7), (0, 0, 1), (0, -1, 0), curl=curl))
        i = SKELETON.index("finger3-3.R")
        tip = posed(matrices, "finger3-3.R", SKELETON.tails[i])
        base = posed(matrices, "finger3-3.R", SKELETON.heads[i])
        up = (tip - base)[0, 2] / np.linalg.norm(tip - base)
        assert (up > 0.95) if sign > 0 else (up < 0.2), "a fist's finger tips do not point up"


def test_a_thumb_held_out_points_up_when_the_palm_faces_the_body_side():
    hand = track((-0.2, -0.35, 0.7), (0, -1, 0), (1, 0, 0), thumb="out", curl=1.0)
    matrices = arm("R", hand)
    i = SKELETON.index("finger1-3.R")
    ends = [posed(matrices, "finger1-3.R", p[i])[0] for p in (SKELETON.heads, SKELETON.tails)]
    direction = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    assert direction[2] > 0.9


def test_the_left_hand_is_the_mirror_image_of_the_right():
    right = arm("R", track((-0.25, -0.3, 0.7), (0.2, -0.3, 0.9), (0.3, -0.9, 0), "out", 0.5))
    left = arm("L", track((0.25, -0.3, 0.7), (-0.2, -0.3, 0.9), (-0.3, -0.9, 0), "out", 0.5))
    for name in ("lowerarm01", "wrist", "finger2-3", "finger1-3"):
        a = posed(right, f"{name}.R", SKELETON.head(f"{name}.R"))
        b = posed(left, f"{name}.L", SKELETON.head(f"{name}.L"))
        assert np.allclose(a * MIRROR, b, atol=1e-4), name


@pytest.mark.parametrize("label", sorted(load_gestures()))
def test_every_style_moves_smoothly_and_stays_finite(label):
    gesture = load_gestures()[label]
    rng = np.random.default_rng(4)
    rest = draw_pose(resting_poses()[0], rng)
    for style in gesture.styles:
        performance = perform(style, "R", rng, 0.3, rest, background=gesture.background)
        times = np.arange(0, performance.end + 0.3, 1 / 60, dtype=np.float32)
        manner = draw_manner(rng, float(times[-1]))
        matrices, palms = bone_matrices(SKELETON, [performance], rest, manner, times)
        assert np.isfinite(matrices).all()
        step = np.linalg.norm(np.diff(palms["R"], axis=0), axis=1).max()
        assert step * 60 < 8, f"{style.name}: the hand jumps ({step * 60:.1f} m/s)"
