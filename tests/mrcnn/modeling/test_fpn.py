import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.modeling.fpn import FeaturePyramid
from mrcnn.weights.hdf5 import named_variables

pytestmark = pytest.mark.backends
CHANNELS = 3


def pyramid_model(activation=None):
    """C2..C5 of an image of 64 x 128 pixels to P2..P6; every weight is zero."""
    maps = [keras.Input((64 // stride, 128 // stride, 5)) for stride in (4, 8, 16, 32)]
    model = keras.Model(maps, FeaturePyramid(CHANNELS, activation)(maps))
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape))
    return model


def run(model, seed=0):
    rng = np.random.default_rng(seed)
    maps = [rng.normal(size=(1, *each.shape[1:])).astype(np.float32) for each in model.inputs]
    return maps, [ops.convert_to_numpy(level) for level in model(maps)]


def pass_on(weights):
    """Output convolutions that return their input."""
    for level in range(2, 6):
        kernel = np.zeros((3, 3, CHANNELS, CHANNELS))
        kernel[1, 1] = np.eye(CHANNELS)
        weights[f"fpn_p{level}/kernel"].assign(kernel)


def test_shapes_halve_from_level_to_level():
    shapes = [each.shape for each in pyramid_model().outputs]
    assert shapes == [(None, 64 // s, 128 // s, CHANNELS) for s in (4, 8, 16, 32, 64)]


def test_coarser_levels_are_added_to_finer_ones():
    model = pyramid_model()
    weights = named_variables(model)
    pass_on(weights)
    for level, value in zip(range(2, 6), (2000, 300, 40, 5), strict=True):
        weights[f"fpn_c{level}p{level}/bias"].assign([value] * CHANNELS)
    _, pyramid = run(model)
    assert [np.unique(level).tolist() for level in pyramid] == [[2345], [345], [45], [5], [5]]


def test_cells_are_doubled_on_the_way_down():
    model = pyramid_model()
    weights = named_variables(model)
    pass_on(weights)
    weights["fpn_c5p5/kernel"].assign(np.eye(5, CHANNELS).reshape(1, 1, 5, CHANNELS))
    maps, pyramid = run(model)
    coarsest = maps[3][..., :CHANNELS]
    for level, times in zip(pyramid, (8, 4, 2, 1), strict=False):
        np.testing.assert_allclose(level, coarsest.repeat(times, axis=1).repeat(times, axis=2))


def test_the_coarsest_level_is_every_second_cell():
    model = pyramid_model()
    weights = named_variables(model)
    pass_on(weights)
    weights["fpn_c5p5/kernel"].assign(np.eye(5, CHANNELS).reshape(1, 1, 5, CHANNELS))
    _, pyramid = run(model)
    assert np.abs(pyramid[3]).max() > 1
    np.testing.assert_array_equal(pyramid[4], pyramid[3][:, ::2, ::2])


def test_relu_follows_every_convolution():
    model = pyramid_model("relu")
    weights = named_variables(model)
    pass_on(weights)
    for level, value in zip(range(2, 6), (-7, 1, -7, 2), strict=True):
        weights[f"fpn_c{level}p{level}/bias"].assign([value] * CHANNELS)
    weights["fpn_p2/bias"].assign([-4, -3, -2])
    _, pyramid = run(model)
    values = [level[0, 0, 0].tolist() for level in pyramid]
    assert values == [[0, 0, 1], [3] * 3, [2] * 3, [2] * 3, [2] * 3]


def test_without_activation_negative_values_pass():
    model = pyramid_model()
    named_variables(model)["fpn_p3/bias"].assign([-4] * CHANNELS)
    _, pyramid = run(model)
    assert np.unique(pyramid[1]).tolist() == [-4]
