"""Free panoramas: unpacked, tone-mapped, and looked at through a camera."""

import base64
import functools
import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from online_tsm.graphs import write_atomically
from training.synthesis.assets import asset_folder

Image = NDArray[np.float32]


@functools.lru_cache(maxsize=24)
def load_panorama(cache: Path, name: str) -> Image:
    """A tone-mapped panorama, RGB float32 0..255."""
    import OpenEXR

    script = asset_folder(cache, "pmndrs-assets") / "hdri" / f"{name}.exr.js"
    data = re.search(r"base64,([A-Za-z0-9+/=]+)", script.read_text())
    assert data is not None, f"{script} holds no picture"
    raw = cache / f"panorama-{name}.exr"
    if not raw.exists():
        write_atomically(raw, base64.b64decode(data.group(1)))
    linear = OpenEXR.File(str(raw)).channels()["RGB"].pixels.astype(np.float32)[..., :3]
    linear = linear / max(float(np.percentile(linear, 70)), 1e-3) * 0.45
    return np.asarray(
        255 * np.clip(linear * (1 + linear / 9) / (1 + linear), 0, 1) ** 0.5, np.float32
    )


def crop_panorama(panorama: Image, rng: np.random.Generator, width: int, height: int) -> Image:
    """A random view of a panorama, RGB float32 0..255 (height, width, 3)."""
    yaw, pitch = rng.uniform(-np.pi, np.pi), rng.uniform(-0.15, 0.2)
    half = np.tan(np.radians(rng.uniform(40, 70)) / 2)
    y, x = np.mgrid[1 : -1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    ray_x, ray_y = x * half * width / height, y * half
    up = ray_y * np.cos(pitch) + np.sin(pitch)
    ahead = np.cos(pitch) - ray_y * np.sin(pitch)
    longitude = np.arctan2(ray_x, ahead) + yaw
    latitude = np.arctan2(up, np.hypot(ray_x, ahead))
    h, w = panorama.shape[:2]
    map_x = ((longitude / (2 * np.pi) + 0.5) % 1 * w).astype(np.float32)
    map_y = ((0.5 - latitude / np.pi) * h).astype(np.float32)
    crop = cv2.remap(panorama, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
    return np.asarray(crop, np.float32)
