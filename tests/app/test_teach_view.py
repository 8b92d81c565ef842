"""What the session shows: every step, at sizes that windows have, and never over the hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from overlay_scenes import LONG, Spy, grey, make_card
from teach_users import clip, recorded
from test_overlay import assert_inside_and_apart, luminance

from app.drawing import ACCENT, RECORDING
from app.teach import Session
from app.teach_view import draw_session

STEPS = ("choose", "guide", "name", "countdown", "record", "examine", "review", "background",
         "refused", "delete")
SIZES = [(480, 640), (720, 1280), (1080, 1920), (360, 480), (1280, 720)]  # height, width
WORDS = ("The camera gave only 6 frames a second, at least 8 are needed: more light, or a smaller "
         "picture, makes most cameras faster.")


def session_at(step: str, label: str = LONG[0]) -> Session:
    session = Session(make_card(), [*recorded(label, 4), *recorded("Thumb Up", 7),
                                    *recorded("background", 2, background=True)])
    session.cursor = [choice.label for choice in session.choices].index(
        "Stop Sign" if step == "guide" else label)
    session.notice = WORDS if step in ("guide", "name", "refused") else ""
    session.typed = "a name of sixty letters, which is as long as one can ever be"
    session.label, session.number = "background" if step == "background" else label, 12
    session.clip = clip()
    session.stroke = None if step == "background" else (1.0, 2.0)
    session.energy = np.abs(np.sin(np.arange(31, dtype=np.float32)))
    session.step = {"guide": "choose", "background": "review"}.get(step, step)  # type: ignore[assignment]
    session.elapsed = 1.3
    return session


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", STEPS)
def test_text_stays_inside_and_apart(step: str, size: tuple[int, int], monkeypatch) -> None:
    spy, image = Spy(monkeypatch), grey(*size)
    drawn = draw_session(image, session_at(step), "Learning: views of clips, and so on (43%)")
    assert spy.texts
    assert_inside_and_apart(spy, size)
    assert drawn.shape == image.shape
    assert np.array_equal(image, grey(*size))  # what is given stays as it is


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("step", STEPS)
def test_text_is_readable_on_any_background(step: str, level: int, monkeypatch) -> None:
    spy = Spy(monkeypatch)
    drawn = draw_session(grey(480, 640, level), session_at(step))
    for text, (left, top, right, bottom), colour in zip(spy.texts, spy.inks, spy.colours,
                                                        strict=True):
        ring = np.concatenate([drawn[top - 2:top - 1, left:right].reshape(-1, 3),
                               drawn[top:bottom, left - 2:left - 1].reshape(-1, 3)])
        ground, ink = luminance(np.median(ring, axis=0)), luminance(np.array(colour, float))
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5, text


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("step", "share"), [("countdown", 0.72), ("record", 0.79)])
def test_the_hand_is_not_hidden_while_it_counts(step: str, share: float, size: tuple[int, int]
                                                ) -> None:
    rows, frame = int(share * size[0]), 12
    drawn = draw_session(grey(*size), session_at(step))
    assert (drawn[frame:rows, frame:-frame] == 128).all()


def test_a_red_frame_says_that_it_records() -> None:
    image = draw_session(grey(480, 640), session_at("record"))
    for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
        assert (edge == RECORDING).all()
    assert not (draw_session(grey(480, 640), session_at("countdown"))[0] == RECORDING).any()


def test_the_whole_replay_is_seen_above_its_timeline() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[-24:] = (255, 0, 255)  # the lowest part of the frame
    drawn = draw_session(image, session_at("review"))
    rows = np.flatnonzero((np.abs(drawn.astype(int) - (255, 0, 255)) < 60).all(2).any(1))
    assert len(rows)
    assert rows.max() < 480 - 152 - 12


def test_the_stroke_lies_on_the_timeline_where_it_is() -> None:
    def green(stroke: tuple[float, float]) -> np.ndarray:
        session = session_at("review")
        session.stroke = stroke
        drawn = draw_session(grey(480, 640), session)
        return np.flatnonzero((drawn[400:430] == ACCENT).all(2).any(0))

    inner = 640 - 2 * (12 + 14)  # margins, then padding
    first, second = green((0.6, 1.2)), green((1.5, 2.7))
    for found, (start, end) in ((first, (0.6, 1.2)), (second, (1.5, 2.7))):
        share = (found - 26) / inner
        assert share.min() == pytest.approx(start / 3, abs=0.02)
        assert share.max() == pytest.approx(end / 3, abs=0.02)


@pytest.mark.parametrize(("step", "said"), [
    ("choose", "4 of 5"), ("choose", "7 recorded"), ("choose", "2 still missing"),
    ("guide", "Stop Sign"), ("name", "What is the new gesture called?"), ("countdown", "2"),
    ("review", "1.00 to 2.00 s"), ("refused", "Not usable: record it again"),
    ("delete", "Turning Hand Counterclockwise: delete one of 4?")])
def test_what_a_step_says(step: str, said: str, monkeypatch) -> None:
    spy = Spy(monkeypatch)
    draw_session(grey(720, 1280), session_at(step))
    assert said in spy.texts


def test_the_guide_moves_and_is_mirrored_with_the_picture() -> None:
    def drawn(elapsed: float, **how: Any) -> np.ndarray:
        session = session_at("guide")
        session.elapsed = elapsed
        return draw_session(grey(480, 640), session, **how)[200:400, 350:620]

    assert (drawn(0.0) != drawn(0.5)).any()
    assert (drawn(0.5) != drawn(0.5, mirrored=True)).any()


def test_a_window_too_small_for_a_session_says_so(monkeypatch) -> None:
    spy = Spy(monkeypatch)
    draw_session(grey(120, 160), session_at("choose"))
    assert "larger" in " ".join(spy.texts)
