"""Clear pictures of one presenter in a bright room: for people to learn from, not for networks."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from training.synthesis.cast import Person, people
from training.synthesis.clip import Studio, sub_frame_poses
from training.synthesis.motion import Performance
from training.synthesis.posing import Manner
from training.synthesis.props import PROP_LAYER
from training.synthesis.renderer import Camera, Light
from training.synthesis.skeleton import Array, unit

Picture = NDArray[np.uint8]
SHUTTER_S = 0.02
PRESENTER_NUMBER = 900  # beyond every cast, so that their file is their own


@dataclass(frozen=True)
class Scene:
    """What happens on stage, and where it is seen from.

    rest: (POSE_SIZE,) the pose of an idle hand. held: a thing and the hand that holds it.
    """

    performances: list[Performance]
    rest: Array
    manner: Manner
    camera: Camera
    backdrop: Picture
    held: tuple[str, str] | None = None


def presenter() -> Person:
    """Who shows the gestures: plain clothes, short hair, hands that stand out from both."""
    return replace(
        people("train")[4],
        number=PRESENTER_NUMBER,
        pattern="plain",
        cloth_colours=((64, 86, 112), (64, 86, 112)),
        hair="short01",
        hair_colour=(40, 30, 26),
        brows="eyebrow001",
    )


def daylight() -> Light:
    """A lamp above the camera's right, a bright room, a little light from the screen."""
    tints = np.ones((7, 3), np.float32)
    tints[PROP_LAYER] = 0.03  # dark things in bright hands
    return Light(
        unit(np.array([0.55, -0.75, 0.6], np.float32)),
        np.array([1.05, 0.98, 0.9], np.float32) * 1.9,
        np.array([0.55, 0.57, 0.6], np.float32) * 1.9,
        np.array([0.9, 0.95, 1.0], np.float32) * 0.15,
        0.25,
        0.85,
        tints,
        1.35,
    )


def film(studio: Studio, person: Person, scene: Scene, times: Array) -> Iterator[Picture]:
    """RGB pictures of the studio's size at times (T,) in seconds, blurred as a camera would."""
    figure = studio.show(person, scene.held)
    matrices, palms, index = sub_frame_poses(
        figure, scene.performances, scene.rest, scene.manner, times=times, shutter=SHUTTER_S
    )
    studio.renderer.set_backdrop(scene.backdrop)
    studio.renderer.set_scene(scene.camera, daylight())
    studio.renderer.set_poses(matrices)
    hands = studio.in_picture(scene.camera, palms)
    for shown in studio.exposed(index, hands):
        yield np.clip(shown[..., :3] * 255, 0, 255).round().astype(np.uint8)


def plain_wall(width: int, height: int) -> Picture:
    """A light wall, a little darker to the sides and below."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    shade = 1 - 0.1 * x**2 - 0.06 * (y + 0.4)
    wall = np.array([206, 212, 214], np.float32) * shade[..., None]
    return np.asarray(np.clip(cv2.GaussianBlur(wall, (0, 0), 2), 0, 255).astype(np.uint8))
