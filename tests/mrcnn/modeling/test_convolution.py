import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.modeling import convolution
from mrcnn.modeling.convolution import FastConvolution, convolve, fastest_way

pytestmark = pytest.mark.backends
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


def arrays(height, width, channels, size, filters):
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
    inputs, kernel = arrays(4, 4, 3, 4 if way == "matrix" else 3, 5)
    expected = ops.conv(inputs, kernel, strides=1, padding=padding)
    monkeypatch.setattr(convolution, "fastest_way", lambda *_: way)
    found = convolve(inputs, kernel, 1, padding)
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), ops.convert_to_numpy(expected), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("way", ["patches", "tiles"])
def test_a_layer_predicts_by_the_fast_way_and_trains_by_the_plain_one(way, monkeypatch):
    layer = FastConvolution(5, 3, padding="same", activation="relu", bias_initializer="ones")
    plain = keras.layers.Conv2D(5, 3, padding="same", activation="relu")
    inputs, _ = arrays(4, 6, 3, 3, 5)
    layer.build(inputs.shape)
    plain.build(inputs.shape)
    plain.set_weights(layer.get_weights())
    asked = []
    monkeypatch.setattr(convolution, "fastest_way", lambda *shapes: asked.append(shapes) or way)
    for training, times in ((True, 0), (False, 1), (None, 2)):
        np.testing.assert_allclose(
            ops.convert_to_numpy(layer(inputs, training=training)),
            ops.convert_to_numpy(plain(inputs)),
            rtol=0,
            atol=1e-5,
        )
        assert len(asked) == times
