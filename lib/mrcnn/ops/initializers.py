"""How kernels begin."""

import math
import random

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("mrcnn")
class RandomKernel(keras.initializers.Initializer):
    """Glorot's uniform distribution (AISTATS 2010), as Keras' own default, but drawn by NumPy.

    So a seed (`keras.utils.set_random_seed`) gives the same weights on every backend, and JAX has
    no function to compile for each shape of a kernel, which takes it longer than all the rest of
    building a model.

    Args:
        depthwise: of a depthwise convolution, whose channels are convolutions of one input and
            one output each. Counted together, as Keras does, they would begin near zero.
        scale: what the distribution's width is multiplied by.
    """

    def __init__(self, depthwise=False, scale=1.0):
        self.depthwise, self.scale = depthwise, scale

    def __call__(self, shape, dtype=None):
        """A kernel [..., inputs, outputs], or of a transposed convolution the other way round."""
        inputs = 1 if self.depthwise else shape[-2]
        fans = math.prod(shape[:-2]) * (inputs + shape[-1])
        generator = np.random.default_rng(random.getrandbits(64))
        drawn = generator.random(shape, dtype=np.float32)
        width = self.scale * math.sqrt(6 / fans)
        return ops.convert_to_tensor((2 * drawn - 1) * width, dtype=dtype)

    def get_config(self):
        return {"depthwise": self.depthwise, "scale": self.scale}
