import keras
import numpy as np
import pytest
from keras import ops

from crops import slow_crop
from mrcnn.ops.crop_and_resize import crop_and_resize, crop_by_gather
from on_backend import compile_function, gradient

pytestmark = pytest.mark.backends
only_on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="compares with TensorFlow's kernel"
)
IMPLEMENTATIONS = [crop_and_resize, crop_by_gather]


def random_boxes(rng, count):
    """Inside of the image, at its border, across it, outside, flipped, without area."""
    corners = rng.uniform(-0.5, 1.5, (count, 4))
    corners[: count // 2] = rng.uniform(0, 1, (count // 2, 4))
    corners[::3] = np.clip(corners[::3], 0, 1)
    corners[::7, 2:] = corners[::7, :2]
    return corners.astype(np.float32)


def random_maps(rng, shape):
    return rng.normal(size=shape).astype(np.float32)


def crop_with(implementation, maps, boxes, indices, size):
    def function(maps, boxes, indices):
        return implementation(maps, boxes, indices, size)

    arguments = (ops.array(maps), ops.array(boxes), ops.array(indices, "int32"))
    return ops.convert_to_numpy(compile_function(function)(*arguments))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_crops_by_hand(implementation):
    picture = np.array([[0, 2], [4, 6]], np.float32)
    maps = np.stack([np.zeros_like(picture), picture])[..., None]
    boxes = [[0, 0, 1, 1], [1, 0, 0, 1], [0, 0.5, 0.5, 1], [0, 0, 2, 1]]
    crops = crop_with(implementation, maps, np.array(boxes, np.float32), [1] * 4, (3, 3))
    whole = [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    flipped = whole[::-1]
    quarter = [[1, 1.5, 2], [2, 2.5, 3], [3, 3.5, 4]]
    half_outside = [[0, 1, 2], [4, 5, 6], [0, 0, 0]]
    np.testing.assert_allclose(crops[..., 0], [whole, flipped, quarter, half_outside])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_single_sample_lies_in_the_centre(implementation):
    maps = np.arange(15, dtype=np.float32).reshape(1, 3, 5, 1)
    boxes = np.array([[0, 0, 1, 1], [0, 0, 0.5, 0.5], [0.5, 0.5, 3, 0.5]], np.float32)
    crops = crop_with(implementation, maps, boxes, [0, 0, 0], (1, 1))
    np.testing.assert_allclose(crops.ravel(), [7, 3.5, 0])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("size", [(7, 7), (1, 1), (2, 5), (28, 28)])
def test_crops_against_a_loop(implementation, size):
    rng = np.random.default_rng(0)
    maps, boxes = random_maps(rng, (3, 12, 9, 2)), random_boxes(rng, 42)
    indices = rng.integers(0, 3, 42)
    crops = crop_with(implementation, maps, boxes, indices, size)
    expected = [
        slow_crop(maps[index], box, size) for index, box in zip(indices, boxes, strict=True)
    ]
    np.testing.assert_allclose(crops, expected, atol=1e-5)


def test_rounding_at_the_border_is_that_of_the_kernel():
    """Whether the last sample of a box that ends at the border counts depends on rounding."""
    rng = np.random.default_rng(0)
    maps, count = np.ones((1, 14, 31, 1), np.float32), 400
    boxes = np.ones((count, 4), np.float32)
    boxes[:, :2] = rng.uniform(0, 0.9, (count, 2))
    crops = crop_with(crop_by_gather, maps, boxes, np.zeros(count), (7, 7))
    expected = np.array([slow_crop(maps[0], box, (7, 7)) for box in boxes])
    outside = expected[:, -1, -1, 0] == 0
    assert 20 < np.count_nonzero(outside) < count - 20  # both kinds are there
    np.testing.assert_array_equal(crops[:, -1, -1, 0] == 0, outside)


@only_on_tensorflow
def test_gather_equals_the_kernel():
    rng = np.random.default_rng(1)
    maps, boxes = random_maps(rng, (2, 20, 33, 3)), random_boxes(rng, 1000)
    arguments = (maps, boxes, rng.integers(0, 2, 1000), (7, 7))
    expected = crop_with(crop_and_resize, *arguments)
    np.testing.assert_allclose(crop_with(crop_by_gather, *arguments), expected, atol=1e-5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradient_is_the_transpose_of_the_crop(implementation):
    """Cropping is linear: <crop(x), y> = <x, gradient(y)>, here element by element of x."""
    rng = np.random.default_rng(2)
    shape, boxes = (2, 6, 5, 1), random_boxes(rng, 40)
    indices = rng.integers(0, 2, 40)
    weights = rng.normal(size=(40, 3, 4, 1)).astype(np.float32)
    expected = np.zeros(shape, np.float32)
    for place in np.ndindex(shape):
        single = np.zeros(shape, np.float32)
        single[place] = 1
        crops = [slow_crop(single[m], box, (3, 4)) for m, box in zip(indices, boxes, strict=True)]
        expected[place] = (np.array(crops) * weights).sum()
    maps, numbers = random_maps(rng, shape), ops.array(indices, "int32")

    def weighted(maps):
        crops = implementation(maps, ops.array(boxes), numbers, (3, 4))
        return ops.multiply(crops, weights)

    found = gradient(weighted, maps)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_gradient_loses_no_addition():
    """Of many boxes at one place, whatever the number of threads."""
    count, channels = 512, 64
    boxes = np.tile(np.array([[0, 0, 1, 1]], np.float32), (count, 1))
    maps, indices = np.zeros((1, 7, 7, channels), np.float32), ops.zeros(count, "int32")
    for _ in range(10):
        found = gradient(lambda maps: crop_and_resize(maps, boxes, indices, (7, 7)), maps)
        np.testing.assert_array_equal(found, np.full_like(maps, count))
