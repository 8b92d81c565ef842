"""The shift by itself: which channel comes from which frame, forwards and backwards."""

import pytest
import torch

from models.card import Shift
from models.temporal_shift import fold_of, shift_clip, shift_clip_in_place, shift_frame

SHIFTS = [
    Shift(direction, fold_div, past_fold, padding, "block")
    for direction in ("past", "both")
    for fold_div in (2, 4, 8)
    for past_fold in ("first", "second")
    for padding in ("zero", "circulant")
]


def numbered_clip(frames: int = 3, channels: int = 8) -> torch.Tensor:
    """[1, T, C, 1, 1] with the value 10 * frame + channel, counted from 1."""
    t = torch.arange(1, frames + 1)[:, None] * 10
    return (t + torch.arange(1, channels + 1)).float().reshape(1, frames, channels, 1, 1)


def seed_of_the_project(tensor: torch.Tensor, duration: int, version: str) -> torch.Tensor:
    """What the project started from, frame by frame: the meaning that must not change."""
    out = tensor.clone()
    quarter = tensor.shape[1] // 4
    for start in range(0, len(tensor), duration):
        for t in range(duration):
            for by, fold in ((-1, slice(0, quarter)), (1, slice(quarter, 2 * quarter))):
                inside = 0 <= t + by < duration
                source = tensor[start + (t + by) % duration, fold]
                out[start + t, fold] = source if inside or version == "circulant" else 0
    return out


def test_one_channel_of_eight_comes_from_the_previous_frame():
    shifted = shift_clip(numbered_clip(), Shift()).flatten(2)
    assert shifted[0, 0].tolist() == [0, 12, 13, 14, 15, 16, 17, 18]
    assert shifted[0, 1].tolist() == [11, 22, 23, 24, 25, 26, 27, 28]
    assert shifted[0, 2].tolist() == [21, 32, 33, 34, 35, 36, 37, 38]


def test_the_official_training_order_takes_the_first_eighth_from_the_future():
    shifted = shift_clip(numbered_clip(), Shift("both", 8, "second")).flatten(2)
    assert shifted[0, 0, :3].tolist() == [21, 0, 13]
    assert shifted[0, 1, :3].tolist() == [31, 12, 23]
    assert shifted[0, 2, :3].tolist() == [0, 22, 33]


@pytest.mark.parametrize("version", ["zero", "circulant"])
@pytest.mark.parametrize("duration", [1, 2, 5])
def test_the_seed_is_a_special_case(version, duration):
    tensor = torch.randn(2 * duration, 8, 3, 2)
    shift = Shift("both", 4, "first", version)
    ours = shift_clip(tensor.reshape(2, duration, 8, 3, 2), shift).reshape(tensor.shape)
    assert torch.equal(ours, seed_of_the_project(tensor, duration, version))


@pytest.mark.parametrize("wrong", [
    Shift(padding="reflect"), Shift(direction="future"), Shift(past_fold="third")])
def test_an_unknown_version_is_refused(wrong):
    with pytest.raises(ValueError, match=r"reflect.*circulant|future.*past|third.*second"):
        shift_clip(numbered_clip(), wrong)


@pytest.mark.parametrize("past_fold", ["first", "second"])
def test_frame_by_frame_equals_the_clip(past_fold):
    shift = Shift(past_fold=past_fold)
    clip = torch.randn(2, 5, 16, 3, 3)
    cached, frames = torch.zeros(2, 2, 3, 3), []
    for t in range(5):
        shifted, cached = shift_frame(clip[:, t], cached, fold_of(16, shift))
        frames.append(shifted)
    assert torch.equal(torch.stack(frames, 1), shift_clip(clip, shift))


def test_streaming_a_both_ways_shift_feeds_the_past_fold_and_leaves_the_future_one():
    now, before = numbered_clip()[:, 1], numbered_clip()[:, 0]
    past = fold_of(8, Shift("both", 8, "second"))
    shifted, kept = shift_frame(now, before[:, past], past)
    assert shifted.flatten().tolist() == [21, 12, 23, 24, 25, 26, 27, 28]
    assert kept.flatten().tolist() == [22]


def test_the_cache_is_a_copy():
    x = torch.ones(1, 8, 2, 2)
    _, kept = shift_frame(x, torch.zeros(1, 1, 2, 2), slice(0, 1))
    x.zero_()
    assert kept.sum() == 4


@pytest.mark.parametrize(("channels", "shift"), [(7, Shift()), (8, Shift("past", 1, "second"))])
def test_a_fold_of_no_channels_is_refused(channels, shift):
    with pytest.raises(ValueError, match=f"{channels} channels"):
        fold_of(channels, shift)


@pytest.mark.parametrize("shift", SHIFTS)
def test_in_place_equals_the_plain_form_with_its_gradient(shift):
    clip = torch.randn(2, 3, 8, 2, 1, dtype=torch.float64, requires_grad=True)
    weight = torch.randn_like(clip)
    plain = shift_clip(clip, shift)
    spare = clip * 1
    in_place = shift_clip_in_place(spare, shift)
    assert torch.equal(in_place, plain)
    assert in_place.data_ptr() == spare.data_ptr()
    expected = torch.autograd.grad((plain * weight).sum(), clip)[0]
    assert torch.equal(torch.autograd.grad((in_place * weight).sum(), clip)[0], expected)
    assert torch.autograd.gradcheck(lambda x: shift_clip_in_place(x * 1, shift), clip)


def test_in_place_leaves_a_shared_gradient_alone():
    clip = torch.randn(1, 3, 8, 1, 1, requires_grad=True)
    gradient = torch.randn(1, 3, 8, 1, 1)
    before = gradient.clone()
    shift_clip_in_place(clip * 1, Shift(placement="block")).backward(gradient)
    assert torch.equal(gradient, before)


def test_in_place_refuses_the_residual_placement():
    with pytest.raises(ValueError, match="shortcut"):
        shift_clip_in_place(numbered_clip(), Shift(placement="blockres"))


def test_autograd_refuses_in_place_after_a_relu():
    x = torch.randn(1, 3, 8, 1, 1, requires_grad=True).relu()
    shifted = shift_clip_in_place(x, Shift(placement="block"))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        shifted.sum().backward()
