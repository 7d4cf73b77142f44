import cv2
import numpy as np
import pytest
from skimage.transform import resize as skimage_resize

from mrcnn.images.resize import resize, resize_exact, resize_uint8

SHAPES = [
    ((48, 64), (40, 53)),
    ((43, 64), (34, 51)),
    ((101, 77), (200, 153)),
    ((9, 31), (80, 11)),
    ((40, 30), (96, 72)),
    ((1, 7), (5, 5)),
    ((64, 48), (64, 48)),
]


def oracle(image, shape):
    return skimage_resize(
        image, shape, order=1, mode="constant", preserve_range=True, anti_aliasing=False
    )


def pictures(shape):
    """Noise, smooth surfaces, plain surfaces."""
    rng = np.random.default_rng(0)
    height, width = shape
    coarse = rng.integers(40, 256, (height // 8 + 1, width // 8 + 1, 3)).astype(np.uint8)
    blocks = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3)).astype(np.uint8)
    return {
        "noise": rng.integers(0, 256, (height, width, 3)).astype(np.uint8),
        "smooth": cv2.resize(coarse, (width, height)),
        "blocks": blocks.repeat(4, 0).repeat(4, 1)[:height, :width],
        "plain": np.full((height, width, 3), 200, np.uint8),
    }


@pytest.mark.parametrize("kind", ["noise", "smooth", "blocks", "plain"])
@pytest.mark.parametrize(("old", "new"), SHAPES)
def test_agrees_with_scikit_image(old, new, kind):
    image = pictures(old)[kind]
    expected = oracle(image, new)
    scaled = resize(image, new)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, expected, atol=1e-4)
    np.testing.assert_array_equal(resize_uint8(image, new), expected.astype(np.uint8))


def test_border_is_blended_with_black_by_hand():
    image = np.array([[0, 100]], np.uint8)  # its darkest value is 0
    # four pixels from two: centres at -0.25, 0.25, 0.75, 1.25
    np.testing.assert_allclose(resize(image, (1, 4)), [[0, 25, 75, 75]])


def test_border_is_never_darker_than_the_image():
    assert resize(np.full((3, 3), 7, np.uint8), (12, 12)).min() == 7


def test_exact_scaling_has_the_rounding_errors_of_scikit_image():
    rng = np.random.default_rng(1)
    for _ in range(20):
        mask = rng.random(rng.integers(1, 90, 2)) > 0.5
        expected = oracle(mask.astype(float), (56, 56))
        np.testing.assert_array_equal(resize_exact(mask, (56, 56)), expected)


def test_many_channels():
    image = np.random.default_rng(2).random((6, 5, 300))
    scaled = resize(image, (9, 4))
    assert scaled.shape == (9, 4, 300)
    np.testing.assert_allclose(scaled, oracle(image, (9, 4)), atol=1e-6)


@pytest.mark.parametrize("channels", [(), (1,), (2,)])
def test_channels_are_kept(channels):
    assert resize(np.ones((4, 4, *channels)), (3, 5)).shape == (3, 5, *channels)
