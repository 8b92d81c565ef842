"""The file of actions: read as it is written, and every bad one."""

from __future__ import annotations

from pathlib import Path

import pytest
from gesture_actions import LABELS, write

from app.action_file import Action, read_actions
from app.actions import ActionsError


def test_file_is_read_as_written(tmp_path: Path) -> None:
    path = write(tmp_path, """
Thumb Up: {print: "liked: yes"}
Swiping Left: {key: ctrl+page_down}
"Swiping Right":
  run: [notify-send, "5", "a b; rm -rf /"]
  timeout_s: 2.5
No gesture: {post: http://localhost:8000/gesture}
""")
    assert read_actions(path, LABELS) == {
        "Thumb Up": Action("print", ("liked: yes",)),
        "Swiping Left": Action("key", ("ctrl", "page_down")),
        "Swiping Right": Action("run", ("notify-send", "5", "a b; rm -rf /"), 2.5),
        "No gesture": Action("post", ("http://localhost:8000/gesture",), 5.0),
    }


@pytest.mark.parametrize(("text", "message"), [
    ("Thumb Up: {print: a}\nThumb Upp: {print: b}",
     "line 2: there is no gesture 'Thumb Upp'; did you mean 'Thumb Up'?"),
    ("thumb up: {print: b}", "line 1: there is no gesture 'thumb up'; did you mean 'Thumb Up'?"),
    ("Zoom: {print: b}", "known are Swiping Left, Swiping Right, Thumb Up, No gesture"),
    ("Thumb Up: {print: a}\nThumb Up: {print: b}",
     "line 2, column 1: not valid YAML: 'Thumb Up' stands here a second time; line 1 has it"),
    ("Thumb Up: {run: [ls], timeout_s: 1, timeout_s: 2}", "'timeout_s' stands here a second time"),
    ("Thumb Up:\n  pirnt: a", "line 2: there is no action 'pirnt'; did you mean 'print'?"),
    ("Thumb Up:\n  key: lefft", "line 2: there is no key 'lefft'; did you mean 'left'?"),
    ("Thumb Up:\n  key: ctrl+shif+t", "line 2: there is no key 'shif'; did you mean 'shift'?"),
    ("Thumb Up:\n  key: ctrl++", "line 2: there is no key ''"),
    ("Thumb Up:\n  run: ls -l | wc", "line 2: expected a program and its arguments as a list"),
    ("Thumb Up:\n  run: []", "line 2: expected a program and its arguments as a list"),
    ("Thumb Up:\n  run:\n  - sleep\n  - 5", "line 4: arguments are texts"),
    ("Thumb Up:\n  run: [ls, [a]]", "line 2: arguments are texts"),
    ("Thumb Up:\n  post: localhost:80", "line 2: expected a URL that begins with http://"),
    ("Thumb Up:\n  post: file:///etc/passwd", "line 2: expected a URL"),
    ("Thumb Up:\n  post: http://host:port/", "line 2: expected a URL"),
    ("Thumb Up:\n  print: [a]", "line 2: expected a text"),
    ("Thumb Up: left", "line 1: expected an action like {key: left}"),
    ("Thumb Up: {print: a, key: b}", "line 1: a gesture has one action, here are 2"),
    ("Thumb Up: {timeout_s: 1}", "line 1: a gesture has one action, here are 0"),
    ("Thumb Up:\n  run: [ls]\n  timeout_s: soon", "line 3: timeout_s is a number of seconds"),
    ("Thumb Up:\n  run: [ls]\n  timeout_s: -1", "line 3: timeout_s is a number of seconds"),
    ("Thumb Up: {print: a}\nx: {y: [1, 2", "line 2, column 13: not valid YAML"),
    ("Thumb Up:\n\tprint: a", "line 2, column 1: not valid YAML"),
    ("", "expected lines like `Thumb Up: {print: liked}`"),
    ("- Thumb Up", "expected lines like"),
    ("Thumb Up: !!python/object/apply:os.system [ls]", "line 1: expected an action"),
])
def test_bad_file_names_itself_and_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ActionsError) as caught:
        read_actions(path, LABELS)
    assert str(caught.value).startswith(f"{path}")
    assert message in str(caught.value)


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("Größe: {}".encode("latin-1"))
    for name, why in (("absent.yaml", "No such file or directory$"),
                      ("latin.yaml", "it is not UTF-8 text")):
        with pytest.raises(ActionsError, match=f"{name} cannot be read: {why}"):
            read_actions(tmp_path / name, LABELS)
