"""The gesture guide: one short picture in motion a gesture, each performed in the plainest way."""

from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from training.synthesis.assets import SynthesisError
from training.synthesis.bake import ensure_baked
from training.synthesis.clip import Studio, held_thing, sub_frame_poses, watched_palms
from training.synthesis.framing import place_camera
from training.synthesis.language import Gesture, Style, resting_poses
from training.synthesis.performing import draw_pose, perform
from training.synthesis.posing import draw_manner
from training.synthesis.stage import Picture, Scene, film, plain_wall, presenter

GUIDE_FOLDER = Path(__file__).parents[2] / "app" / "guide"
SIZE, RATE_FPS = (160, 120), 12.5
FINER = 2  # drawn so many times larger, then shrunk: smooth edges
FINGERTIPS_M = 0.05  # beyond what a webcam's picture is sure to hold of a hand
LEAD_S, TRAIL_S = 0.1, 0.15
QUALITY = 50  # of WebP
SEED = 3  # blinking and breathing
# Where another style than the one performed most is easier to read in a small picture, or better
# known to the shipped model: who looks here, performs what is shown.
CLEAREST = {
    "Doing other things": "adjusting the hair",
    "Drumming Fingers": "fingers up",
    "Pulling Hand In": "palm to oneself",
    "Pulling Two Fingers In": "palm to oneself",
    "Pushing Hand Away": "slowly",
    "Pushing Two Fingers Away": "slowly",
    "Rolling Hand Backward": "one hand",
    "Rolling Hand Forward": "one hand",
    "Shaking Hand": "wave from the elbow",
    "Sliding Two Fingers Left": "fingers up",
    "Sliding Two Fingers Right": "fingers up",
    "Stop Sign": "raised and held",
    "Swiping Down": "near and low",
    "Swiping Up": "palm up",
    "Turning Hand Clockwise": "wrist and forearm",
    "Turning Hand Counterclockwise": "wrist and forearm",
    "Zooming In With Full Hand": "fist, slowly",
    "Zooming Out With Full Hand": "fist, slowly",
}
SHEET_COLUMNS, SHEET_PX, CAPTION_PX = 3, (104, 78), 18  # of the picture with all gestures
MOMENTS = (0.05, 0.4, 0.95)  # of the stroke, side by side


class Middle(np.random.Generator):
    """Draws the middle of every range: the most ordinary performance of a style."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def uniform(self, low=0.0, high=1.0, size=None):  # type: ignore[no-untyped-def]
        return np.full(size or (), (low + high) / 2)[()]

    def normal(self, loc=0.0, scale=1.0, size=None):  # type: ignore[no-untyped-def]
        return np.full(size or (), loc, float)[()]

    def random(self, size=None):  # type: ignore[no-untyped-def, override]
        return self.uniform(size=size)  # type: ignore[no-untyped-call]

    def integers(self, low, high):  # type: ignore[no-untyped-def, override]
        return low + (high - 1 - low) // 2


def guide_style(gesture: Gesture) -> Style:
    """The style that the guide shows: what is performed most, but for CLEAREST."""
    wanted = CLEAREST.get(gesture.label)
    return max(gesture.styles, key=lambda style: (style.name == wanted, style.weight))


def make_guide(
    gestures: dict[str, Gesture], cache: Path, device: int, out: Path = GUIDE_FOLDER
) -> Picture:
    """Write one moving picture a gesture into a folder; returns the sheet with all of them."""
    ensure_baked(cache, (presenter(),))
    size = SIZE[0] * FINER, SIZE[1] * FINER
    studio = Studio(cache, resting_poses(), device, size)
    out.mkdir(parents=True, exist_ok=True)
    cells = []
    for gesture in tqdm(gestures.values(), unit="gesture"):
        pictures, (start, end) = _pictures(studio, gesture)
        _write(pictures, out / f"{gesture.label.lower().replace(' ', '_')}.webp")
        moments = [(start + share * (end - start)) * RATE_FPS for share in MOMENTS]
        cells.append(_cell(gesture.label, [pictures[round(moment)] for moment in moments]))
    while len(cells) % SHEET_COLUMNS:
        cells.append(np.full_like(cells[0], 255))
    rows = [np.hstack(cells[i : i + SHEET_COLUMNS]) for i in range(0, len(cells), SHEET_COLUMNS)]
    return np.vstack(rows)


def _cell(label: str, pictures: list[Picture]) -> Picture:
    """A gesture's moments side by side, as the performer would see them in a mirror."""
    small = [cv2.resize(p[:, ::-1], SHEET_PX, interpolation=cv2.INTER_AREA) for p in pictures]
    row = np.hstack(small)
    caption = np.full((CAPTION_PX, row.shape[1], 3), 255, np.uint8)
    cv2.putText(caption, label, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (30, 30, 30), 1)
    cell = np.vstack([caption, row])
    framed = cv2.copyMakeBorder(cell, 0, 6, 3, 3, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    return np.asarray(framed, np.uint8)


def _pictures(studio: Studio, gesture: Gesture) -> tuple[list[Picture], tuple[float, float]]:
    """A gesture's pictures, and when its stroke starts and ends in seconds."""
    style, middle, person = guide_style(gesture), Middle(), presenter()
    rest = draw_pose(studio.rests[0], middle)
    part = perform(style, "R", middle, LEAD_S, rest, background=gesture.background)
    times = np.arange(0, part.end + TRAIL_S, 1 / RATE_FPS, dtype=np.float32)
    manner = draw_manner(np.random.default_rng(SEED), float(times[-1]))
    manner.posture[:] = 0
    held = held_thing([(gesture, style, "R")])
    figure = studio.show(person, held)
    _, palms, _ = sub_frame_poses(figure, [part], rest, manner, times=times, shutter=0.0)
    size = studio.width, studio.height
    watched = watched_palms([part], palms, times)
    tips = watched + np.array([0, 0, FINGERTIPS_M], np.float32)
    camera = place_camera(figure.skeleton, np.concatenate([watched, tips]), *size, middle)
    scene = Scene([part], rest, manner, camera, plain_wall(*size), held)
    pictures = [
        cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA)
        for picture in film(studio, person, scene, times)
    ]
    return pictures, part.stroke() or (part.start, part.end)


def _write(pictures: list[Picture], path: Path) -> None:
    moving = cv2.Animation()
    moving.frames = [np.ascontiguousarray(picture[..., ::-1]) for picture in pictures]
    moving.durations = [round(1000 / RATE_FPS)] * len(pictures)
    if not cv2.imwriteanimation(str(path), moving, [cv2.IMWRITE_WEBP_QUALITY, QUALITY]):
        raise SynthesisError(f"{path} cannot be written.")
