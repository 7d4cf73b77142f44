"""Kernels begin as Keras would draw them, from a seed, on every backend alike."""

import random

import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.modeling.conv_norm import normalized_convolutions
from mrcnn.modeling.mask_rcnn import MaskRCNNNetwork
from mrcnn.ops.initializers import RandomKernel
from tiny import TinyConfig

pytestmark = pytest.mark.backends


def drawn(shape, seed=7):
    keras.utils.set_random_seed(seed)
    return ops.convert_to_numpy(RandomKernel()(shape, dtype="float32"))


@pytest.mark.parametrize("shape", [(40, 60), (3, 3, 16, 24), (2, 2, 24, 16)])
def test_the_distribution_is_that_of_keras(shape):
    ours = drawn(shape).ravel()
    theirs = ops.convert_to_numpy(keras.initializers.GlorotUniform(seed=3)(shape)).ravel()
    assert abs(np.abs(ours).max() / np.abs(theirs).max() - 1) < 0.01
    assert abs(ours.std() / theirs.std() - 1) < 0.05
    assert abs(ours.mean()) < 3 * ours.std() / np.sqrt(ours.size)


def test_a_depthwise_kernel_counts_each_channel_by_itself():
    keras.utils.set_random_seed(7)
    kernel = ops.convert_to_numpy(RandomKernel(depthwise=True)((3, 3, 400, 1)))
    assert abs(kernel.std() * 3 - 1) < 0.05  # 9 inputs and 9 outputs: a variance of 2 / 18


def test_a_scale_makes_it_narrower():
    keras.utils.set_random_seed(7)
    narrow = ops.convert_to_numpy(RandomKernel(scale=0.25)((5, 7)))
    np.testing.assert_allclose(narrow, drawn((5, 7)) / 4, rtol=1e-6)


def test_a_seed_repeats_it_and_calls_differ():
    np.testing.assert_array_equal(drawn((5, 7)), drawn((5, 7)))
    initializer = RandomKernel()
    first, second = (ops.convert_to_numpy(initializer((5, 7))) for _ in range(2))
    assert not np.array_equal(first, second)


def test_what_numpy_draws_is_known():
    """So it is the same on every backend."""
    kernel = drawn((2, 4), seed=11)
    random.seed(11)
    expected = np.random.default_rng(random.getrandbits(64)).random((2, 4), dtype=np.float32)
    np.testing.assert_allclose(kernel, 2 * expected - 1, rtol=1e-6)  # sqrt(6 / (2 + 4)) is 1


def test_every_kernel_of_the_network_begins_so():
    model = MaskRCNNNetwork(TinyConfig()).detection_model((128, 128))
    layers = [layer for layer in model.layers if hasattr(layer, "kernel_initializer")]
    layers += [layer.convolution for layer in normalized_convolutions(model)]
    assert len(layers) > 60
    assert {type(layer.kernel_initializer) for layer in layers} == {RandomKernel}
