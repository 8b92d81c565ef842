"""A loopback RTSP camera: motion JPEG over RTP (RFC 2435), interleaved in the RTSP connection."""

from __future__ import annotations

import base64
import itertools
import re
import socketserver
import struct
import threading
from typing import Self

from mjpeg_server import SIZE, grey, jpeg


class RtspServer:
    """Serves `url` at 30 frames a second; with `password`, the user "me" must send it."""

    def __init__(self, password: str = "") -> None:
        self.password = password
        self.stopping = threading.Event()
        self._tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _handler(self))
        self._tcp.daemon_threads = True
        thread = threading.Thread(target=self._tcp.serve_forever, args=(0.02,), daemon=True)
        thread.start()

    @property
    def url(self) -> str:
        user = f"me:{self.password}@" if self.password else ""
        return f"rtsp://{user}127.0.0.1:{self._tcp.server_address[1]}/live"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._tcp.shutdown()
        self._tcp.server_close()


def packet(number: int) -> bytes:
    """Frame `number` as one interleaved RTP packet on channel 0."""
    data = jpeg(grey(number))
    tables = b"".join(data[at + 5 : at + 69] for at in _segments(data, 0xDB))
    scan = next(iter(_segments(data, 0xDA)))
    scan += 2 + int.from_bytes(data[scan + 2 : scan + 4])
    payload = struct.pack(">IBBBB", 0, 1, 255, SIZE[1] // 8, SIZE[0] // 8)  # type 1: 4:2:0
    payload += struct.pack(">BBH", 0, 0, len(tables)) + tables + data[scan:-2]
    payload = struct.pack(">BBHII", 0x80, 0x80 | 26, number, number * 3000, 7) + payload
    return b"$\0" + struct.pack(">H", len(payload)) + payload


def _segments(data: bytes, kind: int) -> list[int]:
    """Where a JPEG's segments of one kind begin."""
    found, at = [], 2
    while data[at + 1] != 0xDA:
        if data[at + 1] == kind:
            found.append(at)
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return [at] if kind == 0xDA else found


def _handler(server: RtspServer) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while request := self.request_text():
                method, sequence = request.split()[0], re.search(r"CSeq: *(\d+)", request)
                assert sequence is not None
                status, extra, body = self.answer(method, request)
                head = f"RTSP/1.0 {status}\r\nCSeq: {sequence[1]}\r\n{extra}"
                self.wfile.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                if method == "PLAY":
                    self.play()
                    return

        def request_text(self) -> str:
            lines = list(itertools.takewhile(bytes.strip, iter(self.rfile.readline, b"")))
            return b"".join(lines).decode()

        def answer(self, method: str, request: str) -> tuple[str, str, str]:
            token = base64.b64encode(f"me:{server.password}".encode()).decode()
            if server.password and f"Basic {token}" not in request and method != "OPTIONS":
                return "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"\r\n', ""
            sdp = ("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=live\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
                   "m=video 0 RTP/AVP 26\r\na=control:track0\r\n")
            return {
                "OPTIONS": ("200 OK", "Public: DESCRIBE, SETUP, PLAY\r\n", ""),
                "DESCRIBE": ("200 OK", "Content-Type: application/sdp\r\n", sdp),
                "SETUP": ("200 OK", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
                                    "Session: 1\r\n", ""),
                "PLAY": ("200 OK", "Session: 1\r\n", ""),
            }.get(method, ("200 OK", "", ""))

        def play(self) -> None:
            try:
                for number in itertools.count():
                    self.wfile.write(packet(number))
                    if server.stopping.wait(1 / 30):
                        return
            except OSError:  # the client hung up
                return

    return Handler
