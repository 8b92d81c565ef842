"""The cache folder of each system, and the variable that moves it."""

import sys
from pathlib import Path

import pytest

from models.cache import cache_folder


@pytest.mark.parametrize(("platform", "variables", "expected"), [
    ("linux", {"XDG_CACHE_HOME": "/var/x"}, "/var/x/online-tsm"),
    ("linux", {"HOME": "/home/me"}, "/home/me/.cache/online-tsm"),
    ("darwin", {"HOME": "/home/me"}, "/home/me/Library/Caches/online-tsm"),
    ("win32", {"LOCALAPPDATA": "/c/local"}, "/c/local/online-tsm"),
    ("win32", {"HOME": "/c/me"}, "/c/me/AppData/Local/online-tsm"),
    ("linux", {"HOME": "/home/me", "ONLINE_TSM_CACHE": "~/kept"}, "/home/me/kept"),
])
def test_cache_folder(platform, variables, expected, monkeypatch):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "ONLINE_TSM_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == Path(expected)
