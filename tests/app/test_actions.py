"""Actions: real commands and a real server, slow ones and failing ones."""

from __future__ import annotations

import http.server
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gesture_actions import LABELS, event, write

from app import actions as actions_module
from app.action_file import Action, read_actions
from app.actions import Actions

ROOT = Path(__file__).parents[2]


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def python(code: str, *arguments: str) -> Action:
    return Action("run", (sys.executable, "-c", code, *arguments), 10.0)


@pytest.fixture
def server() -> Iterator[Any]:
    """A server that keeps what is posted in `.got`, and answers `.code` after `.delay_s`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            http_server.got.append((self.path, dict(self.headers), json.loads(body)))
            http_server.release.wait(http_server.delay_s)
            self.send_response(http_server.code)
            self.end_headers()

    class Server(http.server.ThreadingHTTPServer):
        got: list[tuple[str, dict[str, str], Any]] = []  # noqa: RUF012  # one server a test
        release = threading.Event()
        delay_s, code = 0.0, 200

    Server.got, Server.release = [], threading.Event()
    with Server(("127.0.0.1", 0), Handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield http_server
        http_server.release.set()
        http_server.shutdown()


def test_print_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with Actions({"Thumb Up": Action("print", ("liked",))}) as actions:
        actions.fire(event())
        actions.fire(event("Swiping Left"))  # has no action
    assert capsys.readouterr() == ("", "liked\n")


def test_run_passes_arguments_as_they_are(tmp_path: Path, capfd: pytest.CaptureFixture[str],
                                          ) -> None:
    path = tmp_path / "out.json"
    code = "import sys, json; json.dump(sys.argv[2:], open(sys.argv[1], 'w')); print('said')"
    with Actions({"Thumb Up": python(code, str(path), "$HOME; echo *", "a b")}) as actions:
        actions.fire(event())
        wait_for(path.exists)
    assert json.loads(path.read_text()) == ["$HOME; echo *", "a b"]
    assert capfd.readouterr() == ("", "said\n")  # stdout is for our data


def test_post_sends_the_event(server: Any) -> None:
    url = f"http://me:pass@127.0.0.1:{server.server_port}/gesture"
    with Actions({"Thumb Up": Action("post", (url,), 5.0)}) as actions:
        actions.fire(event())
        wait_for(lambda: server.got)
    ((path, headers, body),) = server.got
    assert (path, headers["Content-Type"]) == ("/gesture", "application/json")
    assert headers["Authorization"].startswith("Basic ")
    assert body == {"label": "Thumb Up", "time": 12.5, "confidence": 0.875}


def test_slow_action_stalls_nothing_and_a_full_queue_drops(
        server: Any, caplog: pytest.LogCaptureFixture) -> None:
    server.delay_s = 20.0
    url = f"http://127.0.0.1:{server.server_port}/"
    with Actions({"Thumb Up": Action("post", (url,), 20.0)}) as actions:
        actions.fire(event())
        wait_for(lambda: server.got)  # the worker hangs in the first one
        start = time.perf_counter()
        for _ in range(20):
            actions.fire(event())
        assert time.perf_counter() - start < 1.0
        assert caplog.text.count("Thumb Up: dropped, 8 actions are waiting already") == (
            20 - actions_module.WAITING)
        server.release.set()
        wait_for(lambda: len(server.got) == 1 + actions_module.WAITING)


def test_close_does_not_wait_for_ever(server: Any, caplog: pytest.LogCaptureFixture,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions_module, "CLOSE_S", 0.3)
    server.delay_s = 20.0
    url = f"http://127.0.0.1:{server.server_port}/"
    actions = Actions({"Thumb Up": Action("post", (url,), 20.0)})
    for _ in range(4):
        actions.fire(event())
    wait_for(lambda: server.got)
    start = time.perf_counter()
    actions.close()
    assert time.perf_counter() - start < 5.0
    assert "an action is still under way, 3 more were dropped" in caplog.text
    actions.fire(event())  # after the end: nothing
    server.release.set()
    (lane,) = actions._lanes.values()
    lane._thread.join(20.0)
    assert len(server.got) == 1


def test_a_program_that_goes_on_holds_back_no_other_gesture(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Opening a player with one gesture, then pressing keys for it with others."""
    player = python("import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(9)",
                    str(tmp_path / "plays"))
    other = python("import sys; open(sys.argv[1], 'w').close()", str(tmp_path / "other"))
    bound = {"Thumb Up": player, "Swiping Left": Action("print", ("next",)), "Stop Sign": other}
    actions = Actions(bound)
    actions.fire(event())
    wait_for((tmp_path / "plays").exists)
    actions.fire(event("Swiping Left"))
    actions.fire(event("Stop Sign"))
    wait_for((tmp_path / "other").exists)
    wait_for(lambda: "next" in capsys.readouterr().err)
    (busy,) = [lane for label, lane in actions._lanes.items() if label == "Thumb Up"]
    assert busy._thread.is_alive()  # still waits for the player
    actions.close()


def test_close_lets_what_waits_happen(server: Any) -> None:
    url = f"http://127.0.0.1:{server.server_port}/"
    with Actions({"Thumb Up": Action("post", (url,), 5.0)}) as actions:
        for _ in range(5):
            actions.fire(event())
    assert len(server.got) == 5


def test_program_that_goes_on_is_not_waited_for(tmp_path: Path) -> None:
    code = "import time, sys; time.sleep(1.5); open(sys.argv[1], 'w').close()"
    slow = Action("run", (sys.executable, "-c", code, str(tmp_path / "slow")), timeout_s=0.2)
    quick = python("import sys; open(sys.argv[1], 'w').close()", str(tmp_path / "quick"))
    with Actions({"Thumb Up": slow, "Swiping Left": quick}) as actions:
        actions.fire(event())
        actions.fire(event("Swiping Left"))
        wait_for((tmp_path / "quick").exists)
        assert not (tmp_path / "slow").exists()
        wait_for((tmp_path / "slow").exists)  # and yet it was not ended


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no sessions")
def test_program_is_out_of_reach_of_our_terminals_ctrl_c(tmp_path: Path) -> None:
    path = tmp_path / "session"
    code = "import os, sys; print(os.getpgid(0), os.getsid(0), file=open(sys.argv[1], 'w'))"
    with Actions({"Thumb Up": python(code, str(path))}) as actions:
        actions.fire(event())
        wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
    group, session = map(int, path.read_text().split())
    assert group == session != os.getsid(0)


@pytest.mark.parametrize(("action", "message"), [
    (Action("run", ("no-such-program", "x"), 5.0),
     "Thumb Up: could not run no-such-program x: No such file or directory"),
    (python("raise SystemExit(3)"), "it ended with code 3"),
    (Action("post", ("http://me:secret@127.0.0.1:1/x?key=secret",), 5.0),
     "Thumb Up: could not post to http://127.0.0.1:1/x: Connection refused"),
])
def test_failure_is_a_sentence_and_the_next_one_works(
        action: Action, message: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    after = python("import sys; open(sys.argv[1], 'w').close()", str(tmp_path / "after"))
    with Actions({"Thumb Up": action, "Swiping Left": after}) as actions:
        actions.fire(event())
        actions.fire(event("Swiping Left"))
        wait_for((tmp_path / "after").exists)
        wait_for(lambda: caplog.records)
    assert message in caplog.text
    assert "secret" not in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_server_that_refuses_and_one_that_sleeps(server: Any, caplog: pytest.LogCaptureFixture,
                                                 ) -> None:
    url = f"http://127.0.0.1:{server.server_port}/"
    server.code = 503
    with Actions({"Thumb Up": Action("post", (url,), 0.3)}) as actions:
        actions.fire(event())
        wait_for(lambda: "503" in caplog.text)
        server.delay_s = 20.0
        actions.fire(event())
        wait_for(lambda: "timed out" in caplog.text)


def test_python_runs_where_no_program_has_that_name(tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    made = tmp_path / "made"
    words = ("python", "-c", f"open({str(made)!r}, 'w')")
    with Actions({"Thumb Up": Action("run", words, 5.0)}) as actions:
        actions.fire(event())
        wait_for(made.exists)


def test_dry_run_only_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, f"Thumb Up: {{run: [touch, '{tmp_path / 'made'}']}}\n"
                           "Swiping Left: {key: ctrl+t}\n"
                           "Swiping Right: {post: 'http://me:secret@localhost/x'}\n")
    with Actions(read_actions(path, LABELS), dry_run=True) as actions:
        for label in LABELS:
            actions.fire(event(label))
    assert capsys.readouterr().err == (
        "Swiping Left: would press ctrl+t\nSwiping Right: would post to http://localhost/x\n"
        f"Thumb Up: would run touch {tmp_path / 'made'}\n")
    assert not (tmp_path / "made").exists()


EXIT = """
import sys, time
from app.actions import Action, Actions
from online_tsm.events import Event
actions = Actions({"a": Action("run", (sys.executable, "-c", "import time; time.sleep(15)"), 9.0)})
actions.fire(Event("a", 0.0, 1.0, 0))
time.sleep(0.5)
"""


def test_exit_with_an_action_under_way_is_quick_and_clean(tmp_path: Path) -> None:
    start = time.monotonic()
    with (tmp_path / "stderr").open("w") as stderr:  # no pipe: the program would keep it open
        done = subprocess.run([sys.executable, "-c", EXIT], cwd=ROOT, stderr=stderr, timeout=60,
                              check=False)
    assert time.monotonic() - start < 8.0
    assert (done.returncode, (tmp_path / "stderr").read_text()) == (0, "")
