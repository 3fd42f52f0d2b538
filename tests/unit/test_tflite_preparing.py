"""An image becomes the input of a TFLite detector as the trained model's own preprocessing makes it."""

import numpy as np
import pytest

from odtl import serving
from odtl.preprocessing import Preprocessing
from odtl.tflite.metadata import Settings
from odtl.tflite.preparing import prepare, resize

MEAN, STDDEV = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PADDING = tuple(255 * mean for mean in MEAN)


def test_between_two_pixels_lies_their_mean():
    image = np.array([[[0, 10, 20], [100, 20, 40]]], np.uint8)
    # Centres of four new pixels lie at -0.25, 0.25, 0.75 and 1.25 of two old ones.
    assert resize(image, 1, 4)[0, :, 0].tolist() == [0, 25, 75, 100]
    assert resize(image, 3, 1)[:, 0].tolist() == [[50, 15, 30]] * 3


def test_wide_image_is_scaled_to_the_width_and_padded_below():
    settings = Settings((64, 64), (96, 96), True, (1.0, 2.0, 3.0))
    pixels, extent = prepare(np.full((50, 200, 3), 200, np.uint8), settings)
    assert (pixels.shape, pixels.dtype, extent) == ((96, 96, 3), np.float32, (16.0, 64.0))
    assert np.all(pixels[:16, :64] == 200)
    assert np.all(pixels[16:] == [1, 2, 3])
    assert np.all(pixels[:, 64:] == [1, 2, 3])


def test_image_is_stretched_where_the_aspect_ratio_is_not_kept():
    pixels, extent = prepare(np.full((50, 200, 3), 9, np.uint8), Settings((64, 32), (64, 32), False, PADDING))
    assert extent == (64.0, 32.0)
    assert np.all(pixels == 9)


# The last two are so narrow that nothing would be left of them.
@pytest.mark.parametrize("size", [(64, 64), (97, 61), (30, 20), (333, 500), (1, 1), (3, 700), (900, 2)])
@pytest.mark.parametrize("keep_aspect_ratio", [True, False])
def test_as_official_vision_does(size, keep_aspect_ratio):
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    wanted, info = serving.prepare(image, Preprocessing((60, 64), (64, 96), keep_aspect_ratio, MEAN, STDDEV))
    pixels, extent = prepare(image, Settings((60, 64), (64, 96), keep_aspect_ratio, PADDING))
    np.testing.assert_allclose((pixels / 255 - MEAN) / STDDEV, wanted, atol=3e-6)
    np.testing.assert_allclose(extent, info[0] * info[2], rtol=1e-6)
