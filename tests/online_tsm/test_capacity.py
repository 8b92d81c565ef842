"""Many cameras: how many an engine serves, and where the curve bends."""

from __future__ import annotations

from collections import Counter

import pytest
from gpu_marks import needs_cuda
from tiny_streams import pictures

from online_tsm.capacity import Point, bend, capacity, search
from online_tsm.engine import open_engine


def passes(costs):
    """Passes of n streams that take `costs(n)` ms."""
    return lambda n: Point(n, costs(n), costs(n))


@pytest.mark.parametrize(("each_ms", "largest"), [(40, 0), (20, 1), (1.0, 33), (0.33, 101)])
def test_the_largest_number_of_streams_is_found(each_ms, largest):
    found, points = search(passes(lambda n: n * each_ms))
    assert largest - largest / 16 <= found <= largest
    assert {p.streams for p in points} >= {1, found or 1}
    assert len(points) < 16


def test_a_number_that_fails_once_is_measured_again():
    seen: list[int] = []

    def measure(n: int) -> Point:
        seen.append(n)
        spike = 50.0 if n in (1, 4) and seen.count(n) == 1 else 0.0
        return Point(n, float(n), n + spike)

    found, points = search(measure)
    assert 31 <= found <= 33
    assert [p.p99_ms for p in points if p.streams in (1, 4)] == [1.0, 4.0]
    assert max(Counter(seen).values()) == 2


def test_no_more_streams_than_wanted_are_tried():
    found, points = search(passes(lambda n: 1.0), most=20)
    assert 16 <= found <= 20
    assert max(p.streams for p in points) <= 20


def test_the_curve_bends_where_streams_begin_to_cost():
    _, points = search(passes(lambda n: max(8, n)), most=64)
    assert bend(points) == 8


def test_a_real_engine_serves_some_cameras(model, monkeypatch):
    monkeypatch.setattr("online_tsm.capacity.ROUNDS", 1)
    monkeypatch.setattr("online_tsm.capacity.BLOCK", 4)
    found = capacity(open_engine(model, "onnxruntime", "cpu", 1), pictures(2), most=3)
    assert found["whole"]["largest"] in range(4)
    assert [p["streams"] for p in found["whole"]["points"]][:1] == [1]
    assert all(p["p99_ms"] >= p["median_ms"] > 0 for p in found["whole"]["points"])
    assert found["network"] is None  # the same thread does both


@needs_cuda
def test_an_engine_on_cuda_serves_cameras_with_and_without_preprocessing(model, monkeypatch):
    monkeypatch.setattr("online_tsm.capacity.ROUNDS", 1)
    monkeypatch.setattr("online_tsm.capacity.BLOCK", 4)
    found = capacity(open_engine(model, "torch", "cuda"), pictures(2), most=3)
    for part in ("whole", "network"):
        assert [p["streams"] for p in found[part]["points"]][:1] == [1]
        assert all(p["p99_ms"] >= p["median_ms"] > 0 for p in found[part]["points"])
