import numpy as np
import pytest
from keras import ops

from mrcnn.ops.winograd import convolve_by_tiles
from on_backend import compile_function

pytestmark = pytest.mark.backends


def slow_convolution(inputs, kernel):
    """Every output as the sum over the nine places around it, in double precision."""
    batch, height, width, _ = inputs.shape
    padded = np.pad(inputs.astype(float), ((0, 0), (1, 1), (1, 1), (0, 0)))
    outputs = np.zeros((batch, height, width, kernel.shape[3]))
    for y, x in np.ndindex(height, width):
        outputs[:, y, x] = np.tensordot(padded[:, y : y + 3, x : x + 3], kernel, 3)
    return outputs


@pytest.mark.parametrize("shape", [(1, 2, 2, 1), (1, 6, 4, 3), (3, 4, 10, 5)])
def test_tiles_give_the_convolution(shape):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=shape).astype(np.float32)
    kernel = rng.normal(size=(3, 3, shape[3], 7)).astype(np.float32)
    found = compile_function(convolve_by_tiles)(ops.array(inputs), ops.array(kernel))
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), slow_convolution(inputs, kernel), rtol=0, atol=1e-5
    )


def test_rounding_is_that_of_float32():
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(1, 8, 8, 256)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 256, 16)).astype(np.float32)
    tiles = ops.convert_to_numpy(convolve_by_tiles(ops.array(inputs), ops.array(kernel)))
    added_up = slow_convolution(np.abs(inputs), np.abs(kernel))
    # A plain convolution is off by 4e-8 of what is added up, tiles by 8e-8, in bfloat16 by 1e-4.
    assert np.all(np.abs(tiles - slow_convolution(inputs, kernel)) < 1e-6 * added_up)
