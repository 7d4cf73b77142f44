"""Networks of few weights, and how to compare what they give."""

import numpy as np
from keras import ops

from mrcnn.weights import named_variables, weight_array
from tiny import few_weights, fill

SIDE = 128
SHAPE = (SIDE, SIDE)
WINDOWS = np.array([[0, 0, 1, 1], [0.2, 0, 0.8, 1]], np.float32)


def build(make_network, make_model):
    """A network and a model of it, with weights drawn from their names.

    The scores of anchors are not saturated, so that they differ; objects outweigh background.
    """
    with few_weights():
        network = make_network()
        model = fill(make_model(network))
    weights = named_variables(model)
    for name in ("rpn_class_raw/kernel", "rpn_class_raw/bias"):
        weights[name].assign(0.1 * weight_array(weights[name]))
    bias = weights["mrcnn_class_logits/bias"]
    bias.assign(weight_array(bias) + np.array([0, *[2] * (bias.shape[0] - 1)]))
    return network, model


def run(model, inputs):
    """The outputs of a model as arrays."""
    return model.predict_on_batch(inputs)


def assert_close(found, expected, names):
    """The named tensors of two dicts are equal, up to the rounding of sums."""
    for name in names:
        one, two = (ops.convert_to_numpy(each[name]) for each in (found, expected))
        scale = max(1.0, np.abs(two).max())
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5 * scale, err_msg=name)


def random_images(seed, batch=2, side=SIDE):
    """Noise, not too strong: uint8 [batch, side, side, 3]."""
    return np.random.default_rng(seed).integers(100, 140, (batch, side, side, 3), dtype=np.uint8)
