"""Drawing: the camera, and clips of a studio where OpenGL and people are there."""

import sys

import cv2
import numpy as np
import pytest

from training.synthesis.assets import SynthesisError
from training.synthesis.cast import people
from training.synthesis.clip import Studio
from training.synthesis.language import load_gestures, resting_poses
from training.synthesis.renderer import Camera, Renderer


def test_a_camera_sees_its_target_in_the_middle_and_right_is_right():
    camera = Camera(np.float32([0, -1, 0]), np.float32([0, 0, 0]), 40.0)
    pixels = camera.project(np.float32([[0, 0, 0], [0.1, 0, 0], [0, 0, 0.1]]), 160, 120)
    assert np.allclose(pixels[0], [80, 60], atol=1e-3)
    assert pixels[1][0] > 80
    assert pixels[2][1] < 60


def test_no_opengl_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "moderngl", None)
    with pytest.raises(SynthesisError, match="No off-screen OpenGL"):
        Renderer(16, 16)


def test_a_clip_shows_a_person_and_is_the_same_for_the_same_seed(studio):
    gesture = load_gestures()["Thumb Up"]
    chosen = [(gesture, gesture.styles[0], "R")]
    first = studio.clip(people("train")[0], chosen, 5, rate_fps=6.0)
    again = studio.clip(people("train")[0], chosen, 5, rate_fps=6.0)
    assert first.frames == again.frames
    assert len(first.frames) == len(first.masks) == len(first.times)
    mask = cv2.imdecode(np.frombuffer(first.masks[0], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert 0.1 < (mask > 0).mean() < 0.95
    event = first.events[0]
    assert event.label == "Thumb Up"
    assert event.stroke[0] < event.happened < event.stroke[1] < event.end
    other = studio.clip(people("train")[0], chosen, 6, rate_fps=6.0)
    assert other.frames != first.frames


def test_a_draft_has_fewer_frames(studio):
    gesture = load_gestures()["Swiping Left"]
    chosen = [(gesture, gesture.styles[0], "R")]
    drafts = Studio(studio.cache, resting_poses(), size=(88, 66), draft=True)
    clip = drafts.clip(people("train")[0], chosen, 5)
    assert 6 < 1 / np.median(np.diff(clip.times)) < 10
    assert clip.events[0].start <= 0.9


def test_pictures_drawn_together_are_those_drawn_alone(studio, monkeypatch):
    gesture = load_gestures()["Swiping Left"]
    studio.clip(people("train")[0], [(gesture, gesture.styles[0], "R")], 5, rate_fps=6.0)
    stills = [(number, (0.0, 0.0)) for number in range(0, 42, 6)]
    alone = np.stack([studio.renderer.draw(number) for number, _ in stills]).astype(int)
    assert np.abs(alone[0] - alone[-1]).max() > 20
    monkeypatch.setattr(studio.renderer, "at_once", 3)
    together = studio.renderer.draw_all(stills)
    assert together.shape == (7, 66, 88, 4)
    assert (np.abs(together - alone).max((1, 2, 3)) < 80).all()  # edges are rounded elsewhere
    assert (together != alone).any(-1).mean() < 0.005


def test_a_frame_is_the_mean_of_its_own_sub_frames_and_few_wait_in_memory(studio, monkeypatch):
    asked = []

    def drawn(stills):
        asked.append(len(stills))
        return np.stack([np.full((2, 2, 4), number, np.uint8) for number, _ in stills])

    monkeypatch.setattr(studio.renderer, "draw_all", drawn)
    monkeypatch.setattr(studio.renderer, "at_once", 2)
    hands = np.zeros((2, 30, 2), np.float32)
    hands[:, 6:12, 0] = 9 * np.arange(6)  # the second frame's move fast
    frames = list(studio.exposed(np.arange(30).reshape(5, 6), hands))
    assert [255 * frame.mean() for frame in frames] == pytest.approx([2.5, 8.5, 14.5, 20.5, 26.5])
    assert asked == [2 + 6, 2 + 2, 2]
