"""Where downloaded models and exported graphs are kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path

APPLICATION = "online-tsm"
VARIABLE = "ONLINE_TSM_CACHE"  # names another folder


def cache_folder() -> Path:
    """The user's cache folder of this application; it may not exist yet."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(os.path.expanduser(chosen))  # Path raises at an unknown ~user
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / APPLICATION
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / APPLICATION
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / APPLICATION
