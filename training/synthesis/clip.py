"""One rendered clip from one seed: who, which gesture, which room, which camera."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthesis import rooms, webcam
from training.synthesis.assets import SynthesisError
from training.synthesis.bake import baked_path
from training.synthesis.cast import SPLITS, Person
from training.synthesis.figure import Figure, load_figure, thinned
from training.synthesis.framing import place_camera
from training.synthesis.language import Gesture, Pose, Style
from training.synthesis.mixing import varied
from training.synthesis.motion import Performance
from training.synthesis.performing import draw_pose, perform
from training.synthesis.posing import Manner, bone_matrices, draw_manner
from training.synthesis.props import holding
from training.synthesis.renderer import Camera, Renderer, Still
from training.synthesis.skeleton import Array

Rng = np.random.Generator
WIDTH, HEIGHT = 176, 132
LEAD_S, TRAIL_S = (0.25, 1.6), (0.25, 0.9)
LEFT_HAND_SHARE = 0.2  # most people use the right one; training mirrors half of what it sees
# How many sub-frames blur a frame whose hand moves less than so many pixels.
# Two at least, each shifted within its pixel: that smooths the edges.
SUB_FRAMES = ((2.5, 2), (6.0, 3), (11.0, 4), (18.0, 5), (1e9, 6))
# A draft has fewer frames, shorter idle time and less smooth blur: twice as many clips an hour.
DRAFT_RATE_FPS = 8.0
DRAFT_LEAD_S, DRAFT_TRAIL_S = (0.25, 0.9), (0.25, 0.6)
DRAFT_SUB_FRAMES = ((4.0, 2), (9.0, 3), (1e9, 4))
JITTER = ((-0.25, -0.12), (0.25, 0.12), (-0.1, 0.25), (0.1, -0.25), (-0.3, 0.3), (0.3, -0.3))
MASK_SHARE = 0.4  # a pixel that the person covers this long belongs to them
THIN_BELOW = 250  # picture lines under which a thinned mesh looks the same


@dataclass(frozen=True)
class Event:
    """One performance inside a clip; times in seconds. happened: the event time, None for
    background labels. stroke: first stroke's start and last stroke's end, None without one."""

    label: str
    style: str
    held_out_style: bool
    hand: str
    start: float
    end: float
    stroke: tuple[float, float] | None
    happened: float | None
    phases: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class Clip:
    """JPEG frames at times (T,) seconds, masks of the person in them (PNG), and what happens."""

    frames: list[bytes]
    masks: list[bytes]
    times: Array
    events: tuple[Event, ...]
    person: str
    seed: int


class Studio:
    """A renderer and the people it can show; draws clips one after the other."""

    def __init__(
        self,
        cache: Path,
        rests: tuple[Pose, ...],
        device: int = 0,
        size: tuple[int, int] = (WIDTH, HEIGHT),
        *,
        draft: bool = False,
    ) -> None:
        self.cache, self.rests, self.draft = cache, rests, draft
        self.width, self.height = size
        self.renderer = Renderer(*size, device=device)
        self.shown: tuple[Person, tuple[str, str] | None] | None = None
        self.figure: Figure | None = None

    def show(self, person: Person, held: tuple[str, str] | None = None) -> Figure:
        """Load a person, with something in a hand (prop, side) or without, unless they are the
        one on stage."""
        if self.shown != (person, held) or self.figure is None:
            figure = load_figure(baked_path(self.cache, person))
            figure = thinned(figure) if self.height < THIN_BELOW else figure
            self.figure = holding(figure, *held) if held else figure
            self.renderer.load(self.figure)
            self.shown = person, held
        return self.figure

    def clip(
        self,
        person: Person,
        gestures: list[tuple[Gesture, Style, str]],
        seed: int,
        rate_fps: float | None = None,
        *,
        setting: int | None = None,
        far: bool | None = None,
    ) -> Clip:
        """Render one clip: the gestures one after the other, idle time around them.

        gestures: with each its style and performing hand ("L" or "R"). rate_fps: frames a second
        instead of the rate the camera would have. setting: seed of webcam, light and room, which
        the clips of one sitting share; where the person sits before the camera is each clip's
        own. far: whether they sit farther away than most, instead of by chance.
        """
        rng = np.random.default_rng(seed)
        own = np.random.default_rng(person.seed + 7)
        stage = rng if setting is None else np.random.default_rng(setting)
        figure = self.show(person, held_thing(gestures))
        rest = draw_pose(self.rests[int(rng.integers(len(self.rests)))], rng)
        performances, seconds = _schedule(gestures, rest, rng, self.draft)
        rate_fps = DRAFT_RATE_FPS if self.draft else rate_fps
        camera_kind = webcam.draw_webcam(own, stage)
        if rate_fps is not None:
            camera_kind = replace(camera_kind, rate_fps=rate_fps)
        times = webcam.frame_times(camera_kind, seconds, rng)
        manner = draw_manner(rng, seconds)
        matrices, palms, index = sub_frame_poses(
            figure, performances, rest, manner, times=times, shutter=camera_kind.shutter_s
        )
        watched = watched_palms(performances, palms, times)
        size = self.width, self.height
        camera = place_camera(figure.skeleton, watched, *size, rng, far=far)
        room = rooms.backdrop(stage, person.split, *size, self.cache)
        self.renderer.set_backdrop(room)
        self.renderer.set_scene(camera, webcam.draw_light(stage))
        self.renderer.set_poses(matrices)
        clean = np.stack(list(self.exposed(index, self.in_picture(camera, palms))))
        frames = webcam.spoil(clean[..., :3], camera_kind, rng)
        masks = [_mask(alpha) for alpha in clean[..., 3]]
        events = tuple(_event(*g, p) for g, p in zip(gestures, performances, strict=True))
        return Clip(frames, masks, times, events, person.name, seed)

    def in_picture(self, camera: Camera, palms: dict[str, Array]) -> Array:
        """Where both hands are: pixels (2, N, 2)."""
        return np.stack([camera.project(palms[s], self.width, self.height) for s in "RL"])

    def exposed(self, index: NDArray[np.int64], hands: Array) -> Iterator[NDArray[np.float32]]:
        """Frames, each RGBA 0..1 (height, width, 4): the mean of as many of its sub-frames (a row
        of index (T, most)) as the hands' movement (2, N, 2) asks for."""
        rows, at_once = [self._stills(row, hands) for row in index], self.renderer.at_once
        for start in range(0, len(rows), at_once):  # so that those of tall pictures fit in memory
            part = rows[start : start + at_once]
            drawn = self.renderer.draw_all([still for row in part for still in row])
            ends = np.cumsum([len(row) for row in part])
            for pictures in np.split(drawn, ends[:-1]):
                yield pictures.sum(0, dtype=np.float32) / np.float32(255 * len(pictures))

    def _stills(self, row: NDArray[np.int64], hands: Array) -> list[Still]:
        """Which sub-frames of one frame are drawn, each shifted within its pixel."""
        moved = float(np.abs(hands[:, row[-1]] - hands[:, row[0]]).max())
        steps = DRAFT_SUB_FRAMES if self.draft else SUB_FRAMES
        count = next(n for limit, n in steps if moved < limit)
        picks = np.linspace(0, len(row) - 1, count).round().astype(int)
        return [(int(row[k]), shift) for k, shift in zip(picks, JITTER, strict=False)]


def _mask(alpha: Array) -> bytes:
    solid = (alpha > MASK_SHARE).astype(np.uint8) * 255
    return cv2.imencode(".png", solid)[1].tobytes()


def choose(
    rng: Rng, gesture: Gesture, gestures: dict[str, Gesture], split: str
) -> tuple[Gesture, Style, str]:
    """A style and a hand for a label.

    The left hand performs the mirrored label's style in the mirror, so that the clip still shows
    the label asked for. Training never sees a held-out style; held-out clips use both kinds.
    Raises SynthesisError where training has no style of a gesture.
    """
    hand = "L" if rng.random() < LEFT_HAND_SHARE else "R"
    source = gestures[gesture.mirror] if hand == "L" else gesture
    styles = [s for s in source.styles if split == SPLITS[1] or not s.held_out]
    if not styles:
        raise SynthesisError(f"Every style of the gesture {source.label!r} is held out, so nothing "
                             "is left to train on. For a set to be judged on give --split heldout.")
    weights = np.array([s.weight for s in styles])
    style = styles[int(rng.choice(len(styles), p=weights / weights.sum()))]
    if split == SPLITS[0]:
        style = varied(style, styles, rng)
    return gesture, style, hand


def held_thing(gestures: list[tuple[Gesture, Style, str]]) -> tuple[str, str] | None:
    """The first thing that any of the performances needs, and the hand that holds it."""
    return next(((style.prop, hand) for _, style, hand in gestures if style.prop), None)


def _schedule(
    gestures: list[tuple[Gesture, Style, str]], rest: Array, rng: Rng, draft: bool
) -> tuple[list[Performance], float]:
    """All performances on one clock with idle time around them, and the clip's length."""
    lead, trail = (DRAFT_LEAD_S, DRAFT_TRAIL_S) if draft else (LEAD_S, TRAIL_S)
    clock, parts = float(rng.uniform(*lead)), []
    for gesture, style, hand in gestures:
        parts.append(perform(style, hand, rng, clock, rest, background=gesture.background))
        clock = parts[-1].end + float(rng.uniform(*trail))
    return parts, clock


def _event(gesture: Gesture, style: Style, hand: str, part: Performance) -> Event:
    return Event(
        gesture.label,
        style.name,
        style.held_out,
        hand,
        part.start,
        part.end,
        part.stroke(),
        part.event,
        tuple((s.kind, s.start, s.end) for s in part.segments),
    )


def sub_frame_poses(
    figure: Figure,
    performances: list[Performance],
    rest: Array,
    manner: Manner,
    *,
    times: Array,
    shutter: float,
) -> tuple[Array, dict[str, Array], NDArray[np.int64]]:
    """Poses at every sub-frame of every frame; index (T, most) says which belong to which."""
    most = SUB_FRAMES[-1][1]
    offsets = np.linspace(0, shutter, most, dtype=np.float32)
    moments = (times[:, None] + offsets).ravel()
    matrices, palms = bone_matrices(figure.skeleton, performances, rest, manner, moments)
    return matrices, palms, np.arange(len(moments)).reshape(len(times), most)


def watched_palms(performances: list[Performance], palms: dict[str, Array], times: Array) -> Array:
    """Palm places (N, 3) that the picture should hold: those of strokes and holds."""
    most, found = SUB_FRAMES[-1][1], [np.zeros((0, 3), np.float32)]
    for performance in performances:
        active = np.zeros(len(times), bool)
        for segment in performance.segments:
            if segment.kind in ("stroke", "return", "hold"):
                active |= (times >= segment.start) & (times <= segment.end)
        rows = np.repeat(active, most)
        found += [palms[side][rows] for side in "RL" if performance.uses(side)]
    return np.concatenate(found)
