"""Streams by URL: no secret ever shows, and what is wrong with one is said."""

from __future__ import annotations

import functools
import http.server
import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from mjpeg_server import MjpegServer
from rtsp_server import RtspServer
from watching import watch

from app.actions import Action, Actions
from app.camera import SINGLES
from app.sources import SourceError, SourceOptions, open_source
from app.streams import safe_name, why_silent
from online_tsm.events import Event

QUICK = SourceOptions(timeout_s=0.5)


def error_of(url: str) -> str:
    with open_source(url, QUICK) as source, pytest.raises(SourceError) as caught:
        list(source)
    return str(caught.value)


@pytest.mark.parametrize(("url", "name"), [
    ("rtsp://host/live", "rtsp://host/live"),
    ("rtsp://me:secret@host:554/live/1", "rtsp://host:554/live/1"),
    ("http://host:8080/video?user=me&pwd=secret", "http://host:8080/video"),
    ("http://host/video#secret", "http://host/video"),
    ("rtsp://me:p@secret@host/live", "rtsp://host/live"),
    ("rtsp://me:1/secret@host/live", "rtsp://host/live"),
    ("rtsp://me:1?secret@host/live", "rtsp://host/live"),
    ("rtsp://me:1#secret@host/live", "rtsp://host/live"),
    ("http://host/video?mail=me@secret", "http://secret"),  # wrong, but nothing of a password
])
def test_safe_name(url: str, name: str) -> None:
    assert safe_name(url) == name


def test_right_password_plays_and_never_shows(mjpeg: Callable[..., MjpegServer],
                                              caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = mjpeg(password="topsecret", fault="end", fault_after=3)
    seen = set()
    with open_source(server.url + "?token=topsecret", SourceOptions(timeout_s=2.0)) as source:
        for frame in source:
            seen.add(source.status)
            if frame is not None and source.epoch == 1:
                break
        assert source.name == f"http://127.0.0.1:{server.port}/video"
    assert "topsecret" not in " ".join(seen) + caplog.text
    assert any("lost" in status for status in seen)


def test_wrong_password_is_said(mjpeg: Callable[..., MjpegServer]) -> None:
    server = mjpeg(password="topsecret")
    message = error_of(server.url.replace("topsecret", "wrongsecret"))
    assert "asks for another user or password" in message
    assert "secret" not in message


@pytest.mark.parametrize("password", ["", "topsecret"])
def test_rtsp_plays(password: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with RtspServer(password) as server, open_source(server.url) as source:
        levels: list[float] = []
        indices: list[int] = []
        for frame in source:
            if frame is not None:
                levels.append(float(frame.image.mean()))
                indices.append(frame.index)
            if len(levels) == 10:
                break
        assert levels == sorted(levels)
        # each picture is one level brighter, so the index counts the dropped ones, too
        assert levels[-1] - levels[0] == pytest.approx(indices[-1] - indices[0], abs=2)
        assert source.name == server.url.replace(f"me:{password}@", "")
    assert "topsecret" not in caplog.text


def test_rtsp_with_a_wrong_password() -> None:
    with RtspServer("topsecret") as server:
        message = error_of(server.url.replace("topsecret", "wrongsecret"))
    assert "check path, user and password" in message
    assert "secret" not in message


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_nobody_listens(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    message = error_of(f"{scheme}://me:secret@127.0.0.1:{port}/live")
    assert message == (f"no video from {scheme}://127.0.0.1:{port}/live: "
                       f"nothing listens on port {port} of 127.0.0.1")


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_server_that_says_nothing(scheme: str) -> None:
    start = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server:
        message = error_of(f"{scheme}://127.0.0.1:{server.getsockname()[1]}/live")
    expected = {"http": "does not answer within 0.5 s", "rtsp": "it answers, but sends no video"}
    assert expected[scheme] in message
    assert time.monotonic() - start < 15.0  # OpenCV's own timeout is 30 s


@pytest.mark.parametrize("caller", ["post", "why"])
def test_password_does_not_follow_a_redirect(caller: str) -> None:
    """Two servers: the first has the password, and sends on to the second."""
    seen: dict[str, str | None] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            first = self.server is servers[0]
            seen["first" if first else "second"] = self.headers["Authorization"]
            self.send_response(302 if first else 200)
            self.send_header("Location", f"http://127.0.0.1:{servers[1].server_port}/")
            self.end_headers()

        do_POST = do_GET

    with (http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one,
          http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as two):
        servers = (one, two)
        for server in servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://me:secret@127.0.0.1:{one.server_port}/x"
        if caller == "post":
            with Actions({"Thumb Up": Action("post", (url,), 20.0)}) as actions:
                actions.fire(Event("Thumb Up", 0.0, 1.0, 0))
                for _ in range(2000):
                    if "second" not in seen:
                        time.sleep(0.01)
        else:
            why_silent(url, 20.0)
        for server in servers:
            server.shutdown()
    assert seen == {"first": "Basic bWU6c2VjcmV0", "second": None}


def test_page_and_recording_are_no_streams(make_video: Callable[..., Path]) -> None:
    path = make_video([100] * 30, name="clip.mp4")
    (path.parent / "page.html").write_text("<html>a page</html>")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(path.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        assert "finished recording" in error_of(f"{base}/clip.mp4")
        assert "answers with text/html" in error_of(f"{base}/page.html")
        assert "it answers 404" in error_of(f"{base}/nowhere")
        server.shutdown()


@pytest.mark.parametrize("url", ["rtsp://me:secret/@host/x", "http://host:port/x",
                                 "http://host:99999/x"])
def test_unreadable_address(url: str) -> None:
    message = str(why_silent(url, 0.1))
    assert "host or port cannot be read" in message
    assert "secret" not in message


def test_an_address_of_single_pictures_is_told_as_such(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "now.jpg"), np.full((48, 64, 3), 90, np.uint8))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/now.jpg"
        with open_source(url, SourceOptions(timeout_s=2.0)) as source:
            frames = watch(source, lambda _: "gives one picture at a time" in source.status)
        server.shutdown()
    assert len(frames) >= SINGLES


def test_a_stream_that_breaks_off_after_a_few_pictures_is_none_of_single_ones(
        mjpeg: Callable[..., MjpegServer]) -> None:
    server, seen = mjpeg(fault="end", fault_after=3, bad_connections=SINGLES + 1), set()
    with open_source(server.url, SourceOptions(timeout_s=2.0)) as source:
        watch(source, lambda _: seen.add(source.status) or source.epoch > SINGLES)
    assert any("lost" in status for status in seen)
    assert not any("one picture" in status for status in seen)
