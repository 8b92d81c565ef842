"""Rendered people as users: each sits in one room to teach and in another one to be judged.

A user has habits: one style and one hand for each gesture, in both rooms. Room, light and webcam of
a sitting stay; before the camera the user sits a little elsewhere in each clip. To teach they
sit near and far in turn, as the guided session asks (app/teach_list.py); else as chance has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from training.synthesis.assets import SynthesisError
from training.synthesis.bake import ensure_baked
from training.synthesis.cast import Person, people
from training.synthesis.clip import Clip, Studio, choose
from training.synthesis.language import Gesture, Style, load_gestures, resting_poses
from training.synthesis.plan import CLIPS_A_SHARD
from training.synthesis.shards import shard_path, write_shard

TAUGHT_FOLDER = Path(__file__).parent / "gestures_taught"  # that only teaching can bring
# A seed; gesture, style and hand; whether the user sits far away, None: as chance has it.
Job = tuple[int, tuple[Gesture, Style, str], bool | None]
SITS_FAR = (False, True, False, True, False)  # in the recordings of a gesture, over and over
Room = Literal["teach", "test"]
ROOMS: tuple[Room, Room] = ("teach", "test")


@dataclass(frozen=True)
class Amounts:
    """How many clips of each kind a user makes in each room: of each new gesture, of each that
    the network knows, and of background."""

    new: int
    known: int
    background: int


def render_users(out: Path, cache: Path, users: list[Person], amounts: dict[Room, Amounts], *,
                 seed: int = 0, device: int = 0, own_ways: bool = False, draft: bool = False,
                 told: Callable[[str], None] = lambda _: None) -> None:
    """Renders what `out` lacks: `out`/USER/ROOM/shard-*.npz. Raises SynthesisError.

    `own_ways`: users perform known gestures in styles that no network was trained on. `draft`:
    as in a draft of a training set, in half the time.
    """
    ensure_baked(cache, tuple(users))
    new, known = load_gestures(TAUGHT_FOLDER), load_gestures()
    studio: Studio | None = None
    for user in users:
        for room in ROOMS:
            jobs = performances(user, room, amounts[room], new=new, known=known,
                                seed=seed, own_ways=own_ways)
            for number, first in enumerate(range(0, len(jobs), CLIPS_A_SHARD)):
                path = shard_path(out / user.name / room, number)
                if path.exists():
                    continue
                studio = studio or Studio(cache, resting_poses(), device, draft=draft)
                path.parent.mkdir(parents=True, exist_ok=True)
                setting = _seed(seed, user.name, room)
                clips: list[Clip] = [
                    studio.clip(user, [performed], clip_seed, setting=setting, far=far)
                    for clip_seed, performed, far in jobs[first:first + CLIPS_A_SHARD]]
                write_shard(path, clips)
                told(f"{user.name} {room}: {first + len(clips)} of {len(jobs)} clips")


def cast_of(split: str, numbers: list[int]) -> list[Person]:
    """Users by their numbers in the cast. Raises SynthesisError."""
    cast = people(split)
    for number in numbers:
        if not 0 <= number < len(cast):
            raise SynthesisError(f"the cast of {split!r} has people 0 to {len(cast) - 1}, not "
                                 f"{number}")
    return [cast[number] for number in numbers]


def performances(user: Person, room: Room, amounts: Amounts, *,
                 new: dict[str, Gesture], known: dict[str, Gesture], seed: int,
                 own_ways: bool = False) -> list[Job]:
    """What the user performs in a room, in order.

    Of background every style comes in turn; a gesture keeps the user's own style, with `own_ways`
    a held-out one where the network knows the gesture.
    """
    jobs = []
    every = {**new, **known}
    for label, gesture in sorted(every.items()):
        habit = np.random.default_rng(_seed(seed, user.name, label))
        _, style, hand = choose(habit, gesture, every, user.split)
        if own_ways and label in known and not gesture.background:
            source = every[gesture.mirror] if hand == "L" else gesture
            style = _held_out(source, habit)
        count = (amounts.background if gesture.background
                 else amounts.new if label in new else amounts.known)
        for number in range(count):
            far = SITS_FAR[number % len(SITS_FAR)] if room == "teach" else None
            if gesture.background:
                turn = number + (len(gesture.styles) // 2 if room == "test" else 0)
                style, far = gesture.styles[turn % len(gesture.styles)], None
            clip_seed = _seed(seed, user.name, label, room, number)
            jobs.append((clip_seed, (gesture, style, hand), far))
    return jobs


def _held_out(gesture: Gesture, rng: np.random.Generator) -> Style:
    """One of the styles that are kept from training."""
    styles = [style for style in gesture.styles if style.held_out]
    if not styles:
        raise SynthesisError(f"the gesture {gesture.label!r} has no style with `held_out: true`, "
                             "so a user has no own way of it")
    return styles[int(rng.integers(len(styles)))]


def _seed(*parts: object) -> int:
    """The same number for the same parts, on every machine."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:7], "little")
