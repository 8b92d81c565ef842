"""From a performance to bone matrices: torso, head, face and both arms of one person."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.synthesis.arms import HandTrack, arm_length, arm_rotations
from training.synthesis.language import BODY
from training.synthesis.motion import (
    AT,
    ELBOW,
    PALM,
    POINT,
    SHAPE,
    Performance,
    body_at,
    hand_at,
)
from training.synthesis.skeleton import Array, Rotations, Skeleton, about, frames, pose

Rng = np.random.Generator
X, Y, Z = np.eye(3, dtype=np.float32)
SHOULDER_LIFT = 0.4  # radians, with the hand an arm's length above the shoulder
WAVES = 7  # independent slow movements of torso and head
BLINK_S, BLINK_ANGLE, LID_AT_REST = 0.16, 0.42, 0.09  # seconds, radians, radians


@dataclass(frozen=True)
class Manner:
    """How a person sits and fidgets: drawn once a clip.

    posture: fixed angles in radians (turn, lean, tilt, head turn, head nod). waves: (WAVES, 3)
    rate in Hz, phase, amplitude. blinks: times in seconds.
    """

    posture: Array
    waves: NDArray[np.float64]
    blinks: NDArray[np.float64]
    noise_seed: int


def draw_manner(rng: Rng, seconds: float) -> Manner:
    """Posture and idle movement for a clip of some seconds."""
    posture = rng.normal(0, (0.07, 0.05, 0.03, 0.1, 0.07)).astype(np.float32)
    liveliness = rng.uniform(0.3, 1.3)
    waves = np.stack(
        [
            rng.uniform(0.08, 0.45, WAVES),
            rng.uniform(0, 2 * np.pi, WAVES),
            rng.uniform(0.3, 1.0, WAVES) * liveliness,
        ],
        1,
    )
    blinks = np.cumsum(rng.exponential(3.0, max(int(seconds), 1) + 1)) - rng.uniform(0, 2)
    return Manner(posture, waves, blinks, int(rng.integers(1 << 31)))


def bone_matrices(
    skeleton: Skeleton,
    performances: list[Performance],
    rest: Array,
    manner: Manner,
    times: Array,
) -> tuple[Array, dict[str, Array]]:
    """Bone matrices (T, B, 3, 4) at times (T,), and the palm centres (T, 3) by hand.

    rest: (POSE_SIZE,) the pose of an idle hand.
    """
    body = np.sum([body_at(p, times) for p in performances], axis=0)
    local = _torso(body, manner, times)
    root = _root(body)
    tracks = {}
    for side in "RL":
        vectors = _hand_vectors(performances, rest, side, times)
        tracks[side] = _track(skeleton, side, vectors, root)
        local[f"clavicle.{side}"] = _lifted_shoulder(skeleton, side, tracks[side].centre - root)
    torso = pose(skeleton, local, {}, root)
    world: Rotations = {}
    for side, track in tracks.items():
        shoulder = _posed_head(skeleton, torso, f"upperarm01.{side}")
        world.update(arm_rotations(skeleton, side, shoulder, track))
    palms = {side: track.centre for side, track in tracks.items()}
    return pose(skeleton, local, world, root), palms


def own_to_room(skeleton: Skeleton, side: str, at: Array) -> Array:
    """Places (..., 3) in own units (out, up, near) as metres in the room."""
    sign = -1.0 if side == "R" else 1.0
    shoulder = skeleton.head(f"upperarm01.{side}")
    eyes = skeleton.head("eye.R")[2]
    x = sign * at[..., 0] * abs(shoulder[0])
    y = shoulder[1] - at[..., 2] * arm_length(skeleton, side)
    z = shoulder[2] + at[..., 1] * (eyes - shoulder[2])
    return np.stack([x, y, z], -1).astype(np.float32)


def _hand_vectors(performances: list[Performance], rest: Array, side: str, times: Array) -> Array:
    out = np.repeat(rest[None], len(times), 0)
    for p in performances:
        now = (times >= p.start) & (times < p.end)
        if p.uses(side) and now.any():
            offset = np.pi if p.hands == "alternate" and side != p.hand else 0.0
            out[now] = hand_at(p, times[now], offset)
    return out


def _track(skeleton: Skeleton, side: str, vectors: Array, root: Array) -> HandTrack:
    sign = -1.0 if side == "R" else 1.0
    to_room = np.array([[sign, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)
    axes = frames(vectors[:, POINT] @ to_room.T, vectors[:, PALM] @ to_room.T)
    centre = own_to_room(skeleton, side, vectors[:, AT]) + root
    return HandTrack(
        centre, axes[..., 0], axes[..., 1], vectors[:, SHAPE], np.clip(vectors[:, ELBOW], 0, 1.2)
    )


def _lifted_shoulder(skeleton: Skeleton, side: str, palm: Array) -> Array:
    """The shoulder goes up with a hand that is raised above it."""
    height = palm[:, 2] - skeleton.head(f"upperarm01.{side}")[2]
    lift = np.clip(height / arm_length(skeleton, side), 0, 1) * SHOULDER_LIFT
    return about(Y, lift if side == "R" else -lift)


def _posed_head(skeleton: Skeleton, matrices: Array, name: str) -> Array:
    i = skeleton.index(name)
    return np.asarray(matrices[:, i, :, :3] @ skeleton.heads[i] + matrices[:, i, :, 3], np.float32)


def _root(body: Array) -> Array:
    out = np.zeros((len(body), 3), np.float32)
    out[:, 0] = body[:, BODY.index("shift")]
    out[:, 2] = body[:, BODY.index("rise")]
    return out


def _torso(body: Array, manner: Manner, times: Array) -> Rotations:
    """Local rotations of spine, neck, head, jaw and lids: posture, fidgeting, and the phases'
    body channels (degrees; talk is 0..1)."""
    rate, phase, size = manner.waves.T
    wave = np.sin(2 * np.pi * times[:, None] * rate + phase) * size
    channel = {name: body[:, i] for i, name in enumerate(BODY)}
    turn, lean, tilt, head_turn, head_nod = manner.posture
    radians = np.radians
    spine = (
        about(Z, turn + radians(channel["turn"]) + 0.015 * wave[:, 0])
        @ about(X, lean + radians(channel["lean"]) + 0.012 * wave[:, 1])
        @ about(Y, radians(channel["sway"]) + 0.012 * wave[:, 2])
    )
    talk = channel["talk"] * _chatter(times, manner.noise_seed)
    nod = head_nod + radians(channel["nod"]) - lean
    neck = about(Z, 0.4 * (head_turn + radians(channel["look"])) + 0.02 * wave[:, 3]) @ about(
        X, 0.4 * nod
    )
    head = (
        about(Z, 0.6 * (head_turn + radians(channel["look"])) + 0.04 * wave[:, 4])
        @ about(
            X, 0.6 * (head_nod + radians(channel["nod"]) - lean) + 0.03 * wave[:, 5] - 0.03 * talk
        )
        @ about(Y, tilt + radians(channel["tilt"]) + 0.025 * wave[:, 6])
    )
    since = times[:, None] - manner.blinks
    shut = np.clip(1 - np.abs(since) / (BLINK_S / 2), 0, 1).max(1)
    lid = LID_AT_REST + (BLINK_ANGLE - LID_AT_REST) * shut
    lids = about(X, lid)
    return {
        "spine03": spine,
        "neck01": neck,
        "head": head,
        "jaw": about(X, 0.15 * talk),
        "orbicularis03.L": lids,
        "orbicularis03.R": lids,
    }


def _chatter(times: Array, seed: int) -> Array:
    """How open a talking mouth is at times (T,): 0..1, uneven like speech."""
    rng = np.random.default_rng(seed)
    rates, shifts = rng.uniform(1.5, 5.5, 3), rng.uniform(0, 6.28, 3)
    wave = np.sin(2 * np.pi * times[:, None] * rates + shifts).sum(1) / 2
    return np.asarray(np.clip(wave, 0, 1), np.float32)
