"""Plain keys and values that are to become a dataclass: are they its fields?"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any


def known_fields(kind: type, data: Any, where: str, error: type[Exception]) -> dict[str, Any]:
    """`data` as a dict whose keys are all fields of the dataclass `kind`.

    Raises `error` with a sentence that begins with `where` and names the nearest field.
    """
    if not isinstance(data, Mapping):
        raise error(f"{where}: expected keys and values, got {data!r}")
    names = [field.name for field in dataclasses.fields(kind)]
    for key in data:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, 1, 0.0)[0]
            raise error(f"{where}: unknown key {key!r}; did you mean {near!r}?")
    return dict(data)
