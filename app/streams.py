"""RTSP streams and MJPEG over HTTP: opening them, naming them safely, saying what is wrong."""

from __future__ import annotations

import base64
import re
import socket
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from app.files import sane_count
from app.frames import SourceError, SourceOptions
from app.opencv import cv2
from online_tsm.file_names import can_be_named

if TYPE_CHECKING:
    from urllib.request import Request

# urllib's requests are imported where one is made: they would cost every start 30 ms.

SCHEMES = ("rtsp", "rtsps", "http", "https")
PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


def safe_name(url: str) -> str:
    """The URL, though it be misspelt, without what may be secret: user, password, query.

    Cuts at the last "@" of all, since passwords hold slashes and question marks unescaped.
    """
    scheme, mark, rest = url.partition("://" if "://" in url else ":")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        scheme = "..."
    rest = rest.rpartition("@")[2]
    return f"{scheme}{mark}{rest.partition('?')[0].partition('#')[0]}"


def meant_as_url(spec: str) -> bool:
    """Whether a source without "://" may be a misspelt URL, which may hold a password."""
    scheme, colon, rest = spec.partition(":")
    if not colon or re.fullmatch(r"[A-Za-z]:[\\/][^:]*", spec):  # a path of Windows
        return False
    return scheme.lower() in SCHEMES or "@" in rest


def http_request(url: str) -> Request:
    """A request for the URL, with its user and password where urllib wants them: in a header.

    They are for this server alone: where it redirects to, they are not sent.
    """
    from urllib.request import Request

    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    request = Request(parts._replace(netloc=host, fragment="").geturl())
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        token = base64.b64encode(user.encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request


def open_url(url: str, options: SourceOptions) -> Any:
    """The stream as a `cv2.VideoCapture`, closed where it does not answer within the timeout.

    Raises SourceError for a finished recording: it has no frames to be dropped and no present.
    """
    if not can_be_named(url):
        raise SourceError(f"{safe_name(url)} is not UTF-8; write other letters as %C3%A9 and such")
    milliseconds = int(options.timeout_s * 1000)
    timeouts = {cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: milliseconds,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC: milliseconds}
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, list(chain.from_iterable(timeouts.items())))
    if sane_count(capture.get(cv2.CAP_PROP_FRAME_COUNT)):
        capture.release()
        raise SourceError(
            f"{safe_name(url)} is a finished recording, not a live stream: "
            "download it and give the file as the source"
        )
    return capture


def why_silent(url: str, timeout_s: float) -> SourceError:
    """Asks the server once more, to say what is wrong with a stream that gives no picture."""
    return SourceError(f"no video from {safe_name(url)}: {_reason(url, timeout_s)}")


def _reason(url: str, timeout_s: float) -> str:
    from http.client import HTTPException

    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    except ValueError:
        return "its host or port cannot be read; in a password write @ as %40, / as %2F"
    try:
        socket.create_connection((host, port), timeout_s).close()
        if parts.scheme in ("http", "https"):
            return _http_reason(url, timeout_s)
    except (OSError, HTTPException) as error:
        return _fault(error, f"port {port} of {host}", timeout_s)
    return "it answers, but sends no video; check path, user and password"


def _fault(error: Exception, where: str, timeout_s: float) -> str:
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError

    if isinstance(error, HTTPError):
        refused = error.code in (401, 403)
        return "it asks for another user or password" if refused else f"it answers {error.code}"
    cause = error.reason if isinstance(error, URLError) else error
    sentences = {
        TimeoutError: f"it does not answer within {timeout_s:g} s",
        socket.gaierror: "its host is unknown",
        ConnectionRefusedError: f"nothing listens on {where}",
        HTTPException: f"what listens on {where} does not speak HTTP",
    }
    for kind, sentence in sentences.items():
        if isinstance(cause, kind):
            return sentence
    return "its host cannot be reached"


def _http_reason(url: str, timeout_s: float) -> str:
    from urllib.request import urlopen

    with urlopen(http_request(url), timeout=timeout_s) as answer:
        kind = answer.headers.get_content_type()
    return f"it answers with {kind}, of which no picture can be read"
