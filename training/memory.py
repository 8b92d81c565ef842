"""Memory that a step has freed stays with the process, for the next step."""

from __future__ import annotations

import ctypes
import sys

# mallopt(3) of glibc: what to set, and to what.
ONE_ARENA = (-8, 1)  # M_ARENA_MAX: the heaps of other threads give back what they free
NO_MAPS = (-4, 0)  # M_MMAP_MAX: large blocks of their own are given back, too
NO_TRIM = (-1, 2**31 - 1)  # M_TRIM_THRESHOLD, bytes
GROW = (-2, 1 << 26)  # M_TOP_PAD, bytes: the heap grows by so much at a time


def keep_memory() -> bool:
    """Lets glibc keep what is freed; False where there is no glibc, and nothing is done.

    Else it returns large tensors to the system at once, and the next step pays for clean pages
    anew. To be called before tensors are made.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # as in musl
        return False
    return all(mallopt(*setting) == 1 for setting in (ONE_ARENA, NO_MAPS, NO_TRIM, GROW))
