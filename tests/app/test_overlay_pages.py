"""The panel, the timeline and the help page: what they say."""

from __future__ import annotations

import numpy as np
import pytest
from overlay_scenes import (
    LABELS,
    STAGES,
    Spy,
    busy_scene,
    draw,
    event,
    full_panel,
    grey,
    make_card,
)

from app import lettering
from app.drawing import ACCENT, INK, WARNING
from app.keys import COMMANDS
from app.overlay import Overlay, Panel, Scene
from app.panel import rows_of, step_is_off


def values(panel: Panel) -> dict[str, str]:
    return {row.name: row.value for row in rows_of(panel)}


def test_the_panel_has_every_figure():
    said = values(full_panel(engine="torch", device="cuda", phases=3, dropped=7, cold=True))
    assert said["Camera"] == "30.0 fps"
    assert said["Model"] == "29.8 fps"
    assert said["Step / trained"] == "67 / 67 ms"
    assert said["Frame age"] == "41 ms"
    assert said["Dropped"] == "7"
    assert said["Caches"] == "3 phases, cold"
    assert "torch  ·  cuda" in said
    assert make_card().name in said
    stages = rows_of(full_panel())[-len(STAGES):]
    assert [row.name.lower() for row in stages] == list(STAGES)
    assert (stages[0].middle, stages[0].value) == ("12.3", "45.6")  # p50, p95 in ms


def test_what_is_not_known_is_a_dash():
    said = values(Panel())
    assert said["Camera"] == "– fps"
    assert said["Step / trained"] == "– / – ms"
    assert said["Frame age"] == "– ms"
    assert "Stage, ms" not in said


@pytest.mark.parametrize(("real", "off"), [
    (0.0667, False), (0.088, False), (0.0895, True), (0.045, False), (0.044, True), (None, False)])
def test_a_step_off_by_more_than_a_third_is_coloured(real, off):
    panel = full_panel(lookback_s=real, trained_step_s=0.0667)
    assert step_is_off(panel) == off
    drawn = draw(Overlay(make_card(), "full"), busy_scene(grey(480, 640), panel=panel))
    assert bool((drawn == WARNING).all(axis=2).any()) == off


def strip_of(timeline, events=(), size=(480, 640)):
    """The rows of the strip, in full mode, without the names of the events."""
    scene = Scene(grey(*size), timeline=timeline, events=events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lettering, "put", lambda *_, **__: None)
        return draw(Overlay(make_card(), "full"), scene)[404:468]


def columns(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.flatnonzero((pixels == colour).all(axis=2).any(axis=0))


def history(start: float, end: float, label: str) -> list[tuple[float, str, float]]:
    """Ten seconds up to time 100 in which `label` leads from `start` to `end`."""
    return [(float(t), label if start <= t < end else "No gesture", 0.9)
            for t in np.arange(90.0, 100.01, 0.05)]


def test_the_timeline_shows_when_a_gesture_led():
    found = columns(strip_of(history(92.0, 94.0, "Swiping Left")), ACCENT)
    inner = 640 - 2 * 12 - 2 * 10  # margins, then padding
    share = (found - 22) / inner
    assert share.min() == pytest.approx(0.2, abs=0.01)
    assert share.max() == pytest.approx(0.4, abs=0.01)


def test_the_timeline_has_no_accent_without_a_gesture():
    for label in ("No gesture", "Pulling Two Fingers In"):
        assert not len(columns(strip_of(history(92.0, 94.0, label)), ACCENT))


@pytest.mark.parametrize("age", [0.5, 2.5, 7.0])
def test_an_event_is_marked_where_it_happened(age):
    marks = [(event("Thumb Up", 100 - age), age)]
    found = columns(strip_of(history(0, 0, "Thumb Up"), marks)[30:], INK)  # below the dot
    inner = 640 - 2 * 12 - 2 * 10
    assert found.mean() == pytest.approx(22 + inner * (1 - age / 10), abs=1.5)


def test_what_is_older_than_the_strip_is_not_on_it():
    marks = [(event("Thumb Up", 85.0), 15.0)]
    old = [(80.0, "Swiping Left", 0.9), (85.0, "Swiping Left", 0.9)]
    drawn = strip_of(old + history(0, 0, "Thumb Up"), marks)
    assert not len(columns(drawn, INK))
    assert not len(columns(drawn, ACCENT))


def help_texts(monkeypatch, size, mode="full", **smoothing):
    spy = Spy(monkeypatch)
    overlay = Overlay(make_card(**smoothing), mode)
    overlay.help = True
    scene = Scene(grey(*size))
    return spy.texts, draw(overlay, scene)


@pytest.mark.parametrize("size", [(480, 640), (1080, 1920)])
@pytest.mark.parametrize("mode", ["off", "full"])
def test_help_lists_all_keys_and_gestures(size, mode, monkeypatch):
    texts, _ = help_texts(monkeypatch, size, mode)
    assert {command.help for command in COMMANDS} <= set(texts)
    assert {"Q", "Esc", "F", "H", "M", "O", "R", "S", "X", "Space"} <= set(texts)
    assert set(LABELS) <= set(texts)
    assert "0.80" in texts
    assert (texts.count("rest"), texts.count("off")) == (2, 1)  # background, disabled
    assert texts.count("0.60") == len(LABELS) - 4


def test_help_marks_the_gestures_that_must_last(monkeypatch):
    texts, _ = help_texts(monkeypatch, (1280, 720), thresholds={"Stop Sign": 0.65},
                          holds={"Stop Sign": 0.5, "Thumb Up": 0.4}, disabled=["Thumb Up"])
    assert "0.65*" in texts
    assert any(text.endswith("*: if it lasts 0.5 s.") for text in texts)


def test_help_says_how_many_gestures_have_no_room(monkeypatch):
    texts, _ = help_texts(monkeypatch, (360, 480))
    names = texts[texts.index("Gestures") + 1:-1]  # the legend comes last
    shown = sum(text in LABELS or text.endswith("…") for text in names)
    assert 0 < shown < len(LABELS)
    assert f"and {len(LABELS) - shown} more" in texts


@pytest.mark.parametrize("room", [15, 40, 90, 160, 500])
@pytest.mark.parametrize("text", ["Swiping Left", "Turning Hand Counterclockwise", "手势" * 20])
def test_fitted_text_fits(room, text):
    fitted, size = lettering.fit(text, room, 26, 12, lettering.SEMIBOLD)
    assert lettering.width_of(fitted, size, lettering.SEMIBOLD) <= room
    assert 12 <= size <= 26
    assert fitted == text or (size == 12 and (not fitted or fitted.endswith("…")))


def test_text_is_shrunk_before_it_is_cut():
    width = lettering.width_of("Swiping Left", 26)
    assert lettering.fit("Swiping Left", width, 26) == ("Swiping Left", 26)
    fitted, size = lettering.fit("Swiping Left", width - 1, 26)
    assert (fitted, size) == ("Swiping Left", 25)
