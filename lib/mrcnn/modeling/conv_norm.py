"""Convolutions, alone or with their batch normalisation as one layer, fast when they predict."""

import contextlib
import math

import keras
from keras import ops

from mrcnn.ops.initializers import RandomKernel
from mrcnn.ops.winograd import convolve_by_tiles

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
# Measured with TensorFlow on two cores, Cascade Lake and EPYC; beyond, its own way is as fast.
SMALLEST_TILED_WORK = 2**27  # multiplications of a plain convolution, per tap of the kernel
SMALLEST_TILED_CHANNELS = 256  # with fewer, making tiles takes as long as they save
SMALLEST_PATCHED_KERNEL = 2**20  # weights
LARGEST_PATCHED_MAP = 2**10  # places


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


# --- ways through a convolution that give the same numbers in less time on a CPU ----------------


class FastConvolution(keras.layers.Conv2D):
    """`Conv2D` by the fastest way when it only predicts."""

    def call(self, inputs, training=None):
        if training:
            return super().call(inputs)
        kernel = ops.convert_to_tensor(self.kernel)
        outputs = convolve(inputs, kernel, self.strides, self.padding)
        return self.activation(ops.add(outputs, self.bias))


def convolve(inputs, kernel, strides, padding):
    """`keras.ops.conv` by the fastest way.

    Args:
        inputs: [batch, height, width, channels].
        kernel: [rows, columns, channels, filters].
        strides, padding: as in `keras.layers.Conv2D`.
    """
    way = fastest_way(tuple(inputs.shape), tuple(kernel.shape), strides, padding)
    if way == "matrix":
        return _convolve_whole(inputs, kernel)
    if way == "patches":
        return convolve_by_patches(inputs, kernel)
    if way == "tiles":
        return convolve_by_tiles(inputs, kernel)
    return ops.conv(inputs, kernel, strides=strides, padding=padding)


def fastest_way(input_shape, kernel_shape, strides, padding):
    """ "matrix", "patches", "tiles" or "plain" for these shapes on this backend."""
    batch, height, width, channels = input_shape
    if kernel_shape[:2] == (height, width) and padding == "valid":
        return "matrix"
    same_size = padding == "same" and strides in (1, (1, 1))
    if not same_size or kernel_shape[:2] != (3, 3) or not _is_tensorflow_without_gpu():
        return "plain"
    if math.prod(kernel_shape) >= SMALLEST_PATCHED_KERNEL and height * width < LARGEST_PATCHED_MAP:
        return "patches"
    even = height % 2 == 0 and width % 2 == 0
    enough_channels = min(kernel_shape[2:]) >= SMALLEST_TILED_CHANNELS
    work = (batch or 1) * height * width * channels * kernel_shape[3]
    if even and enough_channels and work >= SMALLEST_TILED_WORK:
        return "tiles"
    return "plain"


def _is_tensorflow_without_gpu():
    """Libraries for GPUs, and XLA, choose such ways by themselves."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")


def _convolve_whole(inputs, kernel):
    """A kernel that covers the whole input, as one matrix product."""
    size, filters = math.prod(kernel.shape[:3]), kernel.shape[3]
    outputs = ops.matmul(ops.reshape(inputs, (-1, size)), ops.reshape(kernel, (size, filters)))
    return ops.reshape(outputs, (-1, 1, 1, filters))


def convolve_by_patches(inputs, kernel):
    """3x3 convolution with stride 1 and padding "same", as a matrix product over copied patches.

    Args:
        inputs: [batch, height, width, channels].
        kernel: [3, 3, channels, filters].

    Returns:
        [batch, height, width, filters]
    """
    height, width, channels = inputs.shape[1:]
    filters = kernel.shape[3]
    padded = ops.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    patches = ops.reshape(ops.concatenate(shifted, axis=-1), (-1, 9 * channels))
    outputs = ops.matmul(patches, ops.reshape(kernel, (9 * channels, filters)))
    return ops.reshape(outputs, (-1, height, width, filters))
