import keras
import numpy as np
import pytest
from keras import ops

from greedy import greedy_suppression, padded
from mrcnn.modeling.proposals import Proposals
from mrcnn.ops import boxes
from on_backend import compile_function, gradient

pytestmark = pytest.mark.backends
DEVIATIONS = np.array([0.1, 0.1, 0.2, 0.2], np.float32)


def probabilities(foreground):
    foreground = np.asarray(foreground, np.float32)
    return np.stack([1 - foreground, foreground], axis=-1)


def propose(anchors, foreground, deltas, limit=5, pre_limit=100, threshold=0.7):
    layer = Proposals(np.array(anchors, np.float32), limit, pre_limit, threshold, DEVIATIONS)
    inputs = [ops.array(probabilities(foreground)), ops.array(deltas, "float32")]
    return ops.convert_to_numpy(compile_function(layer)(inputs))


def slow_proposals(anchors, foreground, deltas, limit, pre_limit, threshold):
    """The proposals of one image: [limit, 4]."""
    order = np.argsort(-foreground, kind="stable")[:pre_limit]
    moved = boxes.decode_deltas(anchors[order], deltas[order] * DEVIATIONS)
    moved = np.clip(moved, 0, 1).astype(np.float32)
    kept = greedy_suppression(moved, np.ones(len(moved)), threshold)
    return padded(moved[kept], limit)


def test_best_first_without_duplicates_and_zero_padded():
    anchors = [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0.5, 0.5, 1, 0.98]]
    found = propose(anchors, [[0.3, 0.6, 0.9]], np.zeros((1, 3, 4)), limit=4)
    np.testing.assert_allclose(found, [[anchors[2], anchors[0], [0] * 4, [0] * 4]])


def test_anchors_are_moved_and_cut_off():
    # Centre (.5, .5) moves down by a side of .4 and grows to twice the width.
    deltas = [[[10, 0, 0, np.log(2) / 0.2]]]
    found = propose([[0.3, 0.3, 0.7, 0.7]], [[1]], deltas, limit=1)
    np.testing.assert_allclose(found, [[[0.7, 0.1, 1, 0.9]]], atol=1e-6)


def test_only_the_best_anchors_are_considered():
    anchors = [[0, 0, 0.2, 0.2], [0.4, 0.4, 0.6, 0.6], [0.8, 0.8, 1, 1]]
    found = propose(anchors, [[0.5, 0.1, 0.7]], np.zeros((1, 3, 4)), limit=3, pre_limit=2)
    np.testing.assert_allclose(found, [[anchors[2], anchors[0], [0] * 4]])


def test_equal_scores_are_taken_in_the_order_of_the_anchors():
    side = np.arange(40) / 40
    anchors = np.stack([0 * side, side, 0 * side + 1, side + 1 / 40], axis=-1)
    found = propose(anchors, [np.ones(40)], np.zeros((1, 40, 4)), limit=12)
    np.testing.assert_allclose(found[0], anchors[:12], atol=1e-6)


@pytest.mark.parametrize(("limit", "pre_limit"), [(20, 150), (250, 10000)])
def test_against_a_loop(limit, pre_limit):
    rng = np.random.default_rng(limit)
    corners = rng.uniform(-0.1, 0.8, (300, 2))
    anchors = np.hstack([corners, corners + rng.uniform(0.1, 0.4, (300, 2))]).astype(np.float32)
    foreground = rng.random((2, 300)).astype(np.float32)
    deltas = rng.normal(0, 1.5, (2, 300, 4)).astype(np.float32)
    found = propose(anchors, foreground, deltas, limit, pre_limit, 0.6)
    expected = [
        slow_proposals(anchors, *each, limit, pre_limit, 0.6)
        for each in zip(foreground, deltas, strict=True)
    ]
    assert 0 < np.count_nonzero(np.any(expected, axis=-1)) < 2 * 300
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_no_gradient_flows_through():
    anchors = np.array([[0.3, 0.3, 0.7, 0.7]], np.float32)
    layer = Proposals(anchors, 1, 1, 0.7, DEVIATIONS)
    found = gradient(lambda x: layer([probabilities([[1]]), x]), np.zeros((1, 1, 4), np.float32))
    np.testing.assert_array_equal(found, 0)


def test_symbolic_shape():
    layer = Proposals(np.zeros((30, 4)), 7, 6000, 0.7, DEVIATIONS)
    assert layer([keras.Input((30, 2)), keras.Input((30, 4))]).shape == (None, 7, 4)


def test_levels_are_limited_and_suppressed_apart():
    """Two anchors of each level at most; the same box of another level stays."""
    box, other = [0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]
    anchors = np.array([box, other, box, [0, 0, 0.5, 0.48], other, box], np.float32)
    layer = Proposals(anchors, 5, 2, 0.7, DEVIATIONS, level_sizes=[3, 3])
    scores = [[0.3, 0.1, 0.2, 0.6, 0.5, 0.7]]  # 0.1, then 0.5 come third on their levels
    found = compile_function(layer)([ops.array(probabilities(scores)), ops.zeros((1, 6, 4))])
    expected = [[box, box, [0] * 4, [0] * 4, [0] * 4]]
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected)


def test_levels_together_are_best_first_and_limited():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 0.6, (60, 2))
    anchors = np.hstack([corners, corners + rng.uniform(0.1, 0.4, (60, 2))]).astype(np.float32)
    scores = rng.random((2, 60)).astype(np.float32)
    layer = Proposals(anchors, 20, 25, 0.3, DEVIATIONS, level_sizes=[40, 15, 5])
    found = compile_function(layer)([ops.array(probabilities(scores)), ops.zeros((2, 60, 4))])
    for image in range(2):
        rows = []
        for start, end in ((0, 40), (40, 55), (55, 60)):
            order = start + np.argsort(-scores[image, start:end], kind="stable")[:25]
            rows += list(order[greedy_suppression(anchors[order], np.ones(len(order)), 0.3)])
        rows = sorted(rows, key=lambda row: -scores[image, row])[:20]
        expected = np.clip(anchors[rows], 0, 1)
        found_here = ops.convert_to_numpy(found)[image]
        np.testing.assert_allclose(found_here, padded(expected, 20), atol=1e-6)


def test_boxes_beyond_the_image_keep_a_least_side():
    # Both centres move four sides to the right, and only there is the rest of the box.
    anchors = [[0.2, 0.2, 0.4, 0.4]]
    layer = Proposals(np.array(anchors, np.float32), 1, 1, 0.7, DEVIATIONS, least=(0.01, 0.02))
    found = layer([ops.array(probabilities([[1]])), ops.array([[[0, 50, 0, 0]]], "float32")])
    np.testing.assert_allclose(found, [[[0.2, 0.98, 0.4, 1]]], atol=1e-6)
