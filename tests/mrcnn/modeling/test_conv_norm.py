import functools

import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.modeling import conv_norm
from mrcnn.modeling.conv_norm import (
    FastConvolution,
    NormalizedConvolution,
    convolve,
    fastest_way,
)
from mrcnn.modeling.mask_rcnn import MaskRCNNNetwork
from mrcnn.weights.hdf5 import named_variables, weight_array
from tiny import TinyConfig, few_weights, fill, picture

pytestmark = pytest.mark.backends
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
# (input shape, filters, kernel size, strides, padding)
CASES = {
    "convolution": ((6, 7, 3), 4, 3, 2, "same"),
    "whole input": ((5, 5, 3), 4, 5, 1, "valid"),
    "single cell": ((1, 1, 6), 4, 1, 1, "same"),
    "every other place": ((6, 7, 20), 16, 1, 2, "valid"),
    "no bias": ((6, 7, 3), 4, 3, 2, "same", False),
    "depthwise": ((6, 7, 3), None, 3, 1, "same"),
    "depthwise, no bias": ((6, 7, 5), None, 5, 2, "same", False),
}
WHICH_SIDE = {"kernel": 2**20, "map": 0}  # LARGEST_FOLDED_KERNEL that decides what is scaled


class Apart(keras.layers.Layer):
    """The two layers that `NormalizedConvolution` joins, one after the other."""

    def __init__(self, filters, size, strides, padding, use_bias=True):
        super().__init__()
        make = functools.partial(keras.layers.Conv2D, filters)
        make = keras.layers.DepthwiseConv2D if filters is None else make
        self.convolution = make(
            size, strides=strides, padding=padding, use_bias=use_bias, name="conv"
        )
        self.norm = keras.layers.BatchNormalization(epsilon=1e-3, name="bn")

    def call(self, inputs):
        return self.norm(self.convolution(inputs), training=False)


def random_array(seed, shape):
    return np.random.default_rng(seed).normal(0.3, 1, shape).astype(np.float32)


def model_of(layer, shape):
    """A model of one layer, with weights that depend on their names alone."""
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs))
    for name, variable in named_variables(model).items():
        value = random_array(len(name), variable.shape)
        variable.assign(np.abs(value) + 0.5 if name.endswith("variance") else value)
    return model


def joined(filters, size, strides=1, padding="valid", use_bias=True, train_norm=False):
    return NormalizedConvolution(
        filters,
        size,
        "conv",
        "bn",
        strides=strides,
        padding=padding,
        train_norm=train_norm,
        use_bias=use_bias,
    )


def arrays(model):
    return {name: weight_array(each) for name, each in named_variables(model).items()}


def outputs_of(model, inputs):
    return ops.convert_to_numpy(model(inputs))


def take_step(model, inputs, targets):
    """Every weight after one step of plain gradient descent, and the weights before."""
    before = arrays(model)
    model.compile(keras.optimizers.SGD(1.0), "mse", run_eagerly=True)
    model.train_on_batch(inputs, targets)
    return before, arrays(model)


@pytest.fixture(params=WHICH_SIDE)
def side(request, monkeypatch):
    monkeypatch.setattr(conv_norm, "LARGEST_FOLDED_KERNEL", WHICH_SIDE[request.param])
    # The layers apart need channels enough not to die.
    monkeypatch.setattr(conv_norm, "SAFE_CHANNELS", 32)


@pytest.mark.parametrize("case", CASES)
def test_output_and_gradients_are_those_of_the_layers_apart(case, side):
    shape, *arguments = CASES[case]
    one, two = model_of(joined(*arguments), shape), model_of(Apart(*arguments), shape)
    inputs = random_array(0, (3, *shape))
    outputs = outputs_of(two, inputs)
    np.testing.assert_allclose(outputs_of(one, inputs), outputs, atol=1e-5)
    targets = random_array(1, outputs.shape)
    (before, found), (_, expected) = (take_step(each, inputs, targets) for each in (one, two))
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=2e-5, rtol=1e-4, err_msg=name)
    for kind in set(found) - {"bn/moving_mean", "bn/moving_variance"}:
        assert np.abs(found[kind] - before[kind]).max() > 1e-3


@pytest.mark.long_on_jax
def test_a_network_answers_as_with_the_layers_apart(monkeypatch):
    with few_weights():
        network = MaskRCNNNetwork(TinyConfig())
        model = fill(network.detection_model((128, 128)))
    inputs = {"images": picture(128, 128)[None], "windows": np.array([[0, 0, 1, 1]], np.float32)}
    folded = model(inputs)
    monkeypatch.setattr(
        NormalizedConvolution, "call", lambda layer, x: layer.norm(layer.convolution(x))
    )
    apart = model(inputs)
    for name in ("rpn_class_logits", "rpn_class", "rpn_bbox"):  # before anything is sorted
        found, expected = (ops.convert_to_numpy(each[name]) for each in (folded, apart))
        assert expected.std() > 1e-3
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_a_folded_layer_computes_the_same(case, side):
    shape, *arguments = CASES[case]
    model, inputs = model_of(joined(*arguments), shape), random_array(0, (3, *shape))
    (layer,), expected = conv_norm.normalized_convolutions(model), outputs_of(model, inputs)
    kernel = arrays(model)["conv/kernel"]
    layer.fold()
    assert np.abs(arrays(model)["conv/kernel"] - kernel).max() > 0.1
    np.testing.assert_allclose(outputs_of(model, inputs), expected, atol=1e-5)
    layer.norm.gamma.assign(ops.zeros(layer.norm.gamma.shape))  # plays no part any more
    np.testing.assert_allclose(outputs_of(model, inputs), expected, atol=1e-5)


@pytest.mark.parametrize("use_bias", [True, False])
def test_what_folding_leaves_in_the_weights_is_the_same_function(use_bias):
    folded, fresh = (model_of(joined(4, 3, use_bias=use_bias), (6, 6, 3)) for _ in range(2))
    inputs = random_array(0, (2, 6, 6, 3))
    expected = outputs_of(fresh, inputs)
    conv_norm.normalized_convolutions(folded)[0].fold()
    fresh.set_weights(folded.get_weights())
    np.testing.assert_allclose(outputs_of(fresh, inputs), expected, atol=1e-5)


def test_frozen_statistics_stay_while_training():
    model = model_of(joined(4, 3), (6, 6, 3))
    inputs = random_array(0, (2, 6, 6, 3))
    training = ops.convert_to_numpy(model(inputs, training=True))
    np.testing.assert_array_equal(training, outputs_of(model, inputs))
    before, after = take_step(model, inputs, np.zeros_like(training))
    for kind in ("moving_mean", "moving_variance"):
        np.testing.assert_array_equal(after[f"bn/{kind}"], before[f"bn/{kind}"])


def test_trained_statistics_follow_the_batch():
    model = model_of(joined(4, 1, train_norm=True), (5, 5, 3))
    before, inputs = arrays(model), random_array(0, (8, 5, 5, 3))
    outputs = ops.convert_to_numpy(model(inputs, training=True))
    after = arrays(model)
    maps = inputs @ before["conv/kernel"][0, 0] + before["conv/bias"]
    mean, variance = maps.mean(axis=(0, 1, 2)), maps.var(axis=(0, 1, 2))
    expected = (maps - mean) / np.sqrt(variance + 1e-3) * before["bn/gamma"] + before["bn/beta"]
    np.testing.assert_allclose(outputs, expected, atol=1e-4)
    for kind, measured in (("moving_mean", mean), ("moving_variance", variance)):
        running = 0.99 * before[f"bn/{kind}"] + 0.01 * measured
        np.testing.assert_allclose(after[f"bn/{kind}"], running, rtol=1e-4)


def test_trained_statistics_serve_when_not_training():
    one = model_of(joined(4, 3, train_norm=True), (6, 6, 3))
    two = model_of(joined(4, 3, train_norm=False), (6, 6, 3))
    inputs = random_array(0, (2, 6, 6, 3))
    np.testing.assert_allclose(
        ops.convert_to_numpy(one(inputs, training=False)),
        ops.convert_to_numpy(two(inputs)),
        atol=1e-5,
    )


def test_weights_have_the_names_of_both_layers():
    model = model_of(joined(4, 3), (6, 6, 3))
    assert list(arrays(model)) == [
        "conv/kernel",
        "conv/bias",
        "bn/gamma",
        "bn/beta",
        "bn/moving_mean",
        "bn/moving_variance",
    ]
    assert len(model.trainable_variables) == 4


def test_a_depthwise_layer_keeps_its_channels_and_configuration():
    layer = NormalizedConvolution(None, 5, "conv", "bn", strides=2, padding="same", use_bias=False)
    again = NormalizedConvolution.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again(keras.Input((7, 9, 3))).shape == (None, 4, 5, 3)
    assert [weight.shape for weight in again.convolution.weights] == [(5, 5, 3, 1)]


def test_configuration_and_symbolic_shape():
    layer = NormalizedConvolution(
        4, 3, "conv", "bn", strides=2, padding="same", train_norm=True, name="both"
    )
    again = NormalizedConvolution.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.train_norm and again.convolution.strides == (2, 2) and again.name == "both"
    assert again(keras.Input((7, 7, 3))).shape == (None, 4, 4, 4)


# --- ways through a convolution --------------------------------------------------------------


def inputs_and_kernel(height, width, channels, size, filters):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(2, height, width, channels)).astype(np.float32)
    kernel = rng.normal(size=(size, size, channels, filters)).astype(np.float32)
    return ops.array(inputs), ops.array(kernel)


@pytest.mark.parametrize(
    ("input_shape", "kernel_shape", "strides", "padding", "way"),
    [
        ((None, 7, 7, 384), (7, 7, 384, 512), 1, "valid", "matrix"),
        ((None, 128, 128, 384), (3, 3, 384, 512), 1, "same", "tiles"),
        ((None, 128, 128, 384), (3, 3, 384, 512), 2, "same", "plain"),
        ((None, 127, 128, 384), (3, 3, 384, 512), 1, "same", "plain"),
        ((None, 256, 256, 64), (3, 3, 64, 64), 1, "same", "plain"),
        ((None, 14, 14, 256), (3, 3, 256, 256), 1, "same", "plain"),
        ((30, 14, 14, 256), (3, 3, 256, 256), 1, "same", "tiles"),
        ((None, 16, 16, 512), (3, 3, 512, 512), (1, 1), "same", "patches"),
        ((None, 16, 16, 64), (3, 3, 64, 64), 1, "same", "plain"),
        ((None, 128, 128, 512), (1, 1, 512, 384), 1, "same", "plain"),
    ],
)
def test_which_way_is_taken(input_shape, kernel_shape, strides, padding, way):
    if way != "matrix" and not ON_TENSORFLOW:
        way = "plain"
    assert fastest_way(input_shape, kernel_shape, strides, padding) == way


@pytest.mark.parametrize("way", ["matrix", "patches", "tiles"])
def test_every_way_gives_the_plain_convolution(way, monkeypatch):
    padding = "valid" if way == "matrix" else "same"
    inputs, kernel = inputs_and_kernel(4, 4, 3, 4 if way == "matrix" else 3, 5)
    expected = ops.conv(inputs, kernel, strides=1, padding=padding)
    monkeypatch.setattr(conv_norm, "fastest_way", lambda *_: way)
    found = convolve(inputs, kernel, 1, padding)
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), ops.convert_to_numpy(expected), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("way", ["patches", "tiles"])
def test_a_layer_predicts_by_the_fast_way_and_trains_by_the_plain_one(way, monkeypatch):
    layer = FastConvolution(5, 3, padding="same", activation="relu", bias_initializer="ones")
    plain = keras.layers.Conv2D(5, 3, padding="same", activation="relu")
    inputs, _ = inputs_and_kernel(4, 6, 3, 3, 5)
    layer.build(inputs.shape)
    plain.build(inputs.shape)
    plain.set_weights(layer.get_weights())
    asked = []
    monkeypatch.setattr(conv_norm, "fastest_way", lambda *shapes: asked.append(shapes) or way)
    for training, times in ((True, 0), (False, 1), (None, 2)):
        np.testing.assert_allclose(
            ops.convert_to_numpy(layer(inputs, training=training)),
            ops.convert_to_numpy(plain(inputs)),
            rtol=0,
            atol=1e-5,
        )
        assert len(asked) == times
