"""A convolution with its batch normalisation, as one layer."""

import math

import keras
from keras import ops

from mrcnn.convolution import convolve

# The originals' values (Keras 2 defaults); Caffe's ResNet was trained with 1e-5.
EPSILON = 1e-3
MOMENTUM = 0.99
# Kernels above this many weights are larger than the maps they make at usual image sizes: then
# it is cheaper to scale the map.
LARGEST_FOLDED_KERNEL = 2**20


@keras.saving.register_keras_serializable("mrcnn")
class NormalizedConvolution(keras.layers.Layer):
    """Convolution -> batch normalisation, with the names of the originals for both halves.

    With given statistics the normalisation is an affine map per channel, so it is folded into
    the kernel inside the graph: the same function of the same weights (gamma and beta still
    train), without two passes over every activation. A kernel that covers the whole input is
    applied as a matrix product.

    Args:
        filters, kernel_size, strides, padding: as in `keras.layers.Conv2D`.
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
        **keywords,
    ):
        super().__init__(**keywords)
        self.convolution = keras.layers.Conv2D(
            filters, kernel_size, strides=strides, padding=padding, name=convolution_name
        )
        self.norm = keras.layers.BatchNormalization(
            momentum=MOMENTUM, epsilon=EPSILON, name=norm_name
        )
        self.train_norm = train_norm

    def build(self, input_shape):
        self.convolution.build(input_shape)
        self.norm.build(self.convolution.compute_output_shape(input_shape))
        self.built = True

    def compute_output_shape(self, input_shape):
        return self.convolution.compute_output_shape(input_shape)

    def call(self, inputs, training=None):
        if self.train_norm and training:
            return self.norm(self.convolution(inputs), training=True)
        scale = self.norm.gamma * ops.rsqrt(self.norm.moving_variance + EPSILON)
        shift = self.norm.beta + (self.convolution.bias - self.norm.moving_mean) * scale
        kernel = ops.convert_to_tensor(self.convolution.kernel)
        if math.prod(kernel.shape) > LARGEST_FOLDED_KERNEL:
            return ops.add(self._convolve(inputs, kernel, training) * scale, shift)
        # Spelled as `ops.add`, TensorFlow adds within the convolution.
        return ops.add(self._convolve(inputs, kernel * scale, training), shift)

    def _convolve(self, inputs, kernel, training):
        strides, padding = self.convolution.strides, self.convolution.padding
        if training and kernel.shape[:2] != inputs.shape[1:3]:
            return ops.conv(inputs, kernel, strides=strides, padding=padding)
        return convolve(inputs, kernel, strides, padding)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.convolution.filters,
            "kernel_size": self.convolution.kernel_size,
            "convolution_name": self.convolution.name,
            "norm_name": self.norm.name,
            "strides": self.convolution.strides,
            "padding": self.convolution.padding,
            "train_norm": self.train_norm,
        }
