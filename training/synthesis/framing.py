"""Where the camera of a laptop stands, and what its picture holds."""

import numpy as np

from training.synthesis.renderer import Camera
from training.synthesis.skeleton import Array, Skeleton, unit

Rng = np.random.Generator
HAND_RADIUS_M = 0.085
FACE_M = 0.23  # chin to hairline, to size the face in the picture
# Most sit before a laptop, face and shoulders filling the picture. Some stay farther away, down to
# the waist in it. Face: share of the picture's height. Distance: of the camera, metres.
NEAR_FACE, NEAR_M = (0.33, 0.58), (0.5, 0.85)
FAR_FACE, FAR_M, FAR_SHARE = (0.19, 0.33), (0.8, 1.6), 0.15


def place_camera(
    skeleton: Skeleton,
    palms: Array,
    width: int,
    height: int,
    rng: Rng,
    *,
    far: bool | None = None,
) -> Camera:
    """A camera in front of a seated person, who fills the picture or sits farther away.

    palms: (N, 3) where the performing hands go; the picture is moved, then widened, until most
    of them are inside. Hands stay large, and may be cut at the edge. far: which of the two,
    instead of by chance.
    """
    eyes = (skeleton.head("eye.R") + skeleton.head("eye.L")) / 2
    face = eyes + np.array([0, 0, -0.03], np.float32)
    by_chance = rng.random() < FAR_SHARE
    far = by_chance if far is None else far
    face_share = float(np.exp(rng.uniform(*np.log(FAR_FACE if far else NEAR_FACE))))
    distance = rng.uniform(*(FAR_M if far else NEAR_M))
    nearest = float(max((face[1] - palms[:, 1]).max(), 0)) if len(palms) else 0.0
    distance = max(distance, nearest + rng.uniform(0.16, 0.3))
    half = FACE_M / face_share / 2
    eye = face + np.array([rng.normal(0, 0.05), -distance, rng.uniform(-0.2, 0.14)])
    aspect = width / height
    aim = np.array([rng.uniform(-0.25, 0.25) * aspect, rng.uniform(0.0, 0.5)]) * half
    roll = float(rng.normal(0, 0.025))
    # Most people keep the whole hand in view, and near the middle; some let it leave the edge.
    whole = HAND_RADIUS_M * (1.0 if rng.random() < 0.75 else 0.3)
    spare = np.array([rng.uniform(0.0, 0.12), rng.uniform(-0.03, 0.05)])
    camera = _camera(eye, face, aim, half=half, distance=distance, roll=roll)
    for _ in range(16 if len(palms) else 0):
        low, high = _extent(camera, palms, whole, half / distance, (width, height))
        over = np.minimum(low - spare, 0) + np.maximum(high - 1 + spare, 0)
        if np.abs(over).max() < 0.02:
            break
        if (1 - 2 * spare - (high - low) < 0.02).any() or np.abs(over).max() > 0.15:
            half = half * 1.05
        # Where the palm leaves the picture to the left, the picture moves left.
        aim = aim + np.array([-over[0] * aspect, over[1]]) * 1.2 * half
        limit = half * np.array([0.75 * aspect, 0.8])
        aim = np.clip(aim, -limit * [1, 0.45], limit)
        camera = _camera(eye, face, aim, half=half, distance=distance, roll=roll)
    return camera


def _extent(
    camera: Camera, palms: Array, radius: float, slope: float, size: tuple[int, int]
) -> tuple[Array, Array]:
    """Lowest and highest share of the picture (2,) that hands of a radius (metres) reach, but for
    the extreme twentieth. slope: half the picture's height in metres at one metre."""
    width, height = size
    at = camera.project(palms, width, height) / [width, height]
    depth = np.maximum(palms @ _forward(camera) - camera.eye @ _forward(camera), 0.05)
    reach = radius / (2 * slope * depth)[:, None] * [height / width, 1]
    return np.quantile(at - reach, 0.05, axis=0), np.quantile(at + reach, 0.95, axis=0)


def _forward(camera: Camera) -> Array:
    return unit(camera.target - camera.eye)


def _camera(
    eye: Array, face: Array, aim: Array, *, half: float, distance: float, roll: float
) -> Camera:
    """aim: how far (metres) right and above the picture's centre the face appears."""
    target = face - np.array([aim[0], 0, aim[1]])
    fov = float(np.degrees(2 * np.arctan(half / distance)))
    return Camera(eye.astype(np.float32), target.astype(np.float32), min(fov, 85.0), roll)
