"""Where the camera stands: people near and far, always with the face in the picture."""

import numpy as np

from tests.training.rest_skeleton import rest_skeleton
from training.synthesis.framing import FAR_FACE, FAR_SHARE, NEAR_FACE, place_camera

SKELETON = rest_skeleton()
EYES = (SKELETON.head("eye.R") + SKELETON.head("eye.L")) / 2
WIDTH, HEIGHT = 176, 132


def cameras(count, palms):
    return [place_camera(SKELETON, palms, WIDTH, HEIGHT, np.random.default_rng(seed))
            for seed in range(count)]


def test_people_fill_the_picture_or_are_seen_from_afar():
    faces = []
    for camera in cameras(400, np.zeros((0, 3), np.float32)):
        ends = EYES + np.array([[0, 0, -0.145], [0, 0, 0.085]], np.float32)  # 0.23 m, chin to hair
        low, high = camera.project(ends, WIDTH, HEIGHT)[:, 1]
        faces.append((low - high) / HEIGHT)
    far = np.array(faces) < FAR_FACE[1] * 0.97
    assert abs(far.mean() - FAR_SHARE) < 0.07
    assert FAR_FACE[0] * 0.85 < min(faces) < FAR_FACE[0] * 1.15
    assert NEAR_FACE[1] * 0.85 < max(faces) < NEAR_FACE[1] * 1.15


def test_the_face_and_a_hand_beside_it_are_in_the_picture():
    hand = EYES + np.array([[-0.25, -0.3, -0.1]], np.float32)
    for camera in cameras(100, hand):
        for point in (EYES, hand[0]):
            x, y = camera.project(point[None], WIDTH, HEIGHT)[0]
            assert 0 < x < WIDTH
            assert 0 < y < HEIGHT
