"""What a training window shows, and what is asked of each of its frames."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from toy_shards import END_S, STROKE_S

from models.card import ModelCard
from training.data import Clip, read_shards
from training.events_file import LabelledEvent
from training.sequences import (
    SETTLE_S,
    SequenceOptions,
    draw_sequence,
    frame_numbers,
    targets,
    window_times,
)

OPTIONS = SequenceOptions()
HELD = 2.1  # the hold ends there


@pytest.fixture
def clip(shards: Path) -> Clip:
    return read_shards(shards / "train")[0]  # "left"


@pytest.fixture
def idle_clip(shards: Path) -> Clip:
    return read_shards(shards / "train")[3]  # "nothing"


def test_the_class_is_asked_for_from_the_stroke_on_and_background_around_it(
        clip: Clip, toy_card: ModelCard) -> None:
    times = np.array([-3.0, 0.0, 1.19, 1.21, 1.55, STROKE_S[1], HELD, 2.45, 2.6, 2.9, 9.0])
    asked = targets(clip, times, toy_card, OPTIONS)
    left, nothing = 0, 3
    assert asked.places[:9].tolist() == [nothing] * 3 + [left] * 4 + [nothing] * 2
    assert asked.weights[:3].tolist() == [0.5] * 3  # idle and raise
    assert 0 < asked.weights[3] < asked.weights[4] < asked.weights[5] == 1  # it becomes clear
    assert asked.weights[6] == 1
    assert asked.weights[7:9].tolist() == [0, 0]  # the hand returns: anything goes
    assert 2.6 < END_S + SETTLE_S < 2.9
    assert asked.places[9:].tolist() == [nothing] * 2
    assert asked.weights[9:].tolist() == [0.5] * 2  # long after


def test_the_class_is_asked_for_a_moment_longer_than_it_is_shown(clip: Clip, toy_card: ModelCard
                                                                 ) -> None:
    lingers = HELD + OPTIONS.linger_s
    asked = targets(clip, np.array([lingers - 0.01, lingers + 0.01]), toy_card, OPTIONS)
    assert asked.places[0] == 0
    assert asked.weights.tolist() == [1, 0]


def test_a_background_clip_asks_for_its_label_everywhere(clip: Clip, toy_card: ModelCard,
                                                         idle_clip: Clip) -> None:
    card = toy_card.replace(labels=["nothing", "left", "right", "stop"], background=["stop",
                                                                                    "nothing"])
    asked = targets(idle_clip, np.array([-5.0, 1.0, 20.0]), card, OPTIONS)
    assert asked.places.tolist() == [0, 0, 0]
    assert asked.weights.tolist() == [1, 1, 1]


def test_what_happens_before_a_gesture_keeps_its_label_when_it_is_shown_again(
        clip: Clip, toy_card: ModelCard) -> None:
    first = float(clip.times[0])
    before = LabelledEvent("nothing", first + 0.2, first + 0.4)
    busy = dataclasses.replace(clip, events=(before, *clip.events))
    asked = targets(busy, first + np.array([-0.3, -0.1, 0.3]), toy_card, OPTIONS)
    assert asked.weights.tolist() == [1, 0.5, 1]  # an event's, idle time's, the event's


def test_idle_time_goes_to_and_fro_and_never_shows_the_gesture(clip: Clip, toy_card: ModelCard
                                                               ) -> None:
    times = np.arange(-4.0, 8.0, 1 / 24)
    numbers = frame_numbers(clip, times, toy_card.background)
    shown = clip.times[numbers]
    assert np.abs(np.diff(shown)).max() < 0.09  # no jump anywhere: a frame or two at most
    assert shown[times < 0].max() <= 0.8  # until the hand rises
    assert shown[times > 3.3].min() >= END_S - 0.09
    assert len(np.unique(numbers[times < 0])) > 5  # it moves
    inside = (times >= 0.05) & (times <= 3)
    assert np.abs(shown[inside] - times[inside]).max() <= 1 / 12 + 1e-6  # the newest frame by then
    assert (shown[inside] <= times[inside] + 1e-5).all()


def test_the_speed_varies_by_at_least_forty_percent_either_way(clip: Clip, toy_card: ModelCard
                                                               ) -> None:
    rng = np.random.default_rng(0)
    options = dataclasses.replace(OPTIONS, jitter=0.0)
    steps = [np.diff(window_times(clip, toy_card, options, rng)).mean() * toy_card.frame_rate
             for _ in range(300)]
    assert min(steps) < 0.65
    assert max(steps) > 1.4
    assert 0.85 < np.median(steps) < 1.15


def test_windows_show_all_parts_of_a_stream(clip: Clip, toy_card: ModelCard) -> None:
    rng = np.random.default_rng(1)
    windows = [window_times(clip, toy_card, OPTIONS, rng) for _ in range(300)]
    assert all(len(times) == OPTIONS.frames and (np.diff(times) >= 0).all() for times in windows)
    before = np.mean([times[-1] < STROKE_S[0] for times in windows])
    after = np.mean([times[0] > HELD for times in windows])
    whole = np.mean([times[0] < STROKE_S[0] and times[-1] > STROKE_S[1] for times in windows])
    assert 0.05 < before < 0.2
    assert after > 0.02
    assert whole > 0.4


def test_a_sequence_may_cut_to_another_clip(clip: Clip, idle_clip: Clip, toy_card: ModelCard
                                            ) -> None:
    rng = np.random.default_rng(0)
    always = dataclasses.replace(OPTIONS, join_share=1.0)
    for _ in range(20):
        first, second = draw_sequence(clip, [idle_clip], toy_card, always, rng)
        assert (first.clip, second.clip) == (clip, idle_clip)
        assert len(first.times) + len(second.times) == OPTIONS.frames
        assert min(len(first.times), len(second.times)) >= OPTIONS.frames // 4
    never = dataclasses.replace(OPTIONS, join_share=0.0)
    assert len(draw_sequence(clip, [idle_clip], toy_card, never, rng)) == 1
