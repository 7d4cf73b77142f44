"""Ways through a convolution that give the same numbers in less time on a CPU."""

import math

import keras
from keras import layers, ops

from mrcnn.ops.winograd import convolve_by_tiles

# Measured with TensorFlow on two cores, Cascade Lake and EPYC; beyond, its own way is as fast.
SMALLEST_TILED_WORK = 2**27  # multiplications of a plain convolution, per tap of the kernel
SMALLEST_TILED_CHANNELS = 256  # with fewer, making tiles takes as long as they save
SMALLEST_PATCHED_KERNEL = 2**20  # weights
LARGEST_PATCHED_MAP = 2**10  # places


class FastConvolution(layers.Conv2D):
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
