"""The overlay on pictures of any size: what is drawn, where, and what is left alone."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from overlay_scenes import (
    LONG,
    Spy,
    busy_scene,
    draw,
    event,
    full_panel,
    grey,
    make_card,
    prediction,
)

from app.drawing import ACCENT, INK, RECORDING
from app.overlay import MODES, Overlay, Scene

SIZES = [(480, 640), (1080, 1920), (360, 640), (240, 320), (720, 405), (80, 100), (64, 64),
         (65, 640), (640, 65), (1, 1), (4000, 17), (17, 4000), (300, 1000)]


def count(image: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((image == np.array(colour, np.uint8)).all(axis=2).sum())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("helping", [False, True])
def test_any_size_is_drawn_on_a_copy(size, mode, helping, monkeypatch):
    monkeypatch.setattr("app.overlay.monotonic", lambda: 1.0)  # the help's pictures move
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    before = image.copy()
    overlay = Overlay(make_card(), mode)
    overlay.help = helping
    scene = busy_scene(image, message="Camera lost, retrying in 2 s " * 5, recording=True,
                       recording_s=6000, paused=True)
    first, second = draw(overlay, scene), draw(overlay, scene)
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert np.array_equal(image, before)
    assert not np.shares_memory(first, image)
    assert np.array_equal(first, second)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["compact", "full"])
@pytest.mark.parametrize("label", LONG)
def test_text_stays_inside_and_apart(size, mode, label, monkeypatch):
    spy = Spy(monkeypatch)
    Overlay(make_card(), mode).annotate(busy_scene(grey(*size), label))
    assert_inside_and_apart(spy, size)
    if min(size) >= 240:
        assert spy.texts


@pytest.mark.parametrize("size", [(480, 640), (720, 1280), (854, 480)])
def test_a_stage_of_seconds_stays_apart_from_its_neighbour(size, monkeypatch):
    spy = Spy(monkeypatch)
    panel = full_panel(stages={"wait": (0.0444, 4.4379), "record": (1.2345, 12.3456)})
    Overlay(make_card(), "full").annotate(busy_scene(grey(*size), panel=panel))
    assert "4437.9" in spy.texts
    assert_inside_and_apart(spy, size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("notice", ["message", "wide message", "paused", "help"])
def test_text_of_notices_stays_inside_and_apart(size, notice, monkeypatch):
    overlay = Overlay(make_card(), "full")
    overlay.help = notice == "help"
    message = "The camera stopped answering, trying again in 16 s. " * 3
    scene = busy_scene(grey(*size), recording=True, recording_s=75, paused=notice == "paused",
                       message="and on " * 80 if notice == "wide message" else message)
    spy = Spy(monkeypatch)
    overlay.notices(scene.image, scene)
    assert_inside_and_apart(spy, size)


def assert_inside_and_apart(spy: Spy, size: tuple[int, int]) -> None:
    for text, (left, top, right, bottom) in zip(spy.texts, spy.inks, strict=True):
        assert left >= 2 <= top, text
        assert right <= size[1] - 2, text
        assert bottom <= size[0] - 2, text
    for (one, a), (other, b) in itertools.combinations(
            zip(spy.texts, spy.inks, strict=True), 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, f"{one!r} and {other!r} overlap"


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("size", [(480, 640), (1080, 1920)])
def test_text_is_readable_on_any_background(level, size, monkeypatch):
    """Contrast of at least 4.5 (WCAG 2, level AA) between text and what is under it."""
    spy = Spy(monkeypatch)
    fresh = [(event("Thumb Up", 99.5), 0.5), (event("Thumb Down", 98.0), 2.0)]
    drawn = draw(Overlay(make_card(), "full"),
                 busy_scene(grey(*size, level), events=fresh, recording=True))
    for text, (left, top, right, bottom), colour in zip(spy.texts, spy.inks, spy.colours,
                                                        strict=True):
        ring = np.concatenate([drawn[top - 3:top - 1, left:right].reshape(-1, 3),
                               drawn[top:bottom, left - 3:left - 1].reshape(-1, 3)])
        ground = luminance(np.median(ring, axis=0))
        ink = luminance(np.array(colour, float))
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5, text


def luminance(bgr: np.ndarray) -> float:
    share = bgr / 255
    linear = np.where(share <= 0.03928, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.0722, 0.7152, 0.2126])


def test_text_is_not_mirrored_with_the_picture():
    image = grey(480, 640, 30)
    image[:, :320] = 200
    overlay = Overlay(make_card(), "full")
    plain = (draw(overlay, busy_scene(image)) == INK).all(axis=2)
    mirrored = (draw(overlay, busy_scene(image[:, ::-1].copy())) == INK).all(axis=2)
    assert plain.sum() > 1000
    assert np.array_equal(plain, mirrored)


@pytest.mark.parametrize("mode", MODES)
def test_nothing_to_say_draws_nothing(mode):
    image = grey(480, 640)
    assert np.array_equal(draw(Overlay(make_card(), mode), Scene(image)), image)


def test_full_covers_more_than_compact_and_off_nothing():
    image = grey(480, 640, 200)
    touched = [int((draw(Overlay(make_card(), mode), busy_scene(image)) != image).any(2).sum())
               for mode in MODES]
    assert touched[0] == 0
    assert 0 < touched[1] < touched[2] / 2
    assert touched[1] < image.shape[0] * image.shape[1] / 4


def test_modes_go_round():
    overlay = Overlay(make_card(), "off")
    modes = []
    for _ in range(3):
        overlay.next_mode()
        modes.append(overlay.mode)
    assert modes == ["compact", "full", "off"]


@pytest.mark.parametrize(("label", "confidence", "cold", "fires"), [
    ("Swiping Left", 0.61, False, True),
    ("Swiping Left", 0.59, False, False),
    ("Swiping Left", 0.90, True, False),
    ("Turning Hand Counterclockwise", 0.79, False, False),
    ("Turning Hand Counterclockwise", 0.81, False, True),
    ("No gesture", 0.99, False, False),
    ("Pulling Two Fingers In", 0.99, False, False),
])
def test_the_accent_means_above_the_threshold(label, confidence, cold, fires):
    for mode in ("compact", "full"):
        scene = Scene(grey(480, 640), prediction(label, confidence, cold))
        drawn = draw(Overlay(make_card(), mode), scene)
        assert (count(drawn, ACCENT) > 0) == fires


def test_cold_is_said_and_shows_no_label(monkeypatch):
    spy = Spy(monkeypatch)
    draw(Overlay(make_card(), "compact"), Scene(grey(480, 640), prediction(cold=True)))
    assert spy.texts == ["Warming up"]


def test_the_threshold_mark_moves_with_the_threshold():
    columns = []
    for rise in (0.2, 0.5, 0.95):
        drawn = draw(Overlay(make_card(rise=rise), "compact"),
                     Scene(grey(480, 640), prediction("Swiping Left", 0.01)))
        bar = drawn[60:62]  # beneath the row of text
        columns.append(np.flatnonzero((bar == INK).all(2).any(0)).mean())
    track = 420 - 2 * 12
    assert np.diff(columns) == pytest.approx([0.3 * track, 0.45 * track], abs=2)


def test_the_bars_list_the_likeliest_classes(monkeypatch):
    spy = Spy(monkeypatch)
    current = prediction("Thumb Up", 0.5)
    current.probabilities[[5, 1]] = (0.3, 0.1)
    draw(Overlay(make_card(), "full"), Scene(grey(480, 640), current))
    wanted = ["Thumb Up", LONG[0], "Swiping Right"]
    assert [text for text in spy.texts if text in wanted][1:] == wanted  # after the large one
    assert {"50%", "30%", "10%"} <= set(spy.texts)


@pytest.mark.parametrize("size", [(480, 640), (720, 1280), (1080, 1920), (600, 800)])
def test_there_are_five_bars_at_any_size(size, monkeypatch):
    spy = Spy(monkeypatch)
    draw(Overlay(make_card(), "full"), Scene(grey(*size), prediction("Thumb Up", 0.5)))
    assert len([text for text in spy.texts if text.endswith("%")]) == 1 + 5  # the large one first


def test_events_flash_stay_and_fade_away():
    image = grey(480, 640, 200)
    strength = {}
    for age in (0.2, 2.0, 6.0, 9.0, 10.5):
        scene = Scene(image, prediction("No gesture"), events=[(event("Thumb Up", 50), age)])
        drawn = draw(Overlay(make_card(), "compact"), scene)
        chip = slice(84, 110), slice(12, 100)
        strength[age] = float(np.abs(drawn[chip].astype(int) - image[chip]).mean())
        assert (count(drawn, ACCENT) > 0) == (age < 1)
    assert strength[2.0] > strength[6.0] > strength[9.0] > strength[10.5] == 0


def test_the_message_is_shown_in_every_mode_but_not_recorded(monkeypatch):
    spy = Spy(monkeypatch)
    for mode in MODES:
        overlay = Overlay(make_card(), mode)
        scene = busy_scene(grey(480, 640), message="Camera lost, retrying in 2 s")
        recorded = overlay.annotate(scene)
        assert "Camera lost, retrying in 2 s" not in spy.texts
        shown = overlay.notices(recorded, scene)
        assert "Camera lost, retrying in 2 s" in spy.texts
        assert count(shown, INK) > count(recorded, INK)
        spy.texts.clear()


def test_a_long_message_is_broken_into_lines(monkeypatch):
    spy = Spy(monkeypatch)
    message = "The camera 0 is busy: another program holds it; close that one, or choose another"
    draw(Overlay(make_card(), "off"), busy_scene(grey(480, 640), message=message))
    assert len(spy.texts) > 1
    assert " ".join(spy.texts) == message


def test_a_path_that_is_too_wide_keeps_its_end(monkeypatch):
    spy = Spy(monkeypatch)
    message = "recorded runs/2026-11-28_17-04-14/annotated.mp4"
    draw(Overlay(make_card(), "off"), busy_scene(grey(480, 640), message=message))
    assert spy.texts == ["recorded", "runs/2026-11-28_17-04-14/", "annotated.mp4"]


def test_recording_shows_a_red_dot_and_its_length(monkeypatch):
    spy = Spy(monkeypatch)
    scene = busy_scene(grey(480, 640), recording=True, recording_s=75.9)
    drawn = draw(Overlay(make_card(), "off"), scene)
    assert spy.texts == ["REC 01:15"]
    assert count(drawn, RECORDING) > 30


@pytest.mark.parametrize("size", SIZES)
def test_a_task_shows_what_it_does_and_how_far_it_is(size, monkeypatch):
    spy = Spy(monkeypatch)
    scene = busy_scene(grey(*size), task=("Learning: " + "views of clips " * 9, 0.43), paused=True,
                       recording=True, message="The camera stopped answering. " * 3)
    drawn = draw(Overlay(make_card(), "off"), scene)
    assert_inside_and_apart(spy, size)
    if min(size) >= 360:
        assert "43%" in spy.texts
        assert count(drawn, ACCENT) > 0.2 * size[1]


def test_paused_says_how_to_go_on(monkeypatch):
    spy = Spy(monkeypatch)
    draw(Overlay(make_card(), "off"), busy_scene(grey(480, 640), paused=True))
    assert spy.texts == ["Paused", "Space goes on"]


def test_notices_return_the_picture_itself_when_there_are_none():
    image = grey(480, 640)
    assert Overlay(make_card(), "full").notices(image, busy_scene(image)) is image


def test_text_grows_with_the_picture(monkeypatch):
    heights = []
    for size in ((480, 640), (1080, 1920)):
        spy = Spy(monkeypatch)
        draw(Overlay(make_card(), "full"), busy_scene(grey(*size), "Thumb Up"))
        heights.append(spy.inks[spy.texts.index("Camera")][3]
                       - spy.inks[spy.texts.index("Camera")][1])
        monkeypatch.undo()
    assert heights[1] > 1.5 * heights[0] >= 12


def test_unprintable_labels_do_no_harm(monkeypatch):
    spy = Spy(monkeypatch)
    names = ("手势", "a\nb", "lone \ud800 surrogate", "👋 wave", "x" * 500, "\x00")
    events = [(event(name, 99.0 - i), 2.0) for i, name in enumerate(names)]
    drawn = draw(Overlay(make_card(), "full"), busy_scene(grey(1080, 1920), events=events))
    assert drawn.shape == (1080, 1920, 3)
    assert {"手势", "a b", "lone ? surrogate", "?"} <= set(spy.texts)


def test_full_mode_is_fast_enough_for_a_camera():
    """About 2.5 ms of one core; the bound leaves room for a slow one."""
    overlay, scene = Overlay(make_card(), "full"), busy_scene(grey(480, 640))
    took = []
    for _ in range(15):
        start = time.thread_time()
        draw(overlay, scene)
        took.append(time.thread_time() - start)
    assert np.median(took) < 0.02


def test_compact_shows_rate_and_age(monkeypatch):
    spy = Spy(monkeypatch)
    scene = busy_scene(grey(480, 640), "Thumb Up", panel=full_panel(model_fps=24.6, age_s=0.0412))
    draw(Overlay(make_card(), "compact"), scene)
    assert "25 fps  ·  41 ms" in spy.texts
