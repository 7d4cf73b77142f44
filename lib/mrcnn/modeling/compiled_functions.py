"""Runs a `keras.Model` as one compiled function whose results stay on the device."""

import contextlib
import logging

import keras


def compiled(model):
    """A function of the model's inputs to its outputs, without copies to the host.

    Each new shape of inputs compiles once. Weights may change between calls.
    """
    makers = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    return makers[keras.backend.backend()](model)


def _tensorflow(model):
    import tensorflow as tf

    @tf.function(reduce_retracing=True, jit_compile=False)
    def run_compiled_model(inputs):
        return model(inputs, training=False)

    def call(inputs):
        with _memory_optimizer_off():
            return run_compiled_model(inputs)

    logging.getLogger("tensorflow").addFilter(_is_no_false_alarm)  # once, however often it is added
    return call


@contextlib.contextmanager
def _memory_optimizer_off():
    """Call functions of TensorFlow without the pass that moves tensors to the host.

    The network needs none, and where a number of RoIs is unknown beforehand the pass writes a page
    about `op_level_cost_estimator` past all logging. No option that is public switches it off.
    """
    import tensorflow as tf
    from tensorflow.python.eager import context as eager

    context = eager.context()
    before = context.function_call_options
    config = tf.compat.v1.ConfigProto.FromString(before.config_proto_serialized)
    rewriting = config.graph_options.rewrite_options
    rewriting.memory_optimization = rewriting.NO_MEM_OPT
    context.function_call_options = eager.FunctionCallOptions(before.executor_type, config)
    try:
        yield
    finally:
        context.function_call_options = before


def _is_no_false_alarm(record):
    """TensorFlow warns where many functions of one place compile; here, each does once a shape."""
    text = record.getMessage()
    return not ("retracing" in text and "run_compiled_model" in text)


def _jax(model):
    import jax

    @jax.jit
    def run(trainable, non_trainable, inputs):
        outputs, _ = model.stateless_call(trainable, non_trainable, inputs, training=False)
        return outputs

    def call(inputs):
        trainable = [variable.value for variable in model.trainable_variables]
        non_trainable = [variable.value for variable in model.non_trainable_variables]
        return run(trainable, non_trainable, inputs)

    return call


def _torch(model):
    import torch

    def call(inputs):
        with torch.no_grad():
            return model(keras.tree.map_structure(keras.ops.convert_to_tensor, inputs))

    return call


class CompiledFunctions:
    """Compiled functions by name, made when they are first asked for."""

    def __init__(self):
        self._settings = None
        self._functions = {}

    def get(self, name, key, make_model, settings):
        """The function of this name and key.

        Args:
            name, key: what the function does, for which shapes.
            make_model: makes its `keras.Model`.
            settings: what is built into all functions; a change makes all of them anew.
        """
        if settings != self._settings:
            self._settings, self._functions = settings, {}
        if (name, key) not in self._functions:
            self._functions[name, key] = compiled(make_model())
        return self._functions[name, key]
