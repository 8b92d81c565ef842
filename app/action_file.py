"""The YAML file that maps gestures to actions, read strictly: every fault has its line.

    Thumb Up: {print: "liked"}
    Swiping Left: {key: ctrl+page_down}
    Stop Sign: {run: [notify-send, "Stop"]}
    Swiping Right: {post: "http://localhost:8000/gesture", timeout_s: 2}
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

import yaml

from models.yaml_text import compose_yaml

Kind = Literal["print", "key", "run", "post"]
WAIT_S: Mapping[str, float] = {"run": 10.0, "post": 5.0}  # unless `timeout_s` says otherwise
KEYS = (
    "alt", "alt_gr", "backspace", "caps_lock", "cmd", "ctrl", "delete", "down", "end", "enter",
    "esc", *(f"f{n}" for n in range(1, 21)), "home", "insert", "left", "media_next",
    "media_play_pause", "media_previous", "media_volume_down", "media_volume_mute",
    "media_volume_up", "menu", "num_lock", "page_down", "page_up", "pause", "plus",
    "print_screen", "right", "scroll_lock", "shift", "space", "tab", "up",
)


class ActionsError(ValueError):
    """An actions file that cannot be used; the message names the file and the line."""


@dataclass(frozen=True)
class Action:
    """What a gesture does. `words`: a text, the keys of a shortcut, a program and its arguments,
    or a URL. `timeout_s` is how long a program or a server is waited for."""

    kind: Kind
    words: tuple[str, ...]
    timeout_s: float = 0.0


def read_actions(path: Path, labels: Collection[str], *, others: bool = False
                 ) -> dict[str, Action]:
    """The actions of a file by gesture. `labels` are the gestures that there are; with `others`
    any name may be a gesture's, one that will be taught. Raises ActionsError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ActionsError(f"the actions file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ActionsError(f"the actions file {path} cannot be read: it is not UTF-8 text; save it "
                           "as that") from error
    root = compose_yaml(text, str(path), ActionsError)
    if not isinstance(root, yaml.MappingNode) or not root.value:
        raise ActionsError(f"{path}: expected lines like `Thumb Up: {{print: liked}}`")
    actions: dict[str, Action] = {}
    for name, value in root.value:
        label = _text(name, path)[0] if others else _known(name, labels, "gesture", path)
        actions[label] = _action(value, path)
    return actions


def _action(node: yaml.Node, path: Path) -> Action:
    if not isinstance(node, yaml.MappingNode):
        raise _fault(path, node, f"expected an action like {{key: left}}; "
                                 f"known are {', '.join(get_args(Kind))}")
    timeout_s, found = None, []
    for name, value in node.value:
        kind = _known(name, [*get_args(Kind), "timeout_s"], "action", path)
        if kind == "timeout_s":
            timeout_s = _seconds(value, path)
        else:
            found.append((cast(Kind, kind), value))
    if len(found) != 1:
        raise _fault(path, node, f"a gesture has one action, here are {len(found)}")
    kind, value = found[0]
    return Action(kind, _READERS[kind](value, path), timeout_s or WAIT_S.get(kind, 0.0))


def _text(node: yaml.Node, path: Path) -> tuple[str, ...]:
    if not isinstance(node, yaml.ScalarNode):
        raise _fault(path, node, "expected a text")
    return (node.value,)


def _keys(node: yaml.Node, path: Path) -> tuple[str, ...]:
    """One key or a shortcut, "ctrl+t"; the key + itself is called plus."""
    keys = tuple(_text(node, path)[0].split("+"))
    for key in keys:
        if len(key) != 1 and key not in KEYS:
            raise _fault(path, node, f"there is no key '{key}'{_hint(key, KEYS)}")
    return keys


def _command(node: yaml.Node, path: Path) -> tuple[str, ...]:
    words = node.value if isinstance(node, yaml.SequenceNode) else []
    for word in words:
        if word.tag != "tag:yaml.org,2002:str":
            raise _fault(path, word, "arguments are texts; write numbers and the like in quotes")
    if not words:
        raise _fault(path, node, "expected a program and its arguments as a list: [say, hello]")
    return tuple(word.value for word in words)


def _url(node: yaml.Node, path: Path) -> tuple[str, ...]:
    url = _text(node, path)[0]
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        fine = False
    if not fine:
        raise _fault(path, node, "expected a URL that begins with http:// or https://")
    return (url,)


_READERS = {"print": _text, "key": _keys, "run": _command, "post": _url}


def _seconds(node: yaml.Node, path: Path) -> float:
    try:
        seconds = float(_text(node, path)[0])
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= 3600.0:
        raise _fault(path, node, "timeout_s is a number of seconds, above 0 and up to 3600")
    return seconds


def _known(node: yaml.Node, known: Collection[str], what: str, path: Path) -> str:
    name = _text(node, path)[0]
    if name not in known:
        raise _fault(path, node, f"there is no {what} '{name}'{_hint(name, known)}")
    return name


def _hint(name: str, known: Collection[str]) -> str:
    folded = {word.casefold(): word for word in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"; did you mean '{folded[near[0]]}'?" if near else f"; known are {', '.join(known)}"


def _fault(path: Path, node: yaml.Node, what: str) -> ActionsError:
    return ActionsError(f"{path}, line {node.start_mark.line + 1}: {what}")
