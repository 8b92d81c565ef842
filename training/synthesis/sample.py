"""The bundled sample video: one presenter, six gestures, and the list of what happens when."""

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from training.synthesis.assets import SynthesisError
from training.synthesis.bake import ensure_baked
from training.synthesis.clip import Studio
from training.synthesis.language import load_gestures, resting_poses
from training.synthesis.motion import Performance
from training.synthesis.performing import draw_pose, perform
from training.synthesis.posing import draw_manner
from training.synthesis.renderer import Camera
from training.synthesis.rooms import painted_room
from training.synthesis.skeleton import Array, Skeleton
from training.synthesis.stage import Picture, Scene, film, presenter

SIZE, RATE_FPS = (640, 480), 25
GESTURES = ("Swiping Left", "Swiping Right", "Swiping Up", "Swiping Down", "Thumb Up", "Stop Sign")
FIRST_S, PAUSE_S = 2.1, (1.5, 1.65)  # idle time before the first gesture, and after each
LENS_BLUR_PX, NOISE, VIGNETTE = 0.7, 1.6, 0.12
ROOM_BLUR_PX, ROOM_LIGHT = 1.8, 0.92
FACTOR = 21  # of x264's quality: higher is smaller
HEADER = """\
# The bundled sample video: one rendered person in a painted room, {width}x{height}, {rate} frames a
# second, made by `python -m training.synthesize sample --seed {seed}`. Sources, all CC0-1.0: the
# MakeHuman body, skin, hair and clothes (training/synthesis/LICENCES.md). The video is CC0-1.0 as
# well. Nobody real is in it.
# Not mirrored: "Swiping Left" goes to the person's own left, which is the right of the picture.
# start: the hand begins to rise; happened: the gesture is recognisable; end: the hand is down
# again; in seconds.
events:
"""


def make_sample(cache: Path, device: int, seed: int, out: Path) -> Path:
    """Write the video and, beside it, the list of its events; returns the list's path.

    Raises SynthesisError where FFmpeg is missing or fails.
    """
    if shutil.which("ffmpeg") is None:
        raise SynthesisError("The program 'ffmpeg' encodes the video and is not installed.")
    rng = np.random.default_rng(seed)
    person = presenter()
    ensure_baked(cache, (person,))
    studio = Studio(cache, resting_poses(), device, SIZE)
    rest = draw_pose(studio.rests[0], rng)
    parts, seconds = _performances(rest, rng)
    manner = draw_manner(rng, seconds)
    manner.posture[:] = (0.04, 0, 0, -0.03, 0.02)
    camera = _camera(studio.show(person).skeleton)
    scene = Scene(parts, rest, manner, camera, _room(rng))
    times = np.arange(0, seconds, 1 / RATE_FPS, dtype=np.float32)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _encoder(out) as encoder:
        assert encoder.stdin is not None
        for picture in tqdm(film(studio, person, scene, times), total=len(times), unit="frame"):
            encoder.stdin.write(_as_a_webcam(picture, rng).tobytes())
    if encoder.returncode:
        raise SynthesisError(f"FFmpeg could not write {out}.")
    events = out.with_suffix(".yaml")
    events.write_text(_event_list(parts, seed), encoding="utf-8")
    return events


def _performances(rest: Array, rng: np.random.Generator) -> tuple[list[Performance], float]:
    """All gestures one after the other, each in its first style, and the video's length."""
    gestures, clock, parts = load_gestures(), FIRST_S, []
    for label in GESTURES:
        style = gestures[label].styles[0]
        parts.append(perform(style, "R", rng, clock, rest, background=False))
        clock = parts[-1].end + float(rng.uniform(*PAUSE_S))
    return parts, clock


def _camera(skeleton: Skeleton) -> Camera:
    """Head and shoulders a little right of the middle, as the performing hand needs room."""
    eyes = (skeleton.head("eye.R") + skeleton.head("eye.L")) / 2
    eye, target = eyes + np.array([-0.05, -0.68, -0.02]), eyes + np.array([-0.045, 0, -0.085])
    return Camera(eye.astype(np.float32), target.astype(np.float32), 46.0, 0.008)


def _room(rng: np.random.Generator) -> Picture:
    room = cv2.GaussianBlur(painted_room(rng, *SIZE), (0, 0), ROOM_BLUR_PX)
    return np.asarray(np.clip(room * ROOM_LIGHT, 0, 255).astype(np.uint8))


def _as_a_webcam(picture: Picture, rng: np.random.Generator) -> Picture:
    """Not quite sharp, darker corners, a little noise."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    soft = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), LENS_BLUR_PX)
    noise = cv2.GaussianBlur(rng.standard_normal(picture.shape, np.float32), (0, 0), 0.8)
    shown = soft * (1 - VIGNETTE * (x**2 + y**2))[..., None] + noise * 2 * NOISE
    return np.asarray(np.clip(shown, 0, 255).astype(np.uint8))


def _encoder(out: Path) -> "subprocess.Popen[bytes]":
    size = f"{SIZE[0]}x{SIZE[1]}"
    source = f"-f rawvideo -pix_fmt rgb24 -s {size} -r {RATE_FPS} -i -"
    coding = f"-c:v libx264 -preset slow -crf {FACTOR} -pix_fmt yuv420p -movflags +faststart"
    words = ["ffmpeg", "-y", "-loglevel", "error", *source.split(), *coding.split(), str(out)]
    return subprocess.Popen(words, stdin=subprocess.PIPE)


def _event_list(parts: list[Performance], seed: int) -> str:
    width, height = SIZE
    rows = [
        f"  - {{label: {label}, start: {part.start:.2f}, happened: {part.event:.2f}, "
        f"end: {part.end:.2f}}}\n"
        for label, part in zip(GESTURES, parts, strict=True)
    ]
    return HEADER.format(width=width, height=height, rate=RATE_FPS, seed=seed) + "".join(rows)
