"""The stroke lies where the hand is away from rest, whatever the camera does."""

from __future__ import annotations

import numpy as np
import pytest

from online_tsm.stroke import find_stroke, motion_of

RATE = 15.0


def film(seconds: float = 4.0, away: tuple[float, float] = (1.2, 2.6), noise: float = 0.0,
         brighten: float = 0.0) -> tuple[list[np.ndarray], np.ndarray]:
    """A bright square comes in from below in 0.3 s, moves to and fro, and leaves again."""
    rng = np.random.default_rng(0)
    times = np.arange(round(seconds * RATE)) / RATE
    images = []
    for time in times:
        image = np.full((120, 160), 70.0)
        up = np.clip(min(time - away[0] + 0.3, away[1] + 0.3 - time) / 0.3, 0, 1)
        top, left = round(120 - 80 * up), round(60 + 20 * np.sin(6 * time))
        image[top:top + 40, left:left + 40] = 190
        image += brighten * time + rng.normal(0, noise, image.shape)
        images.append(image.clip(0, 255).astype(np.uint8))
    return images, times


@pytest.mark.parametrize(("noise", "brighten"), [(0.0, 0.0), (6.0, 0.0), (0.0, 8.0)])
def test_the_stroke_is_found_without_rise_and_return(noise: float, brighten: float) -> None:
    stroke = find_stroke(*film(noise=noise, brighten=brighten))
    assert stroke.start == pytest.approx(1.2, abs=0.25)
    assert stroke.end == pytest.approx(2.6, abs=0.25)


def test_energy_is_one_at_its_peak_and_low_at_rest() -> None:
    images, times = film()
    stroke = find_stroke(images, times)
    assert stroke.energy.shape == (len(images),)
    assert stroke.energy.dtype == np.float32
    assert stroke.energy.max() == pytest.approx(1.0)
    assert stroke.energy[times < 0.7].max() < 0.05


def test_a_still_clip_still_has_a_stroke_inside_it() -> None:
    images, times = film(away=(99.0, 99.5))
    stroke = find_stroke(images, times)
    assert times[0] <= stroke.start < stroke.end <= times[-1]


@pytest.mark.parametrize("frames", [2, 3, 6])
def test_very_short_clips_have_a_stroke(frames: int) -> None:
    images, times = film()
    stroke = find_stroke(images[:frames], times[:frames])
    assert 0 <= stroke.start < stroke.end <= times[frames - 1]


def test_a_moving_hand_is_livelier_than_noise() -> None:
    assert motion_of(*film(noise=5.0)).liveliness > 10
    assert motion_of(*film(away=(99.0, 99.5), noise=5.0)).liveliness < 2
