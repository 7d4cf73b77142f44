"""What each backend spells in its own way or lacks: compiling, differentiating, many devices."""

import keras
import numpy as np
import pytest
from keras import ops

not_on_torch = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="PyTorch trains on one device, in one piece"
)


def compile_function(function):
    """The function as a compiled program, as it runs inside of a model."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    if backend == "jax":
        import jax

        return jax.jit(function)
    return function


def gradient(function, array):
    """Gradient of the sum of a function's output with respect to its argument, as an array."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _tensorflow_gradient(function, array)
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(lambda x: ops.sum(function(x)))(ops.array(array)))
    return _torch_gradient(function, array)


def _tensorflow_gradient(function, array):
    import tensorflow as tf

    x = tf.convert_to_tensor(array)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(function(x))
    found = tape.gradient(total, x)
    return np.zeros_like(array) if found is None else tf.convert_to_tensor(found).numpy()


def _torch_gradient(function, array):
    x = ops.convert_to_tensor(array).clone().requires_grad_(True)
    total = ops.sum(function(x))
    if not total.requires_grad:
        return np.zeros_like(array)
    total.backward()
    return np.zeros_like(array) if x.grad is None else ops.convert_to_numpy(x.grad)
