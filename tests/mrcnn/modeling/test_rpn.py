import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.config import Config
from mrcnn.modeling.rpn import RegionProposalNetwork
from mrcnn.ops.anchors import pyramid_anchors
from mrcnn.weights.hdf5 import named_variables, weight_array

pytestmark = pytest.mark.backends
SHAPES = [(4, 6), (2, 3)]  # rows and columns of two levels


class SmallConfig(Config):
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 128


def model_and_maps(anchor_stride=1, channels=5):
    pyramid = [keras.Input((*shape, channels)) for shape in SHAPES]
    network = RegionProposalNetwork(3, anchor_stride)
    model = keras.Model(pyramid, network(pyramid))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.normal(0, 0.1, variable.shape))
    maps = [rng.normal(size=(2, *shape, channels)).astype(np.float32) for shape in SHAPES]
    return model, maps


def arrays(outputs):
    return {name: ops.convert_to_numpy(values) for name, values in outputs.items()}


def slow_rows(model, maps, layer, columns):
    """Outputs of a 1x1 convolution, anchor by anchor: levels, rows, columns, ratios."""
    weights = {name: weight_array(each) for name, each in named_variables(model).items()}
    kernel, bias = weights[f"{layer}/kernel"][0, 0], weights[f"{layer}/bias"]
    collected = []
    for features in maps:
        shared = ops.convert_to_numpy(model.get_layer("rpn_conv_shared")(features))
        assert shared.min() == 0 < shared.max()
        for y in range(shared.shape[1]):
            for x in range(shared.shape[2]):
                values = shared[:, y, x] @ kernel + bias
                collected += [values[:, columns * r : columns * (r + 1)] for r in range(3)]
    return np.stack(collected, axis=1)


@pytest.mark.parametrize("anchor_stride", [1, 2])
def test_outputs_are_in_the_order_of_anchors(anchor_stride):
    model, maps = model_and_maps(anchor_stride)
    outputs = arrays(model(maps))
    logits = slow_rows(model, maps, "rpn_class_raw", 2)
    assert logits.shape == (2, 3 * (4 * 6 + 2 * 3) if anchor_stride == 1 else 3 * (6 + 2), 2)
    np.testing.assert_allclose(outputs["rpn_class_logits"], logits, atol=1e-5)
    deltas = slow_rows(model, maps, "rpn_bbox_pred", 4)
    np.testing.assert_allclose(outputs["rpn_bbox"], deltas, atol=1e-5)


def test_probabilities_of_background_and_foreground():
    model, maps = model_and_maps()
    outputs = arrays(model(maps))
    powers = np.exp(outputs["rpn_class_logits"])
    expected = powers / powers.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(outputs["rpn_class"], expected, atol=1e-6)


@pytest.mark.parametrize("anchor_stride", [1, 2])
def test_one_row_for_each_anchor(anchor_stride):
    config = SmallConfig()
    config.RPN_ANCHOR_STRIDE = anchor_stride
    pyramid = [keras.Input((128 // stride, 128 // stride, 4)) for stride in (4, 8, 16, 32, 64)]
    outputs = RegionProposalNetwork(3, anchor_stride)(pyramid)
    anchors = len(pyramid_anchors(config, (128, 128)))
    assert {name: each.shape for name, each in outputs.items()} == {
        "rpn_class_logits": (None, anchors, 2),
        "rpn_class": (None, anchors, 2),
        "rpn_bbox": (None, anchors, 4),
    }


def test_one_logit_an_anchor_is_a_sigmoid():
    features = keras.Input((4, 6, 5))
    model = keras.Model(features, RegionProposalNetwork(3, logits_per_anchor=1)([features]))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.normal(0, 0.1, variable.shape))
    maps = [rng.normal(size=(2, 4, 6, 5)).astype(np.float32)]
    logits = slow_rows(model, maps, "rpn_class_raw", 1)
    outputs = arrays(model(maps[0]))
    np.testing.assert_allclose(outputs["rpn_class_logits"][..., 1:], logits, atol=1e-5)
    np.testing.assert_allclose(outputs["rpn_class"][..., 1:], 1 / (1 + np.exp(-logits)), atol=1e-6)
