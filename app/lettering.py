"""Measured text: OpenCV's built-in TrueType font, fitted into the room there is.

Sizes are pixels. Drawn on the main thread only, for the font object is shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

REGULAR, MEDIUM, SEMIBOLD = 400, 500, 600  # weights of the font
CAP_HEIGHT = 0.74  # of a capital letter, as a share of the size
SMALLEST = 10  # px; below this the font is no longer readable
_FONT = cv2.FontFace("sans")


def drawable(text: str) -> str:
    """`text` with blanks for white space and "?" for what cannot be printed.

    OpenCV crashes the process on a lone surrogate and breaks the line at control characters.
    Printable characters that its font lacks it draws as "?" itself.
    """
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


@lru_cache(maxsize=4096)
def width_of(text: str, size: int, weight: int = REGULAR) -> int:
    """Width in pixels of drawable `text`, from its origin to where the next text may begin."""
    _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), _FONT, size, weight)
    return int(width)


@lru_cache(maxsize=1024)
def fit(text: str, room: int, size: int, smallest: int = SMALLEST,
        weight: int = REGULAR) -> tuple[str, int]:
    """`text` and the size at which it is at most `room` pixels wide.

    It is first shrunk to `smallest`, then cut with an ellipsis; "" when not even that fits.
    """
    text = drawable(text)
    smallest = min(size, smallest)
    while size > smallest and width_of(text, size, weight) > room:
        size -= 1
    if width_of(text, size, weight) <= room:
        return text, size
    for length in range(len(text) - 1, 0, -1):
        cut = text[:length].rstrip() + "…"
        if width_of(cut, size, weight) <= room:
            return cut, size
    return "", size


def wrap(text: str, room: int, size: int, weight: int = REGULAR, lines: int = 3) -> list[str]:
    """`text` broken between words into at most `lines` lines, each at most `room` pixels wide. A
    path that is too wide is broken after a slash."""
    words = [part for word in drawable(text).split() for part in _parts(word, room, size, weight)]
    wrapped: list[str] = []
    while words and len(wrapped) < lines:
        count = len(words)
        if len(wrapped) < lines - 1:  # the last line takes all that is left, and is cut
            while count > 1 and width_of(" ".join(words[:count]), size, weight) > room:
                count -= 1
        wrapped.append(fit(" ".join(words[:count]), room, size, size, weight)[0])
        words = words[count:]
    return [line for line in wrapped if line]


def _parts(word: str, room: int, size: int, weight: int) -> Iterator[str]:
    while width_of(word, size, weight) > room:
        ends = [end for end in range(1, len(word)) if word[end - 1] in "/\\"
                and width_of(word[:end], size, weight) <= room]
        if not ends:
            break
        yield word[:ends[-1]]
        word = word[ends[-1]:]
    yield word


def put(image: NDArray[np.uint8], text: str, origin: tuple[int, int], *,
        colour: tuple[int, int, int], size: int, weight: int = REGULAR) -> None:
    """Draws drawable `text` into `image` (BGR, in place) from `origin`: x and the baseline."""
    cv2.putText(image, text, origin, colour, _FONT, size, weight)
