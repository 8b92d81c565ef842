"""Draws a posed person in front of a picture, off screen, with OpenGL through EGL."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.synthesis.assets import SynthesisError
from training.synthesis.figure import Figure
from training.synthesis.skeleton import Array, unit

NEAR_M, FAR_M = 0.05, 10.0
HAIR_LAYER = 2
SHADOW_BELOW_M = 0.25  # hands lower than this under the shoulders throw no shadow in view
LINES_AT_ONCE = 4096  # of pictures one above the other: a GPU is asked for many at a time
Still = tuple[int, tuple[float, float]]  # a pose's number and a shift in pixels
HERE = Path(__file__).parent
CAPSULES = ("wrist.R", "lowerarm01.R", "wrist.L", "lowerarm01.L")
ALPHA_TO_COVERAGE = 0x809E  # soft hair edges from the samples of multisampling


@dataclass(frozen=True)
class Camera:
    """eye, target: (3,) in metres. fov_deg: vertical angle. roll: radians."""

    eye: Array
    target: Array
    fov_deg: float
    roll: float = 0.0

    def matrix(self, width: int, height: int) -> Array:
        """View-projection matrix (4, 4)."""
        forward = unit(self.target - self.eye)
        right = unit(np.cross(forward, np.array([0, 0, 1], np.float32)))
        up = np.cross(right, forward)
        c, s = np.cos(self.roll), np.sin(self.roll)
        right, up = right * c + up * s, up * c - right * s
        view = np.eye(4, dtype=np.float32)
        view[:3, :3] = np.stack([right, up, -forward])
        view[:3, 3] = -view[:3, :3] @ self.eye
        g = 1 / np.tan(np.radians(self.fov_deg) / 2)
        depth = NEAR_M - FAR_M
        projection = np.array(
            [
                [g * height / width, 0, 0, 0],
                [0, g, 0, 0],
                [0, 0, (FAR_M + NEAR_M) / depth, 2 * FAR_M * NEAR_M / depth],
                [0, 0, -1, 0],
            ],
            np.float32,
        )
        return np.asarray(projection @ view, np.float32)

    def project(self, points: Array, width: int, height: int) -> Array:
        """Pixels (..., 2) of points (..., 3): x to the right, y down."""
        m = self.matrix(width, height)
        clip = points @ m[:, :3].T + m[:, 3]
        at = clip[..., :2] / np.maximum(clip[..., 3:], 1e-3)
        return np.asarray((at * [1, -1] + 1) / 2 * [width, height], np.float32)


@dataclass(frozen=True)
class Light:
    """direction: (3,) unit, towards the lamp. Colours are RGB factors (3,). shine: gloss of skin.
    shadow: 0..1 how dark hand shadows are. tints: (7, 3) factors a texture layer."""

    direction: Array
    lamp: Array
    room: Array
    screen: Array
    shine: float
    shadow: float
    tints: Array
    exposure: float


class Renderer:
    """One OpenGL context with one picture size.

    Raises SynthesisError when no off-screen OpenGL can be opened.
    """

    def __init__(self, width: int, height: int, samples: int = 0, device: int = 0) -> None:
        self.width, self.height = width, height
        self.gl = _open_context(device)
        self.program = self._program("person")
        self.backdrop = self._program("backdrop")
        corners = np.array([-1, -1, 1, -1, -1, 1, 1, 1], np.float32)
        self.quad = self.gl.vertex_array(
            self.backdrop, [(self.gl.buffer(corners.tobytes()), "2f", "corner")]
        )
        self.at_once = max(1, LINES_AT_ONCE // height)
        size = (width, height * self.at_once)
        self.plain = self.gl.simple_framebuffer(size, 4)
        self.target = self.plain
        if samples:
            self.target = self.gl.framebuffer(
                [self.gl.renderbuffer(size, 4, samples=samples)],
                self.gl.depth_renderbuffer(size, samples=samples),
            )
        self.samples = samples
        self.owned: list[Any] = []
        self.pose: Any = None
        self.picture: Any = None

    def _program(self, name: str) -> Any:
        return self.gl.program(
            (HERE / f"{name}.vert").read_text(), (HERE / f"{name}.frag").read_text()
        )

    def load(self, figure: Figure) -> None:
        """Make a person the one that is drawn."""
        for thing in self.owned:
            thing.release()
        gl, side = self.gl, figure.textures.shape[1]
        white = np.full((1, side, side, 4), 255, np.uint8)  # things in a hand
        layers = np.concatenate([figure.textures, white])
        textures = gl.texture_array((side, side, len(layers)), 4, layers.tobytes())
        textures.build_mipmaps()
        # Nearest level: blending two of them costs a third of the time and shows nothing.
        textures.filter = (gl.LINEAR_MIPMAP_NEAREST, gl.LINEAR)
        static = np.concatenate(
            [figure.points, figure.normals, figure.uv, figure.layer[:, None]], 1
        ).astype(np.float32)
        buffers = [
            gl.buffer(static.tobytes()),
            gl.buffer(figure.bones.astype(np.uint8).tobytes()),
            gl.buffer(figure.weights.astype(np.float32).tobytes()),
            gl.buffer(figure.triangles.astype(np.int32).tobytes()),
        ]
        array = gl.vertex_array(
            self.program,
            [
                (buffers[0], "3f 3f 2f 1f", "point", "normal", "uv", "layer"),
                (buffers[1], "4u1", "bones"),
                (buffers[2], "4f", "weights"),
            ],
            buffers[3],
        )
        self.owned = [textures, array, *buffers]
        self.textures, self.array = textures, array
        hair = np.flatnonzero(figure.layer[figure.triangles[:, 0]] == HAIR_LAYER)
        end = 3 * len(figure.triangles)
        first, last = (3 * hair[0], 3 * hair[-1] + 3) if len(hair) else (end, end)
        # Hair is sheets, seen from both sides; all else is closed, and its far side is skipped.
        self.runs = [(0, first, True), (first, last, False), (last, end, True)]
        names = figure.skeleton.names
        ranges = []
        for hand in "RL":
            arm = [i for i, n in enumerate(names) if n.endswith(f".{hand}") and _is_arm(n)]
            ranges += [min(arm), max(arm) + 1]
        self.program["first_arm_bone"].value = ranges
        self.capsule_bones = [figure.skeleton.index(n) for n in CAPSULES]
        self.capsules = _capsules(figure)
        self.lowest_shadow = float(figure.skeleton.head("upperarm01.R")[2]) - SHADOW_BELOW_M

    def set_backdrop(self, picture: NDArray[np.uint8]) -> None:
        """The room behind: an RGB uint8 picture of any size."""
        if self.picture is not None:
            self.picture.release()
        height, width = picture.shape[:2]
        data = np.ascontiguousarray(picture).tobytes()
        self.picture = self.gl.texture((width, height), 3, data, alignment=1)

    def set_scene(self, camera: Camera, light: Light) -> None:
        """Camera and light of the following frames."""
        p = self.program
        p["view_projection"].write(camera.matrix(self.width, self.height).T.tobytes())
        p["eye"].value = tuple(map(float, camera.eye))
        p["lamp_direction"].value = tuple(map(float, light.direction))
        p["lamp_colour"].value = tuple(map(float, light.lamp))
        p["room_colour"].value = tuple(map(float, light.room))
        p["screen_colour"].value = tuple(map(float, light.screen))
        p["tints"].write(light.tints.astype(np.float32).tobytes())
        p["shine"].value = light.shine
        p["shadow_strength"].value = light.shadow
        p["exposure"].value = light.exposure

    def set_poses(self, matrices: Array) -> None:
        """Bone matrices (T, B, 3, 4) of all frames that will be drawn."""
        steps, bones = matrices.shape[:2]
        if self.pose is not None:
            self.pose.release()
        data = np.ascontiguousarray(matrices, np.float32).tobytes()
        self.pose = self.gl.texture((bones * 3, steps), 4, data, dtype="f4")
        self.pose.filter = (self.gl.NEAREST, self.gl.NEAREST)
        rotation, shift = np.split(matrices[:, self.capsule_bones], [3], axis=-1)
        self.capsule_ends = [(rotation @ self.capsules[:, at, None] + shift)[..., 0]
                             for at in (slice(0, 3), slice(3, 6))]

    def draw(self, frame: int) -> NDArray[np.uint8]:
        """Draw one pose: RGBA uint8 (height, width, 4); alpha is 255 where the person is."""
        return np.asarray(self.draw_all([(frame, (0.0, 0.0))])[0])

    def draw_all(self, stills: Sequence[Still]) -> NDArray[np.uint8]:
        """Draw many: RGBA uint8 (N, height, width, 4).

        The shifts make smooth edges when several pictures are averaged.
        """
        parts = [self._drawn(stills[start : start + self.at_once])
                 for start in range(0, len(stills), self.at_once)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _drawn(self, stills: Sequence[Still]) -> NDArray[np.uint8]:
        """As many as the target holds, and read back together."""
        width, height = self.width, self.height
        self.target.use()
        self.gl.clear()
        self.picture.use(0)
        self.textures.use(1)
        self.pose.use(2)
        self.program["textures"].value, self.program["pose"].value = 1, 2
        if self.samples:
            self.gl.enable_direct(ALPHA_TO_COVERAGE)
        for place, (frame, shift) in enumerate(stills):
            self.target.viewport = (0, place * height, width, height)
            self._draw(frame, shift)
        if self.samples:
            self.gl.disable_direct(ALPHA_TO_COVERAGE)
            self.gl.copy_framebuffer(self.plain, self.target)
        area = (0, 0, width, height * len(stills))
        data = self.plain.read(viewport=area, components=4, alignment=1)
        pictures = np.frombuffer(data, np.uint8).reshape(len(stills), height, width, 4)
        return pictures[:, ::-1]

    def _draw(self, frame: int, shift: tuple[float, float]) -> None:
        """One pose into the target's present part."""
        gl, p = self.gl, self.program
        gl.disable(gl.DEPTH_TEST)
        self.quad.render(gl.TRIANGLE_STRIP)
        gl.enable(gl.DEPTH_TEST)
        p["frame"].value = frame
        p["jitter"].value = (2 * shift[0] / self.width, 2 * shift[1] / self.height)
        self._place_capsules(frame)
        for first, last, closed in self.runs:
            (gl.enable if closed else gl.disable)(gl.CULL_FACE)
            if last > first:
                self.array.render(vertices=int(last - first), first=int(first))
        gl.disable(gl.CULL_FACE)

    def _place_capsules(self, frame: int) -> None:
        """Hand the shader the capsules that can throw a shadow into the picture."""
        start, end = (ends[frame] for ends in self.capsule_ends)
        shown = np.flatnonzero(np.maximum(start[:, 2], end[:, 2]) > self.lowest_shadow)
        rows, tails = np.zeros((2, 4, 4), np.float32)
        rows[: len(shown), :3], rows[: len(shown), 3] = start[shown], self.capsules[shown, 6]
        tails[: len(shown), :3], tails[: len(shown), 3] = end[shown], 1 + shown // 2
        p = self.program
        p["capsules"].value = len(shown)
        p["capsule_start"].write(rows.tobytes())
        p["capsule_end"].write(tails.tobytes())


def _open_context(device: int) -> Any:
    try:
        import moderngl

        gl: Any = moderngl
        return gl.create_context(standalone=True, backend="egl", device_index=device)
    except Exception as error:  # the binding raises bare exceptions of several kinds
        raise SynthesisError(
            f"No off-screen OpenGL could be opened ({error}). Install `moderngl` and the EGL "
            "driver (Debian: libegl1 libgl1-mesa-dri), or pick another --device."
        ) from error


def _is_arm(name: str) -> bool:
    return name.startswith(("lowerarm", "wrist", "finger", "metacarpal"))


def _capsules(figure: Figure) -> Array:
    """(4, 7): start, end, radius of hand and forearm, right then left, at rest."""
    rows = []
    for hand in "RL":
        s = figure.skeleton
        wrist, elbow = s.head(f"wrist.{hand}"), s.head(f"lowerarm01.{hand}")
        tip = s.tails[s.index(f"metacarpal2.{hand}")]
        rows.append([*wrist, *(wrist + 1.25 * (tip - wrist)), 0.042])
        rows.append([*elbow, *wrist, 0.035])
    return np.array(rows, np.float32)
