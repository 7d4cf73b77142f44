"""A convolution with its batch normalisation, as one layer."""

import contextlib
import math

import keras
from keras import ops

from mrcnn.modeling.convolution import convolve
from mrcnn.ops.initializers import RandomKernel

# The originals' values (Keras 2 defaults); Caffe's ResNet was trained with 1e-5.
EPSILON = 1e-3
# With fewer channels, TensorFlow's gradient of a 1x1 convolution with strides writes beyond its
# memory on CPUs (through oneDNN), and the process dies: so such kernels get the chosen places
# only, on every backend alike.
SAFE_CHANNELS = 16
MOMENTUM = 0.99
# Kernels above this many weights are larger than the maps they make at usual image sizes: then
# it is cheaper to scale the map.
LARGEST_FOLDED_KERNEL = 2**20


@keras.saving.register_keras_serializable("mrcnn")
class NormalizedConvolution(keras.layers.Layer):
    """Convolution -> batch normalisation, with the names of the originals for both halves.

    With given statistics the normalisation is an affine map per channel, so it is folded into
    the kernel inside the graph: the same function of the same weights (gamma and beta still
    train), without two passes over every activation. `fold` does it once instead of each time.
    A kernel that covers the whole input is applied as a matrix product.

    Args:
        filters: channels of the output; None for a depthwise convolution, which filters each
            channel by itself, with a kernel [rows, columns, channels, 1].
        kernel_size, strides, padding, use_bias: as in `keras.layers.Conv2D`.
        convolution_name: name of the convolution, first part of its weights' names.
        norm_name: name of the batch normalisation.
        train_norm: True updates the statistics while training; False freezes them.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        convolution_name,
        norm_name,
        strides=1,
        padding="valid",
        train_norm=False,
        use_bias=True,
        **keywords,
    ):
        super().__init__(**keywords)
        self.filters = filters
        shared = {
            "strides": strides,
            "padding": padding,
            "use_bias": use_bias,
            "name": convolution_name,
        }
        if filters is None:
            self.convolution = keras.layers.DepthwiseConv2D(
                kernel_size, depthwise_initializer=RandomKernel(depthwise=True), **shared
            )
        else:
            self.convolution = keras.layers.Conv2D(
                filters, kernel_size, kernel_initializer=RandomKernel(), **shared
            )
        self.norm = keras.layers.BatchNormalization(
            momentum=MOMENTUM, epsilon=EPSILON, name=norm_name
        )
        self.train_norm = train_norm
        self.folded = False  # whether kernel and bias hold the normalisation, see `fold`

    def build(self, input_shape):
        self.convolution.build(input_shape)
        self.norm.build(self.convolution.compute_output_shape(input_shape))
        self.built = True

    def compute_output_shape(self, input_shape):
        return self.convolution.compute_output_shape(input_shape)

    def call(self, inputs, training=None):
        if self.train_norm and training:
            return self.norm(self.convolution(inputs), training=True)
        kernel = ops.convert_to_tensor(self.convolution.kernel)
        if self.folded and not training:
            return ops.add(self._convolve(inputs, kernel, training), self._folded_shift)
        scale, shift = self._affine_map()
        if math.prod(kernel.shape) > LARGEST_FOLDED_KERNEL:
            return ops.add(self._convolve(inputs, kernel, training) * scale, shift)
        # Spelled as `ops.add`, TensorFlow adds within the convolution.
        return ops.add(self._convolve(inputs, self._scaled(kernel, scale), training), shift)

    def fold(self):
        """Put the normalisation into kernel and bias for good; the layer computes the same.

        The normalisation then changes nothing, or adds what a bias would where there is none, and
        weights that are saved later are as good as before. Detecting leaves it out until `folded`
        is False again, which new weights need.
        """
        scale, shift = self._affine_map()
        self.convolution.kernel.assign(self._scaled(self.convolution.kernel, scale))
        for weight, value in (
            (self.norm.gamma, 1),
            (self.norm.beta, 0),
            (self.norm.moving_mean, 0),
            (self.norm.moving_variance, 1 - EPSILON),
        ):
            weight.assign(ops.full(weight.shape, value, weight.dtype))
        self._folded_shift.assign(shift)
        self.folded = True

    @property
    def _folded_shift(self):
        """The weight that holds the whole shift of a folded layer."""
        return self.convolution.bias if self.convolution.use_bias else self.norm.beta

    def _scaled(self, kernel, scale):
        """A kernel with its outputs scaled, a number each."""
        return kernel * (scale[:, None] if self.filters is None else scale)

    def _affine_map(self):
        """(scale, shift) of a channel, by given statistics."""
        scale = self.norm.gamma * ops.rsqrt(self.norm.moving_variance + EPSILON)
        bias = self.convolution.bias if self.convolution.use_bias else 0.0
        return scale, self.norm.beta + (bias - self.norm.moving_mean) * scale

    def _convolve(self, inputs, kernel, training):
        strides, padding = self.convolution.strides, self.convolution.padding
        if self.filters is None:
            return ops.depthwise_conv(inputs, kernel, strides=strides, padding=padding)
        if kernel.shape[:2] == (1, 1) and kernel.shape[2] < SAFE_CHANNELS:
            inputs, strides = inputs[:, :: strides[0], :: strides[1]], 1
        if training and kernel.shape[:2] != inputs.shape[1:3]:
            return ops.conv(inputs, kernel, strides=strides, padding=padding)
        return convolve(inputs, kernel, strides, padding)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.convolution.kernel_size,
            "convolution_name": self.convolution.name,
            "norm_name": self.norm.name,
            "strides": self.convolution.strides,
            "padding": self.convolution.padding,
            "use_bias": self.convolution.use_bias,
            "train_norm": self.train_norm,
        }


def normalized_convolutions(model):
    """The layers of a Keras model that are `NormalizedConvolution`s."""
    return [layer for layer in model.layers if isinstance(layer, NormalizedConvolution)]


def is_folded(model):
    """Whether some layer of a Keras model is folded."""
    return any(layer.folded for layer in normalized_convolutions(model))


def no_longer_folded(model):
    """New weights are in a Keras model: its layers normalise again."""
    for layer in normalized_convolutions(model):
        layer.folded = False


@contextlib.contextmanager
def batch_statistics(layers, momentum=MOMENTUM):
    """Let `NormalizedConvolution`s normalise by the batch and keep its statistics, for a while."""
    before = [(layer.train_norm, layer.norm.momentum) for layer in layers]
    for layer in layers:
        layer.train_norm, layer.norm.momentum = True, momentum
    try:
        yield
    finally:
        for layer, (train_norm, layer_momentum) in zip(layers, before, strict=True):
            layer.train_norm, layer.norm.momentum = train_norm, layer_momentum
