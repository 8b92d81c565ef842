"""Pictures for the eye: contact sheets, animated pictures, close-ups of the cast."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.synthesis.bake import baked_path
from training.synthesis.cast import Person, people
from training.synthesis.clip import Clip
from training.synthesis.figure import load_figure
from training.synthesis.renderer import Camera, Light, Renderer
from training.synthesis.skeleton import pose, unit

Picture = NDArray[np.uint8]
SHEET_FRAMES = 10
CLOSE_UP_PX, CLOSE_UP_COLUMNS = 350, 8
CAPTION_PX = 24
CAPTION = (255, 230, 0)


def decoded(clip: Clip) -> list[Picture]:
    """All frames of a clip as RGB uint8 pictures."""
    pictures = (cv2.imdecode(np.frombuffer(f, np.uint8), cv2.IMREAD_COLOR) for f in clip.frames)
    return [np.asarray(p, np.uint8)[..., ::-1] for p in pictures]


def contact_sheet(clips: list[Clip]) -> Picture:
    """One row a clip, SHEET_FRAMES frames from its first event's start to its end."""
    rows = []
    for clip in clips:
        frames, event = decoded(clip), clip.events[0]
        moments = np.linspace(event.start, event.end, SHEET_FRAMES)
        picks = [frames[int(np.abs(clip.times - t).argmin())] for t in moments]
        row = np.hstack(picks)
        held = ", held out" if event.held_out_style else ""
        text = f"{event.label}: {event.style} ({event.hand}{held}), {clip.person}"
        band = np.zeros((CAPTION_PX, row.shape[1], 3), np.uint8)
        cv2.putText(band, text, (6, CAPTION_PX - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.55, CAPTION, 1,
                    cv2.LINE_AA)
        rows += [band, row]
    return np.vstack(rows)


def animation(clips: list[Clip], path: Path) -> None:
    """An animated GIF of clips, one after the other, at their own speed."""
    frames, pauses = [], []
    for clip in clips:
        frames += [Image.fromarray(f) for f in decoded(clip)]
        steps = np.diff(clip.times, append=clip.times[-1] + 0.5)
        pauses += [max(int(1000 * s), 20) for s in steps]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=pauses, loop=0)


def save(picture: Picture, path: Path, quality: int = 90) -> None:
    """Write an RGB picture; the format follows the file name, quality (0..100) is that of JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, quality=quality)


def close_ups(cache: Path, split: str, device: int) -> Picture:
    """Face and both hands of everyone in a split, CLOSE_UP_PX wide each."""
    renderer = Renderer(CLOSE_UP_PX, CLOSE_UP_PX, samples=4, device=device)
    renderer.set_backdrop(np.full((4, 4, 3), 128, np.uint8))
    pictures = [_close_up(renderer, cache, person) for person in people(split)]
    while len(pictures) % CLOSE_UP_COLUMNS:
        pictures.append(np.zeros_like(pictures[0]))
    rows = [np.hstack(pictures[i : i + CLOSE_UP_COLUMNS])
            for i in range(0, len(pictures), CLOSE_UP_COLUMNS)]
    return np.vstack(rows)


def _close_up(renderer: Renderer, cache: Path, person: Person) -> Picture:
    figure = load_figure(baked_path(cache, person))
    skeleton = figure.skeleton
    renderer.load(figure)
    renderer.set_poses(pose(skeleton, {}, {}, np.zeros((1, 3), np.float32)))
    light = Light(
        unit(np.array([0.5, -0.8, 0.6], np.float32)),
        np.full(3, 1.5, np.float32),
        np.full(3, 1.5, np.float32),
        np.zeros(3, np.float32),
        0.2,
        0.8,
        np.ones((7, 3), np.float32),
        1.3,
    )
    eyes = (skeleton.head("eye.R") + skeleton.head("eye.L")) / 2
    hand = skeleton.head("finger3-1.R")
    out = []
    for middle, size in ((eyes - np.array([0, 0, 0.09]), 0.5), (hand, 0.26)):
        fov = float(np.degrees(2 * np.arctan(size / 2)))
        eye = (middle + np.array([0, -1, 0])).astype(np.float32)
        renderer.set_scene(Camera(eye, middle.astype(np.float32), fov), light)
        out.append(renderer.draw(0)[..., :3])
    face, hand_picture = np.ascontiguousarray(out[0]), out[1]
    inset = cv2.resize(hand_picture, (CLOSE_UP_PX // 3, CLOSE_UP_PX // 3))
    face[-inset.shape[0] :, : inset.shape[1]] = inset
    cv2.putText(face, str(person.name), (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, CAPTION, 1)
    return face
