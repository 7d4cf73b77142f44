import numpy as np
import pytest
from keras import Variable, ops

from mrcnn.training import losses

pytestmark = pytest.mark.backends


def sum_and_count(loss, *arguments):
    """Both numbers of a loss, from arrays (or None)."""
    tensors = [None if each is None else ops.array(each) for each in arguments]
    return [float(value) for value in loss(*tensors)]


def floats(*rows):
    return np.array(rows, np.float32)


def cross_entropy(logits, class_id):
    powers = np.exp(np.asarray(logits, np.float64))
    return -np.log(powers[class_id] / powers.sum())


def test_smooth_l1_by_hand():
    found = losses.smooth_l1(ops.array(floats(0, 0, 0, 1)), ops.array(floats(0.5, -1.5, 3, 1)))
    np.testing.assert_allclose(ops.convert_to_numpy(found), [0.125, 1, 2.5, 0])


def test_rpn_class_loss_counts_all_but_neutral_anchors():
    match = np.array([[1, 0, -1], [0, 0, 1]])
    logits = np.random.default_rng(0).normal(size=(2, 3, 2)).astype(np.float32)
    expected = (
        cross_entropy(logits[0, 0], 1)
        + cross_entropy(logits[0, 2], 0)
        + cross_entropy(logits[1, 2], 1)
    )
    found = sum_and_count(losses.rpn_class_loss, match, logits)
    np.testing.assert_allclose(found, [expected, 3], rtol=1e-5)


def test_rpn_bbox_loss_pairs_positive_anchors_with_targets_in_order():
    match = np.array([[0, 1, -1, 1], [1, 0, 0, 0]])
    targets = floats([[1, 1, 1, 1], [2, 2, 2, 2]], [[5, 0, 0, 0], [9, 9, 9, 9]])
    deltas = np.zeros((2, 4, 4), np.float32)
    deltas[0, 3] = [2, 2, 2, 2.5]
    # The first positive anchor is off by 1 four times, the second by .5 once; in the second
    # image, by 5 once.
    expected = 4 * 0.5 + 0.125 + 4.5
    found = sum_and_count(losses.rpn_bbox_loss, match, targets, deltas)
    np.testing.assert_allclose(found, [expected, 12], rtol=1e-6)


def test_more_positive_anchors_than_targets_do_not_break_the_rpn_bbox_loss():
    match, targets = np.ones((1, 3), int), floats([[1, 0, 0, 0]])
    found = sum_and_count(losses.rpn_bbox_loss, match, targets, np.zeros((1, 3, 4), np.float32))
    np.testing.assert_allclose(found, [1.5, 12])


def test_class_loss_counts_padding():
    logits = floats([[2, 0, 1], [0, 3, 1], [1, 1, 1]])
    expected = (
        cross_entropy([2, 0, 1], 0) + cross_entropy([0, 3, 1], 2) + cross_entropy([1, 1, 1], 0)
    )
    found = sum_and_count(losses.class_loss, np.array([[0, 2, 0]]), logits)
    np.testing.assert_allclose(found, [expected, 3], rtol=1e-6)


def test_class_loss_leaves_out_predictions_of_inactive_classes():
    logits = floats([[2, 0, 1], [0, 3, 1], [0, 1, 2]])
    found = sum_and_count(losses.class_loss, np.array([[1, 2, 2]]), logits, np.array([1, 0, 1]))
    expected = cross_entropy([2, 0, 1], 1) + cross_entropy([0, 1, 2], 2)
    np.testing.assert_allclose(found, [expected, 2], rtol=1e-6)


def test_class_loss_of_certain_answers_is_finite():
    logits = floats([[1000, -1000]])
    assert sum_and_count(losses.class_loss, np.array([[1]]), logits) == [2000, 1]


# A positive that is answered rightly and one that is not, a negative taken for an object, two
# negatives that are not, one of them in doubt, and padding.
SIX = {
    "target_class_ids": np.array([[1, 1, 0], [0, 0, 0]]),
    "logits": floats([[0, 2], [1, 0], [0, 3]], [[4, 0], [1, 1], [0, 5]]),
    "rois": floats([[0, 0, 1, 1]] * 3, [[0, 0, 1, 1], [0, 0, 0.5, 1], [0, 0, 0, 0]]),
}


def test_weighed_class_loss_by_hand():
    sums, counts = losses.weighed_class_loss(*map(ops.array, SIX.values()), 0.25)
    weighty = np.log(1 + np.exp(-2)) + np.log(1 + np.exp(1)) + np.log(1 + np.exp(3))
    others = np.log(1 + np.exp(-4)) + np.log(2)
    np.testing.assert_allclose(ops.convert_to_numpy(sums), [0.25 * weighty, 0.75 * others], 1e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(counts), [3, 2])


def test_weighed_class_loss_is_the_mean_of_weighed_rois():
    """As the formula says it: weights alpha N / n and (1 - alpha) N / (N - n), then the mean."""
    sums, counts = losses.weighed_class_loss(*map(ops.array, SIX.values()), 0.4)
    rows = [(0, 0, 1), (0, 1, 1), (0, 2, 0), (1, 0, 0), (1, 1, 0)]
    weights = [0.4 * 5 / 3] * 3 + [0.6 * 5 / 2] * 2
    errors = [cross_entropy(SIX["logits"][row, place], answer) for row, place, answer in rows]
    np.testing.assert_allclose(float(ops.sum(sums / counts)), np.dot(weights, errors) / 5, 1e-6)


def test_weighed_class_loss_of_several_classes_leaves_out_inactive_ones():
    logits = floats([[2, 0, 1], [0, 1, 3], [0, 3, 1], [0, 1, 0]])
    sums, counts = losses.weighed_class_loss(
        ops.array([[0, 1, 2, 0]]), ops.array(logits), ops.ones((1, 4, 4)), 0.5, ops.array([1, 1, 0])
    )
    weighty = cross_entropy([0, 3, 1], 2) + cross_entropy([0, 1, 0], 0)
    expected = [0.5 * weighty, 0.5 * cross_entropy([2, 0, 1], 0)]
    np.testing.assert_allclose(ops.convert_to_numpy(sums), expected, rtol=1e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(counts), [2, 1])


def test_weighed_class_loss_of_background_alone_and_of_nothing():
    arguments = ops.zeros((1, 2), "int32"), ops.array(floats([[3, 0], [2, 0]]))
    for rois, count in ((ops.ones((1, 2, 4)), 2), (ops.zeros((1, 2, 4)), 0)):
        sums, counts = losses.weighed_class_loss(*arguments, rois, 0.25)
        error = 0.75 * (np.log(1 + np.exp(-3)) + np.log(1 + np.exp(-2))) * (count > 0)
        np.testing.assert_allclose(ops.convert_to_numpy(sums), [0, error], rtol=1e-6)
        np.testing.assert_array_equal(ops.convert_to_numpy(counts), [0, count])


def test_bbox_loss_by_hand():
    classes = np.array([[2, 0], [1, 0]])
    targets = np.zeros((2, 2, 4), np.float32)
    deltas = np.full((2, 2, 3, 4), 7, np.float32)
    deltas[0, 0, 2], deltas[1, 0, 1] = [1, 0, 0, 0], [0, 0, 0.5, 3]
    found = sum_and_count(losses.bbox_loss, classes, targets, deltas)
    np.testing.assert_allclose(found, [0.5 + 0.125 + 2.5, 8])


def test_bbox_loss_with_one_class_for_all():
    deltas = np.full((1, 3, 1, 4), 2, np.float32)
    found = sum_and_count(
        losses.bbox_loss, np.array([[3, 0, 1]]), np.zeros((1, 3, 4), np.float32), deltas
    )
    np.testing.assert_allclose(found, [2 * 4 * 1.5, 8])


@pytest.mark.parametrize("mask_classes", [1, 3])
def test_mask_loss_against_a_loop(mask_classes):
    rng = np.random.default_rng(0)
    classes = np.array([[2, 0], [1, 2]])
    targets = rng.integers(0, 2, (2, 2, 4, 5)).astype(np.float32)
    logits = rng.normal(0, 3, (2, 2, 4, 5, mask_classes)).astype(np.float32)
    expected = 0
    for image, row in ((0, 0), (1, 0), (1, 1)):
        channel = classes[image, row] if mask_classes > 1 else 0
        chance = 1 / (1 + np.exp(-logits[image, row, ..., channel].astype(np.float64)))
        likelihood = np.where(targets[image, row] == 1, chance, 1 - chance)
        expected -= np.log(likelihood).sum()
    found = sum_and_count(losses.mask_loss, classes, targets, logits)
    np.testing.assert_allclose(found, [expected, 3 * 20], rtol=1e-5)


def test_losses_without_positives_are_zero_of_zero():
    none = np.zeros((2, 3), int)
    deltas = np.ones((2, 3, 4), np.float32)
    masks = np.ones((2, 3, 4, 4), np.float32)
    assert sum_and_count(losses.rpn_bbox_loss, none, deltas, deltas) == [0, 0]
    assert sum_and_count(losses.rpn_class_loss, none, deltas[..., :2]) == [0, 0]
    assert sum_and_count(losses.bbox_loss, none, deltas, deltas[:, :, None]) == [0, 0]
    assert sum_and_count(losses.mask_loss, none, masks, masks[..., None]) == [0, 0]


def test_weight_decay_is_the_mean_of_squares_of_each_tensor():
    variables = [
        Variable(np.array([1, 3], np.float32), name="kernel"),
        Variable(np.array([2.0], np.float32), name="bias"),
        Variable(np.array([100.0], np.float32), name="gamma"),
        Variable(np.array([100.0], np.float32), name="beta"),
    ]
    assert float(losses.weight_decay_loss(variables, 0.5)) == 0.5 * (5 + 4)
    assert float(losses.weight_decay_loss(variables[2:], 0.5)) == 0
