"""Numbers, ranges and directions of the gesture language."""

from typing import Any

import numpy as np

from training.synthesis.located import Located

Range = tuple[float, float]
Triple = tuple[Range, Range, Range]
WORDS = {
    "out": (1.0, 0.0, 0.0),
    "in": (-1.0, 0.0, 0.0),
    "up": (0.0, 1.0, 0.0),
    "down": (0.0, -1.0, 0.0),
    "near": (0.0, 0.0, 1.0),
    "away": (0.0, 0.0, -1.0),
}


def read_range(data: Located, key: str, default: Range | None = None) -> Range:
    if key not in data:
        if default is None:
            raise data.error(f"'{key}' is missing")
        return default
    return as_range(data, key, data[key])


def as_range(data: Located, key: str, value: Any) -> Range:
    pair = value if isinstance(value, list) else [value, value]
    if len(pair) != 2 or not all(_is_number(x) for x in pair) or pair[0] > pair[1]:
        raise data.error(f"'{key}' must be a number or a range [low, high], and is {value!r}", key)
    return float(pair[0]), float(pair[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def read_triple(data: Located, key: str, default: Triple | None = None) -> Triple:
    """Three ranges (out, up, near) from a list, or from words such as `up+0.5*near`."""
    value = data.get(key)
    if value is None:
        if default is None:
            raise data.error(f"'{key}' is missing")
        return default
    if isinstance(value, str):
        return _from_words(data, key, value)
    if isinstance(value, list) and len(value) == 3:
        a, b, c = (as_range(data, key, item) for item in value)
        return a, b, c
    raise data.error(f"'{key}' must be three numbers [out, up, near] or words like 'up+near'", key)


def _from_words(data: Located, key: str, text: str) -> Triple:
    total = np.zeros(3)
    for term in text.replace(" ", "").split("+"):
        factor, _, word = term.rpartition("*")
        try:
            total += np.array(WORDS[word]) * (float(factor) if factor else 1.0)
        except (KeyError, ValueError):
            known = ", ".join(WORDS)
            raise data.error(f"'{key}': '{term}' is no direction; known: {known}", key) from None
    x, y, z = (float(v) for v in total)
    return (x, x), (y, y), (z, z)


def read_fingers(data: Located, key: str, default: tuple[Range, ...] | None) -> tuple[Range, ...]:
    """Four ranges: one number or range for all, or a list of four."""
    value = data.get(key)
    if value is None:
        return default or ((0.0, 0.0),) * 4
    if isinstance(value, list) and len(value) == 4:
        return tuple(as_range(data, key, item) for item in value)
    return (as_range(data, key, value),) * 4
