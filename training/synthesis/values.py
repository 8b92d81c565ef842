"""Numbers, ranges and directions of the gesture language."""

import math
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


def read_bounded(data: Located, key: str, default: Range, low: float, high: float = math.inf
                 ) -> Range:
    """A range within bounds, both allowed."""
    found = read_range(data, key, default)
    if found[0] < low or found[1] > high:
        bounds = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise data.error(f"'{key}' must be {bounds}, and is {data[key]!r}", key)
    return found


def read_number(data: Located, key: str, default: float, low: float, high: float = math.inf
                ) -> float:
    """One number within bounds, both allowed, where no range is drawn from."""
    found = read_bounded(data, key, (default, default), low, high)
    if found[0] != found[1]:
        raise data.error(f"'{key}' must be one number, and is {data[key]!r}", key)
    return found[0]


def read_flag(data: Located, key: str) -> bool:
    """true or false; false where nothing is said."""
    value = data.get(key, False)
    if not isinstance(value, bool):
        raise data.error(f"'{key}' must be true or false, and is {value!r}", key)
    return value


def read_text(data: Located, key: str, default: str | None = None) -> str:
    value = data.get(key, default)
    if value is None:
        raise data.error(f"'{key}' is missing")
    if not isinstance(value, str) or not value:
        raise data.error(f"'{key}' must be a text, and is {value!r}", key)
    return value


def read_list(data: Located, key: str) -> list[Any]:
    """A list with something in it; an empty one where nothing is said."""
    value = data.get(key, [])
    if key in data and (not isinstance(value, list) or not value):
        raise data.error(f"'{key}' must be a list, and is {value!r}", key)
    return list(value)


def as_range(data: Located, key: str, value: Any) -> Range:
    pair = value if isinstance(value, list) else [value, value]
    if len(pair) != 2 or not all(_is_number(x) for x in pair) or pair[0] > pair[1]:
        raise data.error(f"'{key}' must be a number or a range [low, high], and is {value!r}", key)
    return float(pair[0]), float(pair[1])


def _is_number(value: Any) -> bool:
    return (isinstance(value, (int, float)) and not isinstance(value, bool)
            and math.isfinite(value))


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
