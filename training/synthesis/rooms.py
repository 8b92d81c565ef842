"""What is behind the person: rooms painted from rectangles and light, or crops of panoramas."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthesis.panoramas import crop_panorama, load_panorama

Image = NDArray[np.float32]
Colour = NDArray[np.float32]
# Free panoramas by split; indoor ones first, they are what webcams see.
INDOOR = {
    "train": ("apartment", "esplanade", "hall", "lab", "studio", "workshop"),
    "heldout": ("lobby", "bridge", "warehouse"),
}
OUTDOOR = {"train": ("city", "park", "venice", "forest"), "heldout": ("sunset", "dawn")}
PAINTED_SHARE, INDOOR_SHARE = 0.72, 0.85
WALLS = (
    (225, 220, 210),
    (200, 210, 215),
    (235, 232, 228),
    (180, 190, 170),
    (150, 165, 185),
    (205, 185, 160),
    (120, 125, 130),
    (90, 100, 110),
    (170, 120, 100),
    (225, 205, 170),
    (60, 65, 75),
    (190, 200, 180),
)
WOODS = (
    (120, 80, 45),
    (90, 60, 40),
    (160, 120, 80),
    (200, 170, 130),
    (60, 45, 35),
    (225, 220, 215),
)


def backdrop(
    rng: np.random.Generator, split: str, width: int, height: int, cache: Path
) -> NDArray[np.uint8]:
    """One room as an RGB uint8 picture (height, width, 3); the two splits share no panorama."""
    if rng.random() < PAINTED_SHARE:
        picture = painted_room(rng, width, height)
    else:
        pool = INDOOR if rng.random() < INDOOR_SHARE else OUTDOOR
        names = pool[split]
        name = names[int(rng.integers(len(names)))]
        picture = crop_panorama(load_panorama(cache, name), rng, width, height)
    blur = rng.uniform(0.2, 1.4) * height / 132
    picture = cv2.GaussianBlur(picture, (0, 0), blur)
    return np.asarray(np.clip(picture * rng.uniform(0.55, 1.05), 0, 255), np.uint8)


def painted_room(rng: np.random.Generator, width: int, height: int) -> Image:
    """A wall with furniture, RGB float32 0..255 (height, width, 3)."""
    scale = 2
    w, h = width * scale, height * scale
    wall = _vary(rng, WALLS)
    picture = np.ones((h, w, 3), np.float32) * wall
    picture *= cv2.resize(rng.normal(1, 0.02, (h // 8, w // 8)).astype(np.float32), (w, h))[
        ..., None
    ]
    _side_wall(rng, picture, wall)
    if rng.random() < 0.2:
        _stripes(rng, picture, wall)
    painters = (_window, _curtain, _shelf, _door, _pictures, _lamp, _wardrobe, _headboard, _clutter)
    chances = (0.28, 0.18, 0.36, 0.26, 0.5, 0.25, 0.22, 0.15, 0.5)
    for painter, chance in zip(painters, chances, strict=True):
        if rng.random() < chance:
            painter(rng, picture, wall)
    picture = _lit(rng, picture)
    if rng.random() < 0.35:
        _chair(rng, picture)
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _vary(rng: np.random.Generator, palette: tuple[tuple[int, int, int], ...]) -> Colour:
    base = np.array(palette[int(rng.integers(len(palette)))], np.float32)
    return np.clip(base * rng.uniform(0.75, 1.1) + rng.normal(0, 10, 3), 5, 250).astype(np.float32)


def _box(  # noqa: PLR0917  (a rectangle is x, y, w, h everywhere)
    picture: Image, x: float, y: float, w: float, h: float, colour: Colour
) -> None:
    """Fill a rectangle given in pixels, clipped to the picture."""
    y0, x0 = max(int(y), 0), max(int(x), 0)
    picture[y0 : max(int(y + h), 0), x0 : max(int(x + w), 0)] = colour


def _shadowed_box(  # noqa: PLR0917  (a rectangle is x, y, w, h everywhere)
    picture: Image, x: float, y: float, w: float, h: float, colour: Colour
) -> None:
    """A rectangle that stands out of the wall: soft shadow, lit upper and left edge."""
    edge = max(picture.shape[0] / 130, 1)
    y0, x0 = max(int(y + 2 * edge), 0), max(int(x + 2 * edge), 0)
    picture[y0 : max(int(y + h + 3 * edge), 0), x0 : max(int(x + w + 3 * edge), 0)] *= 0.72
    _box(picture, x, y, w, h, colour * 1.12)
    _box(picture, x + edge, y + edge, w - edge, h - edge, colour * 0.82)
    _box(picture, x + edge, y + edge, w - 2 * edge, h - 2 * edge, colour)


def _side_wall(rng: np.random.Generator, picture: Image, wall: Colour) -> None:
    h, w = picture.shape[:2]
    if rng.random() < 0.4:
        corner, lean = rng.uniform(0.08, 0.35) * w, rng.uniform(0, 0.05) * w
        shape = np.array([[0, 0], [corner + lean, 0], [corner, h], [0, h]], np.int32)
        if rng.random() < 0.5:
            shape[:, 0] = w - shape[:, 0]
        cv2.fillPoly(picture, [shape], (wall * rng.uniform(0.7, 1.1)).tolist())
    if rng.random() < 0.3:
        _box(picture, 0, 0, w, rng.uniform(0.04, 0.2) * h, np.minimum(wall * 1.12, 250))


def _stripes(rng: np.random.Generator, picture: Image, wall: Colour) -> None:
    w = picture.shape[1]
    period = rng.uniform(0.02, 0.09) * w
    columns = (np.arange(w) % period < period / 2)[None, :, None]
    picture[:] = np.where(columns, picture * rng.uniform(0.85, 0.97), picture)


def _window(rng: np.random.Generator, picture: Image, wall: Colour) -> None:
    h, w = picture.shape[:2]
    ww, wh = rng.uniform(0.2, 0.4) * w, rng.uniform(0.35, 0.8) * h
    x, y = rng.uniform(-0.1, 0.85) * w, rng.uniform(-0.2, 0.15) * h
    frame = np.full(3, rng.uniform(190, 245), np.float32)
    _shadowed_box(picture, x, y, ww, wh, frame)
    sky = np.array([215, 230, 250], np.float32) * rng.uniform(0.5, 1.05)
    panes, gap = int(rng.integers(1, 4)), 0.03 * ww
    for i in range(panes):
        px = x + gap + i * (ww - gap) / panes
        _box(picture, px, y + gap, (ww - gap) / panes - gap, wh - 2 * gap, sky)
    if rng.random() < 0.3:
        for line in np.arange(y, y + wh, 0.03 * h):
            _box(picture, x, line, ww, 0.012 * h, frame * 0.9)


def _curtain(rng: np.random.Generator, picture: Image, wall: Colour) -> None:
    w = picture.shape[1]
    x0 = int(rng.uniform(0, 0.9) * w)
    x1 = min(x0 + int(rng.uniform(0.1, 0.4) * w), w)
    folds = np.arange(x0, x1)
    shade = 0.85 + 0.15 * np.sin(folds / (w * rng.uniform(0.004, 0.012)) + np.sin(folds / 9.0))
    picture[:, x0:x1] = _vary(rng, WALLS) * shade[None, :, None]


def _shelf(rng: np.random.Generator, picture: Image, wall: Colour) -> None:
    h, w = picture.shape[:2]
    wood = _vary(rng, WOODS)
    x, sw = rng.uniform(-0.1, 0.75) * w, rng.uniform(0.2, 0.45) * w
    y, rows, row_h = (
        rng.uniform(-0.1, 0.4) * h,
        int(rng.integers(1, 5)),
        rng.uniform(0.16, 0.24) * h,
    )
    if rng.random() < 0.5:
        _shadowed_box(picture, x, y, sw, rows * row_h, wood * 0.6)
    for row in range(rows):
        floor = y + (row + 1) * row_h
        at = x + 0.01 * w
        while at < x + sw - 0.03 * w:
            bw, bh = rng.uniform(0.006, 0.02) * w, row_h * rng.uniform(0.5, 0.85)
            if rng.random() < 0.85:
                book = rng.uniform(30, 225, 3).astype(np.float32) * rng.uniform(0.5, 1)
                _box(picture, at, floor - bh, bw, bh, book)
                _box(picture, at, floor - bh, bw * 0.2, bh, book * 0.7)
            else:
                bw *= 2.5
            at += bw
        _shadowed_box(picture, x, floor - 0.012 * h, sw, 0.022 * h, wood)


def _door(rng: np.random.Generator, picture: Image, wall: Colour) -> None:
    h, w = picture.shape[:2]
    colour = _vary(rng, WOODS)
    x, dw, y = rng.uniform(-0.05, 0.85) * w, rng.uniform(0.17, 0.26) * w, rng.uniform(0.0, 0.2) * h
    _shadowed_box(picture, x - 0.015 * w, y - 0.02 * h, dw + 0.03 * w, h, colour * 1.15)
    _box(picture, x, y, dw, h, colour)
    for k in range(2):
        _shadowed_box(
            picture, x + dw * 0.15, y + h * (0.07 + 0.42 * k), dw * 0.7, h * 0.33, colour * 0.95
        )
    _box(
        picture,
        x + dw * 0.06,
        y + h * 0.5,
        dw * 0.07,
        h * 0.02,
        np.array([200, 195, 180], np.float32),
    )


def _pictures(rng: np.random.Generator, picture: Image, wall: Colour) -> None:
    h, w = picture.shape[:2]
    for _ in range(int(rng.integers(1, 5))):
        pw, ph = rng.uniform(0.06, 0.2) * w, rng.uniform(0.1, 0.32) * h
        x, y = rng.uniform(0, 0.92) * w, rng.uniform(0.02, 0.5) * h
        _shadowed_box(picture, x, y, pw, ph, np.full(3, rng.choice([25, 90, 235]), np.float32))
        art = rng.uniform(20, 240, (int(rng.integers(2, 7)), int(rng.integers(2, 6)), 3))
        inside = (int(pw * 0.84), int(ph * 0.84))
        art = cv2.resize(art.astype(np.float32), inside, interpolation=int(rng.choice([0, 1, 2])))
        y0, x0 = int(y + ph * 0.08), int(x + pw * 0.08)
        room = picture[y0 : y0 + art.shape[0], x0 : x0 + art.shape[1]]
        room[:] = art[: room.shape[0], : room.shape[1]]


def _lamp(rng: np.random.Generator, picture: Image, wall: Colour) -> None:
    h, w = picture.shape[:2]
    x, y, size = rng.uniform(0.05, 0.95) * w, rng.uniform(0.1, 0.5) * h, rng.uniform(0.04, 0.1) * w
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    glow = np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * (size * rng.uniform(1.5, 3.5)) ** 2))
    picture += glow[..., None] * np.array([90, 75, 45], np.float32) * rng.uniform(0.3, 1.2)
    shade = np.array(
        [
            [x - size / 2, y - size / 2],
            [x + size / 2, y - size / 2],
            [x + size * 0.8, y + size / 2],
            [x - size * 0.8, y + size / 2],
        ],
        np.int32,
    )
    _box(picture, x - size * 0.05, y + size / 2, size * 0.1, h, np.array([50, 45, 40], np.float32))
    cv2.fillPoly(picture, [shade], (250.0, 238.0, 205.0))


def _wardrobe(rng: np.random.Generator, picture: Image, wall: Colour) -> None:
    h, w = picture.shape[:2]
    colour = _vary(rng, WOODS)
    x, cw, doors = rng.uniform(-0.1, 0.7) * w, rng.uniform(0.25, 0.5) * w, int(rng.integers(2, 4))
    y = rng.uniform(-0.1, 0.25) * h
    for i in range(doors):
        dx, dw = x + i * cw / doors, cw / doors
        _shadowed_box(picture, dx, y, dw, h * 1.2, colour)
        knob = dx + dw * (0.88 if i % 2 == 0 else 0.08)
        _box(picture, knob, h * 0.5, dw * 0.05, h * 0.05, colour * 0.45)


def _headboard(rng: np.random.Generator, picture: Image, wall: Colour) -> None:
    h, w = picture.shape[:2]
    x, y, bw = rng.uniform(-0.2, 0.5) * w, rng.uniform(0.55, 0.75) * h, rng.uniform(0.4, 0.8) * w
    _shadowed_box(picture, x, y, bw, h, _vary(rng, WOODS))
    for _ in range(int(rng.integers(1, 4))):
        centre = (int(x + rng.uniform(0.1, 0.9) * bw), int(y + 0.15 * h))
        axes = (int(0.11 * w), int(0.1 * h))
        cv2.ellipse(picture, centre, axes, 0, 0, 360, _vary(rng, WALLS).tolist(), -1)


def _clutter(rng: np.random.Generator, picture: Image, wall: Colour) -> None:
    h, w = picture.shape[:2]
    for _ in range(int(rng.integers(1, 9))):
        cw, ch = rng.uniform(0.02, 0.14) * w, rng.uniform(0.03, 0.25) * h
        x, y = rng.uniform(-0.02, 0.98) * w, rng.uniform(0.3, 0.95) * h
        colour = rng.uniform(15, 235, 3).astype(np.float32)
        if rng.random() < 0.6:
            _shadowed_box(picture, x, y, cw, ch, colour)
        else:
            centre, axes = (int(x), int(y)), (int(cw / 2), int(ch / 2))
            cv2.ellipse(picture, centre, axes, rng.uniform(0, 180), 0, 360, colour.tolist(), -1)


def _chair(rng: np.random.Generator, picture: Image) -> None:
    h, w = picture.shape[:2]
    colour = np.full(3, rng.uniform(20, 90), np.float32) + rng.normal(0, 8, 3).astype(np.float32)
    x, cw, y = w * rng.uniform(0.35, 0.65), w * rng.uniform(0.2, 0.3), h * rng.uniform(0.3, 0.6)
    cv2.ellipse(
        picture,
        (int(x), int(y + 0.2 * h)),
        (int(cw / 2), int(0.2 * h)),
        0,
        0,
        360,
        (colour * 1.1).tolist(),
        -1,
    )
    _box(picture, x - cw / 2, y + 0.2 * h, cw, h, colour)


def _lit(rng: np.random.Generator, picture: Image) -> Image:
    """Uneven light: a slope over the room, a pool of light, darker corners."""
    h, w = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j].astype(np.float32)
    light = 1 + rng.uniform(-0.3, 0.3) * x + rng.uniform(-0.25, 0.2) * y
    px, py = rng.uniform(-1.2, 1.2, 2)
    light += rng.uniform(0, 0.4) * np.exp(-((x - px) ** 2 + (y - py) ** 2) / rng.uniform(0.3, 2))
    return np.asarray(picture * np.clip(light, 0.25, 1.8)[..., None], np.float32)
