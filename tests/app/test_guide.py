"""The gesture guide: one picture in motion a gesture, and the pages of the help that play them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from overlay_scenes import LABELS, Spy, draw, grey, make_card

from app import guide_page
from app.drawing import Box, Canvas
from app.guide import GUIDE_FOLDER, RATE_FPS, frame_at, guide_frames, guide_path
from app.guide_page import draw_guide, guided, turn
from app.overlay import Overlay, Scene
from models.jester import CSV_ORDER


@pytest.mark.parametrize("label", CSV_ORDER)
def test_every_gesture_has_a_short_picture_in_motion(label):
    frames = guide_frames(label)
    assert 1.0 < len(frames) / RATE_FPS < 4.5
    assert {frame.shape for frame in frames} == {(120, 160, 3)}
    moved = max(np.abs(frame.astype(int) - frames[0]).mean() for frame in frames)
    assert moved > (0.5 if label == "No gesture" else 3)
    _, animation = cv2.imreadanimation(str(guide_path(label)))
    assert set(animation.durations) == {round(1000 / RATE_FPS)}


def test_the_guide_is_small():
    assert sum(path.stat().st_size for path in GUIDE_FOLDER.iterdir()) < 900_000


def test_a_label_of_ones_own_has_no_picture():
    assert guide_frames("Juggling") == []


def test_a_picture_starts_again_at_its_end():
    frames = guide_frames("Thumb Up")
    whole = len(frames) / RATE_FPS
    assert frame_at(frames, 0.5 / RATE_FPS) is frames[0]
    assert frame_at(frames, 1.5 / RATE_FPS) is frames[1]
    assert frame_at(frames, whole + 1.5 / RATE_FPS) is frames[1]


def test_help_reads_only_the_pictures_that_it_shows(monkeypatch):
    read = []
    monkeypatch.setattr(guide_page, "guide_frames",
                        lambda label: read.append(label) or guide_frames(label))
    overlay, image = Overlay(make_card()), grey(480, 640)
    overlay.turn_help(image)
    overlay.notices(image, Scene(image))
    assert len(read) == 1


def test_what_counts_comes_first_and_background_last():
    order = guided(make_card(disabled=("Swiping Left", "Thumb Up")))
    assert order[-2:] == ["No gesture", "Doing other things"]
    assert set(order[-4:-2]) == {"Swiping Left", "Thumb Up"}
    assert len(order) == len(LABELS)
    assert turn(["a", "b"], 1.0) == ("a", 1.0)
    assert turn(["a", "b"], 5.0) == ("b", 1.0)
    assert turn(["a", "b"], 9.0) == ("a", 1.0)


@pytest.mark.parametrize("size", [(480, 640), (720, 1280), (240, 320), (640, 360)])
def test_the_pages_show_every_gesture_once_and_then_close(size, monkeypatch):
    overlay, image, shown, pages = Overlay(make_card()), grey(*size), [], 0
    overlay.turn_help(image)
    draw(overlay, Scene(image))
    while True:
        overlay.turn_help(image)
        if not overlay.help:
            break
        pages += 1
        spy = Spy(monkeypatch)
        draw(overlay, Scene(image))
        shown += [text for text in spy.texts if text.split("…")[0] in "|".join(LABELS)]
    assert len(shown) == len(LABELS)
    assert 1 < pages <= 6


def test_a_tiny_picture_has_one_page_of_help():
    overlay = Overlay(make_card())
    overlay.turn_help(grey(70, 70))
    assert overlay.help == 1
    overlay.turn_help(grey(70, 70))
    assert overlay.help == 0


def test_a_page_that_is_gone_after_a_change_of_size_becomes_the_last_one(monkeypatch):
    monkeypatch.setattr("app.overlay.monotonic", lambda: 1.0)
    overlay, image, pictures = Overlay(make_card()), grey(480, 640), []
    for overlay.help in (4, 99):
        pictures.append(draw(overlay, Scene(image)))
    assert (pictures[0] == pictures[1]).all()


def test_the_help_moves_and_is_mirrored_with_the_picture(monkeypatch):
    now = [10.0]
    monkeypatch.setattr("app.overlay.monotonic", lambda: now[0])
    overlay, image = Overlay(make_card()), grey(480, 640)
    for _ in range(2):
        overlay.turn_help(image)
        first = draw(overlay, Scene(image))
        now[0] += 0.9
        later = draw(overlay, Scene(image))
        assert (first != later).any()
        assert (later != draw(overlay, Scene(image, mirrored=True))).any()


def test_a_mirrored_gesture_is_the_other_way_round():
    pictures = []
    for mirrored in (False, True):
        canvas = Canvas(grey(120, 160))
        draw_guide(canvas, Box(0, 0, 160, 120), "Swiping Left", 0.8, mirrored=mirrored)
        pictures.append(canvas.image.astype(int))
    assert np.abs(pictures[0] - pictures[1][:, ::-1]).max() <= 2
    assert np.abs(pictures[0] - pictures[1]).mean() > 3
