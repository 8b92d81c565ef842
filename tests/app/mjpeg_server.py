"""A loopback camera: MJPEG over HTTP, with the faults of real ones. The tests' webcam.

    with MjpegServer(fault="stall", fault_after=10) as server:
        source = open_source(server.url, SourceOptions(timeout_s=1.0))

Frame n of a connection is flat grey of level `grey(n)`, so its number can be read from a pixel.
"""

from __future__ import annotations

import base64
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self

import cv2
import numpy as np

Fault = Literal["none", "stall", "truncate", "end"]
SIZE = (120, 160)  # height, width


def grey(number: int) -> int:
    """The grey level of frame `number`, 40 to 239; never black."""
    return 40 + number % 200


class MjpegServer:
    """Serves `url` until `kill`. The first `bad_connections` end with `fault` after some frames.

    "stall" goes silent, "truncate" hangs up in mid-JPEG, "end" hangs up between two. `delay_s`
    passes before each answer, or less where `answer` is set. With `password`, the user "me" must
    send it. `level` makes all frames that grey instead. `size` is height, width.
    """

    def __init__(self, *, fault: Fault = "none", fault_after: int = 10, bad_connections: int = 1,
                 rate: float = 30.0, delay_s: float = 0.0, password: str = "",
                 level: int | None = None, port: int = 0, size: tuple[int, int] = SIZE) -> None:
        self.fault, self.fault_after, self.bad_connections = fault, fault_after, bad_connections
        self.rate, self.delay_s, self.password, self.level = rate, delay_s, password, level
        self.size = size
        self.connections = 0
        self.stopping, self.answer = threading.Event(), threading.Event()
        self.sockets: list[socket.socket] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._http.daemon_threads = True
        self.port = self._http.server_port
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        user = f"me:{self.password}@" if self.password else ""
        return f"http://{user}127.0.0.1:{self.port}/video"

    def kill(self) -> None:
        """Hangs up on everybody and frees the port, as a camera does whose power is cut."""
        self.stopping.set()
        self.answer.set()
        self._http.shutdown()
        self._http.server_close()
        for connection in self.sockets:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # the client was faster
                continue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def jpeg(level: int, size: tuple[int, int] = SIZE) -> bytes:
    return cv2.imencode(".jpg", np.full((*size, 3), level, np.uint8))[1].tobytes()


def _handler(server: MjpegServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            server.sockets.append(self.connection)
            if server.delay_s:
                server.answer.wait(server.delay_s)
            if server.stopping.is_set():
                return
            token = base64.b64encode(f"me:{server.password}".encode()).decode()
            if server.password and self.headers.get("Authorization") != f"Basic {token}":
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                self.end_headers()
                return
            server.connections += 1
            bad = server.fault != "none" and server.connections <= server.bad_connections
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                self.stream(server.fault_after if bad else None)
            except OSError:  # the client hung up
                return

        def stream(self, fault_after: int | None) -> None:
            number = 0
            while not server.stopping.wait(1 / server.rate):
                data = jpeg(grey(number) if server.level is None else server.level, server.size)
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                if number == fault_after:
                    if server.fault == "stall":
                        server.stopping.wait()
                    elif server.fault == "truncate":
                        self.wfile.write(head.encode() + data[: len(data) // 2])
                    return
                self.wfile.write(head.encode() + data + b"\r\n")
                number += 1

    return Handler
