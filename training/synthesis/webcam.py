"""What a laptop camera does: how long it exposes, and how it spoils a picture; and the light."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthesis.renderer import Light
from training.synthesis.skeleton import Array, unit

Rng = np.random.Generator
BRIGHTEST = 0.86
CURVE_STEPS, BRIGHTEST_LIGHT = 2048, 4  # of a sensor's curve between 0 and 1; where it ends
RATES_FPS = (8.0, 10.0, 12.0, 15.0, 25.0, 30.0)
RATE_SHARES = (0.32, 0.34, 0.2, 0.08, 0.03, 0.03)


@dataclass(frozen=True)
class Webcam:
    """One camera and its settings.

    rate_fps, jitter (share of a period), drop (share of frames lost), shutter_s; lines: how many
    picture lines it really resolves; blur, sharpen: pixels of the stored picture and a factor;
    noise: standard deviation of 0..1; grain: noise blur in pixels; quality: JPEG; level: mean
    brightness its exposure aims at; gamma, contrast, saturation, pedestal, vignette; white: RGB
    gains (3,).
    """

    rate_fps: float
    jitter: float
    drop: float
    shutter_s: float
    lines: int
    blur: float
    sharpen: float
    noise: float
    grain: float
    quality: int
    level: float
    gamma: float
    contrast: float
    saturation: float
    pedestal: float
    vignette: float
    white: Array


def draw_webcam(person_rng: Rng, clip_rng: Rng) -> Webcam:
    """A person's own camera (from their seed) with the settings of one clip."""
    p, c = person_rng, clip_rng
    dark = c.random() < 0.16
    shutter = c.uniform(1 / 24, 1 / 12) if dark else c.uniform(1 / 100, 1 / 26)
    rate = float(c.choice(RATES_FPS, p=RATE_SHARES))
    noise = abs(p.normal(0.008, 0.006)) * (c.uniform(1.8, 4.0) if dark else c.uniform(0.6, 1.4))
    return Webcam(
        rate_fps=rate,
        jitter=float(c.uniform(0, 0.2)),
        drop=float(c.choice([0, 0, 0.03])),
        shutter_s=float(min(shutter, 0.9 / rate)),
        lines=int(p.choice([100, 120, 180, 240, 480], p=[0.18, 0.17, 0.2, 0.22, 0.23])),
        blur=float(p.uniform(0.3, 0.75)),
        sharpen=float(p.uniform(0, 0.9)) if p.random() < 0.4 else 0.0,
        noise=float(noise),
        grain=float(p.uniform(0.4, 0.9)),
        quality=int(c.uniform(55, 92)),
        level=float(np.clip(c.normal(0.47, 0.07) - 0.05 * dark, 0.25, 0.64)),
        gamma=float(np.exp(p.normal(0, 0.12))),
        contrast=float(p.uniform(1.0, 1.45)),
        saturation=float(p.uniform(0.5, 1.25)),
        pedestal=float(max(0, p.normal(-0.02, 0.025))),
        vignette=float(p.uniform(0, 0.22)),
        white=(1 + p.normal(0, 0.04, 3) + c.normal(0, 0.02, 3)).astype(np.float32),
    )


def frame_times(webcam: Webcam, seconds: float, rng: Rng) -> Array:
    """When frames are taken, (T,) in seconds from 0: the camera's rate, jittered, some lost."""
    period = 1 / webcam.rate_fps
    times = np.arange(0, seconds, period)
    times = times + rng.normal(0, webcam.jitter * period / 2, len(times))
    kept = times[rng.random(len(times)) >= webcam.drop]
    return np.sort(np.maximum(kept, 0)).astype(np.float32)


def draw_light(rng: Rng) -> Light:
    """The light of a room: a lamp or window, the room's own, and at night the screen."""
    azimuth, height = rng.uniform(-2.2, 2.2), rng.uniform(0.0, 1.2)
    direction = np.array(
        [np.sin(azimuth) * np.cos(height), -np.cos(azimuth) * np.cos(height), np.sin(height)],
        np.float32,
    )
    share = rng.beta(1.8, 1.8)
    warm = np.array([1 + rng.uniform(-0.1, 0.15), 1, 1 - rng.uniform(-0.1, 0.2)], np.float32)
    screen = np.array([0.85, 0.95, 1.1]) * (rng.uniform(0.1, 0.7) if rng.random() < 0.3 else 0.0)
    tints = np.ones((7, 3), np.float32)
    tints[6] = rng.choice([0.02, 0.05, 0.5]) * (0.6 + 0.8 * rng.random(3))
    tints[1] = np.exp(rng.normal(0, 0.12)) * (1 + rng.normal(0, 0.05, 3))
    tints[0] = np.exp(rng.normal(0, 0.06)) * (1 + rng.normal(0, 0.02, 3))
    return Light(
        unit(direction),
        (warm * share * 2.6).astype(np.float32),
        ((1 + rng.normal(0, 0.04, 3)) * (1 - 0.65 * share) * 1.9).astype(np.float32),
        screen.astype(np.float32),
        float(rng.uniform(0, 0.3)),
        float(rng.uniform(0.55, 0.95)),
        tints,
        1.3,
    )


def spoil(frames: NDArray[np.float32], webcam: Webcam, rng: Rng) -> list[bytes]:
    """Turn clean frames (T, H, W, 3) RGB 0..1 into the JPEGs a webcam would have sent."""
    height, width = frames.shape[1:3]
    middle = frames[:, height // 5 :, width // 5 : -width // 5]
    metered = 0.65 * float(middle.mean()) + 0.35 * float(frames.mean())
    gain = (webcam.level / max(metered, 0.02)) ** 0.8
    bright = float(np.quantile(middle[:, ::3, ::3].mean(-1), 0.96))
    gain = min(gain, BRIGHTEST / max(bright, 0.02))  # faces are not burnt out
    y, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    falloff = (1 - webcam.vignette * (u**2 + y**2) / 2)[..., None] * (webcam.white * gain)
    curve = _curve(webcam)
    mix = webcam.saturation * np.eye(3) + (1 - webcam.saturation) / 3
    mix = np.column_stack([mix * (1 - webcam.pedestal), np.full(3, webcam.pedestal)])
    jpegs = []
    for frame in frames:
        steps = np.minimum(frame * falloff * CURVE_STEPS, CURVE_STEPS * BRIGHTEST_LIGHT)
        x = cv2.transform(curve[steps.astype(np.int32)], mix)
        jpegs.append(_one_jpeg(np.asarray(x, np.float32), webcam, rng))
    return jpegs


def _curve(webcam: Webcam) -> Array:
    """What the sensor and its software make of light 0..BRIGHTEST_LIGHT in steps, one value each:
    a table, since powers of every pixel take longer than drawing it."""
    x = (np.arange(CURVE_STEPS * BRIGHTEST_LIGHT + 1, dtype=np.float32) + 0.5) / CURVE_STEPS
    knee = 0.75  # above this the sensor saturates softly
    x = np.where(x > knee, knee + (1 - knee) * np.tanh((x - knee) / (1 - knee)), x)
    x = np.clip(x, 0, 1) ** webcam.gamma
    return np.asarray((x - 0.5) * webcam.contrast + 0.5, np.float32)


def _one_jpeg(frame: NDArray[np.float32], webcam: Webcam, rng: Rng) -> bytes:
    height, width = frame.shape[:2]
    frame = cv2.GaussianBlur(frame, (0, 0), webcam.blur)  # no lens is sharp to the pixel
    if webcam.sharpen:
        frame = frame + webcam.sharpen * (frame - cv2.GaussianBlur(frame, (0, 0), 1.2))
    noise = rng.standard_normal((height, width, 3), np.float32) * webcam.noise
    if webcam.grain > 0.45:
        noise = cv2.GaussianBlur(noise, (0, 0), webcam.grain) * (1 + 1.6 * webcam.grain)
    small = np.clip((frame * (1 + rng.normal(0, 0.004)) + noise) * 255, 0, 255).astype(np.uint8)
    if webcam.lines < height:
        # Compressed at its own size, then brought to the stored size: block edges stay visible.
        size = (round(width * webcam.lines / height), webcam.lines)
        small = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
        small = _decode(_encode(small, webcam.quality))
        small = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        return _encode(small, 88)
    return _encode(small, webcam.quality)


def _encode(rgb: NDArray[np.uint8], quality: int) -> bytes:
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _decode(data: bytes) -> NDArray[np.uint8]:
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(bgr, np.uint8)[..., ::-1]
