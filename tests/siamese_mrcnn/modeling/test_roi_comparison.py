"""Comparison on RoIs against loops over places; how references are pooled for it."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from mrcnn.modeling.roi_heads import BoxHead
from mrcnn.weights.hdf5 import named_variables, weight_array
from siamese_mrcnn.modeling.roi_comparison import ComparingBoxHead, pool_by_area

pytestmark = pytest.mark.backends
CHANNELS, MATCHED, SIDE, COUNT = 16, 24, 3, 2
SIDES = (4, 2, 1, 1, 1)  # of P2..P6 of a reference


@pytest.fixture(scope="module")
def comparing():
    """A head with random weights, and models of `keep` for two references and of `compare`."""
    head = ComparingBoxHead(BoxHead(2, 1, 8, SIDE, False), CHANNELS, MATCHED, SIDE)
    pyramid = [keras.Input((side, side + 1, CHANNELS)) for side in SIDES]
    keep = keras.Model(pyramid, head.keep(pyramid, 2))
    inputs = [keras.Input((COUNT, SIDE, SIDE, CHANNELS)), *head.inputs()]
    compare = keras.Model(inputs, head.compare(*inputs))
    rng = np.random.default_rng(0)
    before = {name: weight_array(each) for name, each in named_variables(compare).items()}
    for model in (keep, compare):
        for variable in named_variables(model).values():
            variable.assign(0.3 * rng.normal(size=variable.shape))
    weights = {
        name: weight_array(each)
        for model in (keep, compare)
        for name, each in named_variables(model).items()
    }
    return keep, compare, weights, before


def reference_pyramid(batch, seed=1):
    rng = np.random.default_rng(seed)
    shapes = [(batch, side, side + 1, CHANNELS) for side in SIDES]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def arrays(tensors):
    return [ops.convert_to_numpy(each) for each in tensors]


def keys_by_loop(weights, name, features):
    """A 3x3 convolution that pads with zeros, of [rows, columns, channels]."""
    kernel, bias = (weights.get(f"mrcnn_compare_{name}/{kind}", 0) for kind in ("kernel", "bias"))
    padded = np.pad(features, ((1, 1), (1, 1), (0, 0)))
    keys = np.zeros((*features.shape[:2], kernel.shape[-1]))
    for y, x in np.ndindex(*features.shape[:2]):
        keys[y, x] = np.einsum("ijc,ijck->k", padded[y : y + 3, x : x + 3], kernel) + bias
    return keys


def compared_by_loop(weights, roi, reference, reference_keys):
    """The result for one RoI [rows, columns, channels] and places [N, channels] with their keys."""

    def dense(name, value):
        kernel, bias = (weights[f"mrcnn_compare_{name}/{kind}"] for kind in ("kernel", "bias"))
        return value @ kernel + bias

    keys, mean = keys_by_loop(weights, "roi_keys", roi), reference.mean(axis=0)
    result = np.zeros((SIDE, SIDE, MATCHED))
    for place in np.ndindex(SIDE, SIDE):
        x = roi[place]
        likeness = np.exp(reference_keys @ keys[place])
        resembling = (likeness / likeness.sum()) @ reference
        contrast, salient = dense("reduce", np.abs(mean - x)), dense("reduce", x * mean)
        both = dense("reduce", np.concatenate([salient, contrast]))
        attention = dense("reduce", np.abs(resembling - x))
        result[place] = dense("merge", np.concatenate([both, attention, x]))
    return result


def test_comparison_against_a_loop(comparing):
    _, compare, weights, _ = comparing
    rng = np.random.default_rng(2)
    rois = rng.normal(size=(2, COUNT, SIDE, SIDE, CHANNELS)).astype(np.float32)
    reference = rng.normal(size=(2, 18, CHANNELS)).astype(np.float32)
    keys = rng.normal(size=(2, 18, CHANNELS // 8)).astype(np.float32)
    found = ops.convert_to_numpy(compare([rois, reference, keys]))
    for image, number in itertools.product(range(2), range(COUNT)):
        expected = compared_by_loop(weights, rois[image, number], reference[image], keys[image])
        np.testing.assert_allclose(found[image, number], expected, rtol=1e-4, atol=1e-4)
    for_all = ops.convert_to_numpy(compare([rois, reference[:1], keys[:1]]))
    np.testing.assert_allclose(for_all[0], found[0], rtol=1e-4, atol=1e-5)
    assert np.abs(for_all[1] - found[1]).max() > 0.1


def test_references_are_kept_as_the_mean_of_resized_levels_with_their_keys(comparing):
    keep, _, weights, _ = comparing
    pyramid = reference_pyramid(4)  # two of two shots each
    reference, keys = arrays(keep(pyramid))
    levels = [ops.convert_to_numpy(pool_by_area(level, SIDE)) for level in pyramid[:4]]
    cells = np.mean(levels, axis=0)
    np.testing.assert_allclose(reference, cells.reshape(2, 2 * SIDE**2, CHANNELS), atol=1e-5)
    np.testing.assert_allclose(
        reference.mean(axis=1).reshape(2, CHANNELS),
        np.mean([level.mean(axis=(1, 2)).reshape(2, 2, -1) for level in pyramid[:4]], (0, 2)),
        atol=1e-5,
    )
    for shot, patch in enumerate(cells):
        expected = keys_by_loop(weights, "reference_keys", patch).reshape(SIDE**2, -1)
        place = slice(shot % 2 * SIDE**2, (shot % 2 + 1) * SIDE**2)
        np.testing.assert_allclose(keys[shot // 2, place], expected, rtol=1e-4, atol=1e-4)


def test_pooling_by_area_by_hand():
    row = np.array([0.0, 3.0, 6.0], np.float32)
    features = np.stack([row, row + 9])[None, :, :, None]  # 2 x 3
    found = ops.convert_to_numpy(pool_by_area(features, 2))[0, ..., 0]
    np.testing.assert_allclose(found, [[1, 5], [10, 14]], rtol=1e-6)  # one pixel and a half each
    wider = ops.convert_to_numpy(pool_by_area(features, 4))[0, ..., 0]
    np.testing.assert_allclose(wider[0], [0, 2, 4, 6], rtol=1e-6)
    np.testing.assert_allclose(wider[:, 0], [0, 0, 9, 9], rtol=1e-6)


def test_the_last_convolution_begins_at_zero(comparing):
    before = comparing[-1]
    for name, array in before.items():
        assert np.any(array) == (name.endswith("kernel") and "merge" not in name), name
