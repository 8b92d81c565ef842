"""Rounds: blocks in turn, frames at their time, and noisy blocks that are left out."""

from __future__ import annotations

import pytest
from fake_time import FakeTime
from tiny_streams import pictures

from online_tsm import quiet
from online_tsm.rounds import WARM_FRAMES, Block, Candidate, figures, ratio, timed


def candidate(name: str, run, anchor: str = "") -> Candidate:
    return Candidate(name, "torch", 1, 1, run, lambda: None, anchor=anchor)


def block(seconds: list[float], clean: bool | None) -> Block:
    return Block(seconds, {"network": seconds}, sum(seconds), {}, clean)


def test_blocks_are_interleaved_and_their_first_frames_do_not_count():
    order: list[str] = []

    def runner(name: str):
        def run(images):
            order.append(name)
            return {"network": 0.001}
        return run

    results = timed([candidate(n, runner(n)) for n in "ab"], pictures(3), 5, 6)
    played = order[4:]  # two trials each
    assert len(played) == 2 * 5 * (6 + WARM_FRAMES)
    turns = [played[i] for i in range(0, len(played), 6 + WARM_FRAMES)]
    assert sorted(turns) == ["a"] * 5 + ["b"] * 5
    assert all(set(turns[i:i + 2]) == {"a", "b"} for i in range(0, 10, 2))
    assert [len(b.seconds) for b in results["a"]] == [6] * 5


def test_paced_frames_begin_at_multiples_of_the_period(monkeypatch: pytest.MonkeyPatch):
    clock, starts = FakeTime(), []
    monkeypatch.setattr("online_tsm.rounds.time", clock)

    def run(images):
        starts.append(clock.now)
        clock.now += 0.003
        return {}

    timed([candidate("a", run)], pictures(1), 1, 5, period_s=0.02)
    paced = starts[2:]  # after the two trial frames
    expected = [0.006 + 0.02 * (number + 1) for number in range(WARM_FRAMES + 5)]
    assert paced == pytest.approx(expected)


def test_noisy_blocks_are_left_out_where_enough_are_clean():
    blocks = [block([0.001], True)] * 3 + [block([0.1], False)] * 5
    assert figures(blocks)["p99_ms"] == pytest.approx(1)
    assert figures(blocks)["clean_blocks"] == 3
    assert figures(blocks[2:])["median_ms"] == pytest.approx(100)  # too few; all count
    unknown = [block([0.001], None)] * 2 + [block([0.003], None)]
    assert figures(unknown)["median_ms"] == pytest.approx(1)


def test_ratios_are_taken_within_a_round():
    # The machine slows down tenfold in the middle; the anchor always takes four times as long.
    slow = [1, 1, 1, 10, 10]
    anchor = [block([0.004 * s], None) for s in slow]
    other = [block([0.001 * s], None) for s in slow]
    assert ratio(anchor, other) == pytest.approx(4)
    uneven = [block([s], None) for s in (8, 2, 1)], [block([s], None) for s in (2, 1, 8)]
    assert ratio(*uneven) == 2  # of 4, 2 and 1/8
    noisy = [block([1.0], False), *anchor[1:]]
    assert ratio(noisy, other) == pytest.approx(4)


def test_a_block_in_which_others_waited_for_a_core_is_noisy():
    assert quiet.clean(1.0, 1.0005, 0.1) is True
    assert quiet.clean(1.0, 1.02, 0.1) is False
    assert quiet.clean(None, None, 0.1) is None
