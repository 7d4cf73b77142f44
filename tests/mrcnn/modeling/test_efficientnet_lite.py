"""EfficientNet-Lite computes what its published layers compute, from published weights."""

import keras
import numpy as np
import pytest
from keras import ops

import efficientnet_program as program
from mrcnn.config import Config, ConfigError
from mrcnn.converters.formats import read_tensors
from mrcnn.modeling.backbones import BACKBONES, standardize
from mrcnn.modeling.conv_norm import normalized_convolutions
from mrcnn.modeling.efficientnet_lite import SCALES
from mrcnn.weights.hdf5 import named_variables
from published_backbones import numpy_names, published_file
from tiny import picture

pytestmark = pytest.mark.backends
NAMES = pytest.mark.parametrize("name", SCALES)


def config_of(name, **settings):
    return type("Changed", (Config,), {"BACKBONE": name, **settings})()


def model_of(config, shape):
    """Prepared images to [C1..C5]."""
    images = keras.Input((*shape, 3))
    maps = BACKBONES[config.BACKBONE].make(config)(standardize(images, config))
    return keras.Model(images, maps)


def with_weights(model, tensors):
    variables = named_variables(model)
    assert list(variables) == list(tensors)
    for name, variable in variables.items():
        variable.assign(tensors[name])
    return model


def assert_same_features(model, expected, image, tolerance):
    """C2..C5 are the expected ones, but for a part of their spread."""
    found = [ops.convert_to_numpy(each)[0] for each in model(image[None])][1:]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape and theirs.std() > 0.1
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * theirs.std())


@NAMES
@pytest.mark.long_on_jax
def test_features_are_those_of_the_published_layers(name):
    """Of a network of a quarter of the channels, on an image of sides that do not halve evenly."""
    arrays = program.random_arrays(int(name[-1]), np.random.default_rng(0))
    image = picture(70, 96)
    model = model_of(config_of(name, BACKBONE_WIDTH=16), image.shape[:2])
    names = numpy_names(named_variables(model))
    with_weights(model, {ours: arrays[theirs] for ours, theirs in names.items()})
    assert_same_features(model, program.features(arrays, int(name[-1]), image), image, 1e-4)
    for layer in normalized_convolutions(model):
        layer.fold()
    assert_same_features(model, program.features(arrays, int(name[-1]), image), image, 1e-4)


@NAMES
@pytest.mark.long_on_jax
def test_features_of_the_published_weights(name):
    tensors, _ = read_tensors(published_file(name))
    image = picture(64, 96)
    model = with_weights(model_of(config_of(name), image.shape[:2]), tensors)
    arrays = {theirs: tensors[ours] for ours, theirs in numpy_names(tensors).items()}
    assert_same_features(model, program.features(arrays, int(name[-1]), image), image, 1e-4)


@pytest.mark.parametrize(
    ("name", "channels", "millions"),
    [
        ("efficientnet-lite0", [16, 24, 40, 112, 320], 2.96),
        ("efficientnet-lite2", [16, 24, 48, 120, 352], 4.36),
    ],
)
def test_sizes_are_the_published_ones(name, channels, millions):
    network = BACKBONES[name].make(config_of(name))
    model = keras.Model(images := keras.Input((64, 64, 3)), network(images))
    assert network.channels == channels == [each.shape[-1] for each in model.outputs]
    assert round(sum(each.size for each in _sizes(model)) / 1e6, 2) == millions


def _sizes(model):
    return [np.empty(tuple(each.shape)) for each in model.trainable_variables]


def test_a_width_narrows_every_layer():
    name = "efficientnet-lite2"
    network = BACKBONES[name].make(config_of(name, BACKBONE_WIDTH=8))
    assert network.channels == [2, 3, 6, 15, 44] and network.stem.filters == 4
    with pytest.raises(ConfigError, match=r"must be even.* but is 33"):
        BACKBONES[name].make(config_of(name, BACKBONE_WIDTH=33))


def test_pixels_are_centred_and_scaled_unless_a_mean_is_set():
    pixels = np.array([[[[0, 127, 255]]]], np.uint8)
    usual = ops.convert_to_numpy(standardize(pixels, config_of("efficientnet-lite0")))
    np.testing.assert_array_equal(usual.ravel(), [-127 / 128, 0, 1])
    own = config_of("efficientnet-lite0", MEAN_PIXEL=Config.MEAN_PIXEL.copy())
    found = ops.convert_to_numpy(standardize(pixels, own)).ravel()
    np.testing.assert_allclose(found, np.array([-123.7, 10.2, 151.1]) / 128, rtol=1e-6)
    raw = ops.convert_to_numpy(standardize(pixels, own, subtract_mean=False)).ravel()
    np.testing.assert_array_equal(raw, np.array([0, 127, 255]) / 128)
