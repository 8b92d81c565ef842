"""One file from the web: with progress, continued after a break, checked, never half in place."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from models.errors import CheckpointError

TIMEOUT_S = 5.0  # to connect, and for every read
CHUNK = 64 * 1024  # bytes


class _Failure(Exception):
    """Why a download did not end well, in a few words."""


def download(url: str, target: Path, sha256: str | None = None) -> None:
    """Loads `url` into the file `target`, with progress on stderr.

    What arrived before a failure waits beside it as `.part` and is continued the next time. Raises
    CheckpointError.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _receive(url, part)
        _check(part, sha256)
        part.replace(target)
    except (_Failure, OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise CheckpointError(
            f"the download of {url} failed: {reason}. Run the command again to continue, or put "
            f"the file there yourself: {target}") from error


def _receive(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # the part is no beginning of this file: start again
            part.unlink()
            return _receive(url, part)
        raise _Failure(f"the server answered {error.code} {error.reason}") from error
    with response:
        continued = response.status == 206
        if continued and not _continues(response.headers.get("Content-Range", ""), have):
            raise _Failure("the server sent another part of the file than was asked for")
        begin = have if continued else 0
        left = response.headers.get("Content-Length")
        total = begin + int(left) if left else None
        got = begin + _save(response, part, begin, total)
    if total is not None and got < total:
        raise _Failure(f"the connection ended after {got:,} of {total:,} bytes")


def _continues(content_range: str, have: int) -> bool:
    said = re.match(r"bytes (\d+)-", content_range)
    return said is not None and int(said[1]) == have


def _save(response: http.client.HTTPResponse, part: Path, begin: int, total: int | None) -> int:
    """Appends the response to `part`, or starts it anew at 0; the number of bytes received."""
    received = 0
    with part.open("ab" if begin else "wb") as file, tqdm(
            total=total, initial=begin, unit="B", unit_scale=True, desc=part.stem) as progress:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            received += len(chunk)
            progress.update(len(chunk))
    return received


def _check(part: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        part.unlink()
        raise _Failure(f"its checksum is {found}, expected {sha256}")
