"""Which cache a frame goes to, by times alone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

import numpy as np
import pytest

from online_tsm.phases import PhaseClock, Turn

WARMUP = 4


def turns(times: Iterable[float], rate: float = 15.0, phases: int | None = None) -> list[Turn]:
    clock = PhaseClock(rate, WARMUP, phases)
    return [clock.turn(time) for time in times]


def steady(rate: float, n: int, start: float = 0.0) -> list[float]:
    return [start + i / rate for i in range(n)]


def camera(rate: float, n: int, jitter: float, dropped: float, seed: int = 0) -> list[float]:
    """Times of a camera's frames: each up to `jitter` frames early or late, some missing."""
    rng = random.Random(seed)
    return [(i + rng.uniform(-jitter, jitter)) / rate for i in range(n) if rng.random() >= dropped]


def lookbacks(found: Iterable[Turn]) -> np.ndarray:
    return np.array([turn.lookback_s for turn in found if turn.lookback_s is not None])


@pytest.mark.parametrize(("rate", "card_rate", "k"), [
    (15, 15, 1), (30, 15, 2), (60, 15, 4), (24, 15, 2), (22, 15, 1), (12, 15, 1), (8, 15, 1),
    (25, 3.5, 7), (30, 12, 2), (30, 10, 3)])
def test_a_steady_rate_is_dealt_out_in_turn_from_the_first_frame_on(rate, card_rate, k):
    found = turns(steady(rate, 60), card_rate)
    assert [turn.phase for turn in found] == [i % k for i in range(60)]
    assert {turn.phases for turn in found[2:]} == {k}
    assert [turn.fresh for turn in found] == [i < k for i in range(60)]
    assert lookbacks(found) == pytest.approx(k / rate)
    assert not any(turn.restart for turn in found)


@pytest.mark.parametrize("k", [1, 3])
def test_a_phase_is_cold_for_as_many_steps_as_the_card_says(k):
    found = turns(steady(15 * k, 40))
    assert [turn.cold for turn in found] == [i < WARMUP * k for i in range(40)]


def test_a_phase_is_warm_at_once_if_the_card_asks_for_no_warm_up():
    assert not PhaseClock(15, 0).turn(0.0).cold


def test_twelve_of_thirty_frames_keep_the_look_back_near_one_period():
    """A machine that takes 75 to 92 ms a frame and then the newest one of a jittery camera."""
    rng = random.Random(1)
    times, free = [], 0.0
    for time in camera(30, 900, jitter=0.1, dropped=0.03):
        if time >= free:
            times.append(time)
            free = time + rng.uniform(0.050, 0.092)
    found = turns(times, card_rate := 12.0)
    assert 11 < (len(times) - 1) / (times[-1] - times[0]) < 13
    back = lookbacks(found) * card_rate
    assert {turn.phases for turn in found[10:]} == {1}
    assert np.median(back) == pytest.approx(1, abs=0.25)
    assert np.mean((back > 0.6) & (back < 1.4)) > 0.9


@pytest.mark.parametrize(("rate", "card_rate", "near"), [
    (30, 15, 0.9), (60, 15, 0.9), (25, 3.5, 0.97), (30, 10, 0.9)])
def test_jitter_and_dropped_frames_keep_the_look_back_near_one_period(rate, card_rate, near):
    found = turns(camera(rate, 1500, jitter=0.2, dropped=0.05), card_rate)[50:]
    back = lookbacks(found) * card_rate
    assert np.mean((back > 0.66) & (back < 1.34)) > near
    assert back.min() > 0.5
    assert back.max() <= 2.5  # older ones began anew
    assert np.mean([turn.cold for turn in found]) < 0.12


def test_one_dropped_frame_does_not_leave_a_phase_behind_for_good():
    """Always taking the phase nearest to one period would step one phase at double speed."""
    times = steady(30, 60)
    del times[31]
    found = turns(times)
    assert {turn.phase for turn in found[33:37]} == {0, 1}
    assert lookbacks(found[35:]) == pytest.approx(2 / 30)


def test_phases_that_are_all_late_are_taken_nearest_first():
    """Two phases, 1.5 and 2 periods old after two dropped frames."""
    times = steady(30, 60)
    del times[31:33]
    assert turns(times)[31].lookback_s == pytest.approx(1.5 / 15)


def test_a_phase_is_due_half_a_frame_before_its_period_is_over():
    """The other one is 1.4 periods old, further off than this one with 0.92."""
    times = [*steady(30, 60), 59 / 30 + 0.061]
    assert turns(times)[60].lookback_s == pytest.approx(0.061)


def test_a_slower_camera_keeps_its_look_back_before_k_has_followed():
    times = steady(30, 60) + steady(15, 30, start=2.0)
    found = turns(times)
    assert found[65].phases == 2
    assert found[-1].phases == 1
    assert lookbacks(found[62:]) == pytest.approx(1 / 15)


def test_when_k_grows_new_phases_start_empty_and_cold_and_old_ones_keep_their_look_back():
    found = turns(steady(15, 45) + steady(45, 200, start=3.0))
    grown = found[45:]
    assert [turn.phases for turn in (grown[0], grown[-1])] == [1, 3]
    fresh = [turn for turn in grown if turn.fresh]
    assert {turn.phase for turn in fresh} >= {1, 2}
    assert all(turn.cold and turn.lookback_s is None for turn in fresh)
    assert len({turn.phase for turn in grown[-30:]}) == 3
    assert lookbacks(grown[-60:]) == pytest.approx(1 / 15)


@pytest.mark.parametrize(("rate", "k"), [(45, 3), (30, 2), (15, 1)])
def test_when_k_shrinks_dropped_phases_are_forgotten(rate, k):
    clock = PhaseClock(15, WARMUP)
    for time in steady(60, 120):
        clock.turn(time)
    assert len(clock.live) == 4
    for time in steady(rate, 120, start=2.0):
        last = clock.turn(time)
        assert last.phase in clock.live
        assert len(clock.live) <= last.phases
    assert last.phases == k
    assert last.lookback_s == pytest.approx(1 / 15)
    for time in steady(60, 120, start=2 + 120 / rate):  # what comes back is empty, not years old
        turn = clock.turn(time)
        assert turn.lookback_s is None or turn.lookback_s < 2.5 / 15


def test_k_stays_while_the_rate_wavers_around_the_point_of_rounding():
    rng = random.Random(3)
    times = [0.0]
    for _ in range(900):
        times.append(times[-1] + 1 / rng.uniform(21.0, 24.0))  # 1.4 to 1.6 card rates
    numbers = [turn.phases for turn in turns(times)][20:]
    assert len(set(numbers)) == 1


def test_k_never_explodes_when_the_first_frames_come_in_a_bunch():
    found = turns([0.0, 0.001, 0.002, *steady(30, 120, start=0.035)])
    assert found[-1].phases == 2
    assert lookbacks(found[40:]) == pytest.approx(2 / 30)


def test_a_gap_restarts_everything_and_is_not_taken_for_a_slow_camera():
    found = turns(steady(30, 60) + steady(30, 20, start=3.0))
    assert [i for i, turn in enumerate(found) if turn.restart] == [60]
    assert [turn.phase for turn in found[60:64]] == [0, 1, 0, 1]
    assert [turn.fresh for turn in found[60:64]] == [True, True, False, False]
    assert all(turn.cold for turn in found[60:60 + 2 * WARMUP])
    assert found[-1].phases == 2


def test_a_hiccup_of_two_periods_is_no_gap():
    assert not any(turn.restart for turn in turns(steady(15, 30) + steady(15, 30, start=2.1)))


@pytest.mark.parametrize("rate", [2.0, 3.0, 5.0])
def test_a_machine_far_slower_than_the_card_still_gets_warm(rate):
    found = turns(steady(rate, 20))
    assert not any(turn.restart for turn in found)
    assert not any(turn.cold for turn in found[WARMUP:])


def test_phases_too_old_to_go_on_begin_anew_though_the_stream_does_not():
    """Four phases at 60 frames a second; then 0.2 s (three periods) without a frame."""
    found = turns(steady(60, 120) + steady(60, 20, start=120 / 60 + 0.2))
    assert not any(turn.restart for turn in found)
    assert [turn.fresh for turn in found[120:124]] == [True] * 4


def test_a_time_that_goes_back_restarts():
    found = turns(steady(30, 60) + steady(30, 60))
    assert [i for i, turn in enumerate(found) if turn.restart] == [60]
    assert found[60].time == 0.0
    assert found[60].lookback_s is None
    assert lookbacks(found[62:]) == pytest.approx(2 / 30)


@pytest.mark.parametrize("slip", [0.0, 0.01, 1 / 15])
def test_a_time_that_stands_still_or_slips_back_a_little_counts_as_the_same_moment(slip):
    times = steady(15, 30)
    times.insert(20, times[19] - slip)
    found = turns(times)
    assert not any(turn.restart for turn in found)
    assert found[20].time == times[19]
    assert all(a.time <= b.time for a, b in itertools.pairwise(found))


def test_a_clock_that_stands_still_for_ever_is_survived_in_little_memory():
    clock = PhaseClock(15, WARMUP)
    found = [clock.turn(7.0) for _ in range(3000)]
    assert {turn.phase for turn in found} == {0}
    assert clock.rate is None
    assert len(clock._times) <= 1001


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("rate", [5, 30, 120])
def test_a_fixed_number_goes_round_in_turn_whatever_the_rate(n, rate):
    found = turns(camera(rate, 90, jitter=0.3, dropped=0.1), phases=n)
    assert [turn.phase for turn in found] == [i % n for i in range(len(found))]
    assert {turn.phases for turn in found} == {n}


@pytest.mark.parametrize("times", [[7.0] * 12, [7.0, 7.02, 7.02, 7.01] * 3],
                         ids=["standing", "slipping"])
def test_a_fixed_number_goes_round_in_turn_where_times_stand_still(times):
    assert [turn.phase for turn in turns(times, phases=3)] == [i % 3 for i in range(12)]


def test_a_fixed_number_begins_with_the_first_phase_after_a_gap():
    found = turns([*steady(15, 4), *steady(15, 4, start=9.0)], phases=3)
    assert [turn.phase for turn in found] == [0, 1, 2, 0] * 2
    assert [turn.fresh for turn in found] == [True, True, True, False] * 2


def test_the_rate_counts_intervals_and_not_frames():
    clock = PhaseClock(15, WARMUP)
    clock.turn(10.0)
    assert clock.rate is None
    clock.turn(10.1)
    assert clock.rate == pytest.approx(10)
    clock.turn(10.2)
    assert clock.rate == pytest.approx(10)


def test_the_origin_of_time_does_not_matter():
    times = camera(30, 300, jitter=0.2, dropped=0.1)
    moved = [time - 5000 for time in times]
    assert [t.phase for t in turns(times)] == [t.phase for t in turns(moved)]
