"""Preprocessing against Pillow, OpenCV and hand-made pictures, at every odd size."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from models.card import CardError, ModelCard
from online_tsm.preprocess import FrameError, Preprocessor, kept_box
from online_tsm.resize import Resize, area, triangle

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "preprocess"
SIZES = [(480, 640), (240, 320), (640, 480), (720, 1280), (256, 256), (231, 517), (17, 4000),
         (4000, 17), (1, 1), (2, 3), (2160, 3840)]


def card(**changes) -> ModelCard:
    """A card whose normalisation is the identity on grey levels."""
    plain = {"mean": (0, 0, 0), "std": (1 / 255,) * 3}
    return ModelCard("test", "mobilenet_v2", ("a", "b"), **{**plain, **changes})


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Smooth shapes with hard edges, as cameras give; uint8 [height, width, channels]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(2, height // 24), max(2, width // 24), channels), np.uint8)
    big = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    big = big.reshape(height, width, channels)
    big[height // 3:height // 2, width // 4:width // 2] = rng.integers(0, 256, channels, np.uint8)
    return big


def official(image: np.ndarray, side: int = 256, crop: tuple[int, int] = (224, 224)) -> np.ndarray:
    """Pillow's resize of the whole frame, then the centre crop, as torchvision writes them."""
    height, width = image.shape[:2]
    if width <= height:
        size = (side, int(side * height / width))
    else:
        size = (int(side * width / height), side)
    whole = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    top = round((whole.shape[0] - crop[0]) / 2.0)
    left = round((whole.shape[1] - crop[1]) / 2.0)
    return whole[top:top + crop[0], left:left + crop[1]]


def grey_levels(result: np.ndarray) -> np.ndarray:
    return result.transpose(1, 2, 0)


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden pictures are not here")
def test_the_golden_pictures_agree_within_one_grey_level():
    inputs = sorted(GOLDEN.glob("*_input.png"))
    assert len(inputs) == 3
    for path in inputs:
        expected = cv2.imread(str(path).replace("_input", "_expected")).astype(float)
        result = grey_levels(Preprocessor(card(colour="bgr"))(cv2.imread(str(path))))
        assert np.abs(result - expected).max() <= 1.001, path.name


@pytest.mark.parametrize("size", [s for s in SIZES if s != (2160, 3840)])
def test_shorter_side_is_pillows_resize_and_centre_crop(size):
    image = picture(*size)
    result = grey_levels(Preprocessor(card(colour="bgr"))(image))
    difference = np.abs(result - official(image).astype(float))
    assert difference.max() <= 1.001
    assert difference.mean() < 0.35  # Pillow rounds twice; half a pixel would cost about 1.5


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kept", [(224, 224), (84, 112), (7, 5), (1, 1)])
def test_the_resize_is_pillows_without_its_rounding(size, kept):
    image = picture(*size)
    box = kept_box(card(resize="centre-4:3"), *size)
    made = Resize(image.shape, box, kept, triangle)(image)
    for channel in range(3):
        exact = Image.fromarray(image[:, :, channel].astype(np.float32)).resize(
            kept[::-1], Image.Resampling.BILINEAR, box)
        assert np.abs(made[:, :, channel] - np.asarray(exact)).max() < 0.01


@pytest.mark.parametrize(("size", "kept", "runs"), [((480, 640), (96, 128), 1),
                                                    ((720, 960), (96, 128), 2),
                                                    ((1080, 1440), (96, 128), 4),
                                                    ((231, 517), (96, 128), 0)])
@pytest.mark.parametrize("weights", [area, triangle])
def test_rows_in_a_simple_ratio_are_added_up_in_few_calls(size, kept, runs, weights):
    image = picture(*size)
    resize = Resize(image.shape, (0, 0, size[1], size[0]), kept, weights)
    edges = 0 if weights is area else 4  # where a triangle is cut off, outputs are mixed otherwise
    assert runs <= len(resize._runs) <= (runs + edges if runs else 0)
    assert (len(resize._columns) == 1) == (runs > 0 and weights is area)
    exact = (weights(0, size[1], kept[1], size[1])
             @ (weights(0, size[0], kept[0], size[0]) @ image.reshape(size[0], -1)).reshape(
                 kept[0], size[1], 3))
    assert np.abs(resize(image) - exact).max() < 1e-3
    assert np.abs(resize(image) - exact).max() < 1e-3  # nothing is left of the frame before


def test_no_product_of_the_resize_is_large_enough_to_start_threads():
    for height, width in SIZES:
        resize = Resize((height, width, 3), (0, 0, width, height), (224, 224), triangle)
        kept = resize._squeezed[0].size
        assert all(block.weights.size * kept <= 262_144 or block.last - block.first == 1
                   for block in resize._rows)
        assert all(product.weights.size * product.of.shape[-2] <= 262_144
                   or product.made.shape[-1] == 3 for product in resize._columns)


def test_shorter_side_of_other_cards():
    image = picture(300, 437)
    made = Preprocessor(card(colour="bgr", resize_side=120, input_size=(96, 112)))(image)
    assert np.abs(grey_levels(made) - official(image, 120, (96, 112)).astype(float)).max() <= 1.001


def test_a_crop_larger_than_the_resized_picture_is_refused():
    with pytest.raises(CardError, match="resize_side is 200"):
        Preprocessor(card(resize_side=200))


@pytest.mark.parametrize(("size", "kept"), [((480, 640), (0, 0, 480, 640)),
                                            ((720, 1280), (0, 160, 720, 1120)),
                                            ((640, 480), (140, 0, 500, 480)),
                                            ((768, 1366), (0, 171, 768, 1195))])
def test_centre_4_3_with_area_is_opencvs_area_on_the_crop(size, kept):
    image = picture(*size)
    top, left, bottom, right = kept
    expected = cv2.resize(image[top:bottom, left:right], (112, 84), interpolation=cv2.INTER_AREA)
    made = Preprocessor(card(colour="bgr", resize="centre-4:3", filter="area",
                             input_size=(84, 112)))(image)
    assert np.abs(grey_levels(made) - expected).max() <= 0.501  # OpenCV rounds


def test_a_crop_of_fractions_is_not_rounded():
    # 4:3 of 31 rows is 41.33 columns, from 4.33 to 45.67; each output pixel is the mean of its
    # share, so a horizontal ramp comes out as the ramp's value at each share's middle.
    ramp = np.tile((np.arange(50, dtype=np.uint8) * 5)[None, :, None], (31, 1, 3))
    made = Preprocessor(card(resize="centre-4:3", filter="area", input_size=(3, 4)))(ramp)
    edges = np.linspace((50 - 31 * 4 / 3) / 2, (50 + 31 * 4 / 3) / 2, 5)
    fine = np.arange(50 * 300) // 300 * 5.0  # the same ramp, each pixel cut into 300
    cuts = np.rint(edges * 300).astype(int)
    expected = [fine[a:b].mean() for a, b in itertools.pairwise(cuts)]
    assert np.abs(made - np.array(expected)).max() <= 0.51


@pytest.mark.parametrize("size", [(120, 160), (31, 47), (9, 13)])
def test_area_is_opencvs_area_without_its_rounding(size):
    image = picture(*size)
    ours = Resize(image.shape, (0, 0, *size[::-1]), (24, 32), area)(image)
    by_opencv = cv2.resize(image.astype(np.float32), (32, 24), interpolation=cv2.INTER_AREA)
    assert np.abs(ours - by_opencv).max() < 0.01


@pytest.mark.parametrize("kind", ["bilinear", "area"])
def test_whole_frame_squeezes_all_of_it(kind):
    image = np.zeros((60, 200, 3), np.uint8)
    image[:, :100] = 200  # the left half is bright; so must be the left half of the input
    made = Preprocessor(card(resize="whole-frame", filter=kind, input_size=(40, 40)))(image)
    assert made[:, :, :18] == pytest.approx(200, abs=1e-3)
    assert (made[:, :, 22:] == 0).all()


def test_colour_order_and_normalisation():
    image = np.empty((50, 50, 3), np.uint8)
    image[:] = (10, 20, 30)  # blue, green, red
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
    for colour, channels in (("rgb", (30, 20, 10)), ("bgr", (10, 20, 30))):
        made = Preprocessor(card(colour=colour, mean=mean, std=std))(image)
        for plane in range(3):
            expected = (channels[plane] / 255 - mean[plane]) / std[plane]
            assert made[plane] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("rule", ["shorter-side", "centre-4:3", "whole-frame"])
@pytest.mark.parametrize("kind", ["bilinear", "area"])
@pytest.mark.parametrize("size", [*SIZES, (1, 4000), (4000, 1)])
def test_every_odd_size_and_channel_count_gives_a_full_input(rule, kind, size):
    pre = Preprocessor(card(resize=rule, filter=kind, resize_side=70, input_size=(48, 64)))
    colour = np.full((*size, 3), 77, np.uint8)
    for image in (colour, colour[..., 0], colour[..., :1],
                  np.dstack([colour, np.zeros(size, np.uint8)])):  # a transparent BGRA
        made = pre(image)
        assert made.shape == (3, 48, 64)
        assert made.dtype == np.float32
        assert np.abs(made - 77).max() <= 1e-3


@pytest.mark.parametrize("kind", ["bilinear", "area"])
def test_grey_is_its_own_colour_copied(kind):
    pre = Preprocessor(card(resize="centre-4:3", filter=kind, input_size=(48, 64)))
    grey = picture(97, 211, 1)
    from_grey = pre(grey).copy()
    assert np.abs(from_grey - pre(np.repeat(grey, 3, axis=2))).max() <= 1
    assert (from_grey == pre(grey[:, :, 0])).all()


def test_views_and_a_changed_size_in_mid_run():
    pre = Preprocessor(card())
    big, small = picture(480, 640), picture(240, 320)
    first = pre(big).copy()
    mirrored = pre(np.ascontiguousarray(big[:, ::-1])).copy()
    assert (pre(big[:, ::-1]) == mirrored).all()  # a view with a negative stride
    assert (pre(np.dstack([big, big])[:, :, :3]) == first).all()
    fixed = big.copy()
    fixed.setflags(write=False)
    assert (pre(fixed) == first).all()
    assert (pre(small) == Preprocessor(card())(small)).all()
    assert (pre(big) == first).all()


def test_buffers_are_reused_and_a_given_one_is_filled():
    pre = Preprocessor(card())
    image = picture(480, 640)
    first = pre(image)
    assert pre(picture(480, 640, seed=1)) is first
    batch = np.zeros((2, 3, 224, 224), np.float32)
    row = batch[1]
    assert pre(image, row) is row
    assert (batch[0] == 0).all()
    assert (batch[1] == pre(image)).all()


@pytest.mark.parametrize(("image", "named"), [
    (np.zeros((4, 4, 3), np.float32), r"float32 \[4, 4, 3\]"),
    (np.zeros((4, 4, 2), np.uint8), r"uint8 \[4, 4, 2\]"),
    (np.zeros((0, 4, 3), np.uint8), r"\[0, 4, 3\]"),
    (np.zeros(4, np.uint8), r"\[4\]"),
    (np.zeros((1, 4, 4, 3), np.uint8), r"\[1, 4, 4, 3\]"),
    (None, "NoneType"),
])
def test_what_is_no_picture_is_named(image, named):
    with pytest.raises(FrameError, match=named):
        Preprocessor(card())(image)


@pytest.mark.parametrize("out", [np.empty((3, 224, 223), np.float32), np.empty((3, 224, 224))])
def test_a_wrong_buffer_is_named(out):
    with pytest.raises(FrameError, match="input buffer"):
        Preprocessor(card())(picture(10, 10), out)
