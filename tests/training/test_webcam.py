"""What the pictures look like: the webcam, the room behind, the eyes."""

import cv2
import numpy as np

from training.synthesis import paint, rooms, webcam


def test_frames_come_at_the_cameras_rate_and_in_order():
    rng = np.random.default_rng(0)
    kind = webcam.draw_webcam(np.random.default_rng(1), rng)
    times = webcam.frame_times(kind, 10.0, rng)
    assert (np.diff(times) >= 0).all()
    assert 0.8 * kind.rate_fps < len(times) / 10 < 1.1 * kind.rate_fps


def test_a_spoilt_picture_keeps_its_size_and_a_sensible_brightness():
    rng = np.random.default_rng(3)
    clean = rng.random((2, 66, 88, 3), np.float32) * 0.2
    for seed in range(5):
        kind = webcam.draw_webcam(np.random.default_rng(seed), rng)
        for data in webcam.spoil(clean, kind, rng):
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            assert picture.shape == (66, 88, 3)
            assert 20 < picture.mean() < 235


def test_a_painted_room_is_no_plain_wall():
    room = rooms.painted_room(np.random.default_rng(8), 88, 66)
    assert room.shape == (66, 88, 3)
    assert room.std() > 5


def test_irises_lose_their_glow_and_the_white_of_the_eye_stays():
    picture = np.full((8, 8, 4), 255, np.uint8)
    picture[:, :4, :3] = (190, 30, 20)
    picture[:, 4:, :3] = (200, 195, 190)
    shown = paint.eyes(picture).astype(int)
    iris, white = shown[0, 0], shown[0, 7]
    assert iris[0] - iris[2] < 0.5 * (190 - 20)
    assert iris[:3].sum() < 190 + 30 + 20
    assert np.abs(white[:3] - (200, 195, 190)).max() <= 10
    assert (shown[..., 3] == 255).all()
