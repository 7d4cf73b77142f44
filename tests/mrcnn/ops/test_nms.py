import numpy as np
import pytest
from keras import ops

from greedy import crowded_boxes, greedy_suppression, padded
from mrcnn.ops import nms
from on_backend import compile_function

pytestmark = pytest.mark.backends
SELECTIONS = [nms.select_boxes, nms.select_by_tiles]


def batch_of_boxes(seed, batch, count):
    rng = np.random.default_rng(seed)
    return np.stack([crowded_boxes(rng, count) for _ in range(batch)])


def suppress(boxes, candidates, threshold, classes=None):
    def function(boxes, candidates):
        return nms.suppress(boxes, candidates, threshold, classes)

    classes = None if classes is None else ops.array(classes, "int32")
    return ops.convert_to_numpy(
        compile_function(function)(ops.array(boxes), ops.array(candidates, "bool"))
    )


def select(selection, boxes, limit, threshold):
    def function(boxes):
        return selection(boxes, limit, threshold)

    return ops.convert_to_numpy(compile_function(function)(ops.array(boxes)))


def row(*edges):
    """A batch of one, of boxes of height 1 between pairs of horizontal edges."""
    return np.array([[[0, left, 1, right] for left, right in edges]], np.float32)


def test_a_fallen_box_suppresses_no_other():
    chain = row((0, 10), (4, 14), (8, 18))  # each overlaps the next one by 6 / 14
    np.testing.assert_array_equal(suppress(chain, [[True] * 3], 0.4), [[True, False, True]])


def test_an_overlap_of_just_the_threshold_is_allowed():
    boxes = row((0, 4), (0, 2))
    np.testing.assert_array_equal(suppress(boxes, [[True] * 2], 0.5), [[True, True]])
    np.testing.assert_array_equal(suppress(boxes, [[True] * 2], 0.49), [[True, False]])


def test_only_candidates_take_part():
    boxes = row((0, 10), (1, 10), (1, 10))
    np.testing.assert_array_equal(suppress(boxes, [[False, True, True]], 0.5), [[0, 1, 0]])


def test_boxes_suppress_only_their_own_class():
    boxes = row((0, 10), (0, 10), (0, 10))
    kept = suppress(boxes, [[True] * 3], 0.5, classes=[[1, 2, 1]])
    np.testing.assert_array_equal(kept, [[True, True, False]])


def test_boxes_without_area_neither_fall_nor_suppress():
    boxes = row((3, 3), (3, 3), (0, 10), (5, 5))
    np.testing.assert_array_equal(suppress(boxes, [[True] * 4], 0.1), [[True] * 4])


@pytest.mark.parametrize("count", [1, 37, nms.TILE, nms.TILE + 1, 2 * nms.TILE + 203])
@pytest.mark.parametrize("by_class", [False, True])
def test_suppression_against_a_loop(count, by_class):
    rng = np.random.default_rng(count)
    boxes = batch_of_boxes(count, 2, count)
    candidates = rng.random((2, count)) < 0.9
    classes = rng.integers(0, 3, (2, count)) if by_class else None
    kept = suppress(boxes, candidates, 0.5, classes)
    expected = [
        greedy_suppression(boxes[i], candidates[i], 0.5, None if classes is None else classes[i])
        for i in range(2)
    ]
    np.testing.assert_array_equal(kept, expected)


def test_a_long_chain_is_settled_to_its_end():
    left = np.arange(300) * 4
    chain = row(*zip(left, left + 10, strict=True))
    kept = suppress(chain, np.ones((1, 300)), 0.4)
    np.testing.assert_array_equal(kept[0], np.arange(300) % 2 == 0)


def test_first_survivors():
    kept = ops.array([[False, True, True, False, True], [False] * 5, [True] * 5])
    positions, valid = (ops.convert_to_numpy(each) for each in nms.first_kept(kept, 3))
    np.testing.assert_array_equal(positions, [[1, 2, 4], [0, 0, 0], [0, 1, 2]])
    np.testing.assert_array_equal(valid, [[True] * 3, [False] * 3, [True] * 3])


def test_more_survivors_wanted_than_boxes():
    positions, valid = nms.first_kept(ops.array([[False, True]]), 4)
    np.testing.assert_array_equal(ops.convert_to_numpy(positions), [[1, 0, 0, 0]])
    np.testing.assert_array_equal(ops.convert_to_numpy(valid), [[True, False, False, False]])


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize(
    ("count", "limit", "threshold"), [(60, 10, 0.7), (60, 80, 0.3), (nms.TILE + 77, 300, 0.5)]
)
def test_selection_against_a_loop(selection, count, limit, threshold):
    boxes = batch_of_boxes(limit, 3, count) / 150
    expected = [
        padded(entry[greedy_suppression(entry, np.ones(count), threshold)], limit)
        for entry in boxes
    ]
    np.testing.assert_array_equal(select(selection, boxes, limit, threshold), expected)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_selection_keeps_the_order_of_many_boxes(selection):
    """Also of boxes whose scores were equal: they come in the order given."""
    count = 3000
    left = np.arange(count, dtype=np.float32)
    boxes = np.stack([0 * left, left, 0 * left + 1, left + 1], axis=-1)[None]
    np.testing.assert_array_equal(select(selection, boxes, 700, 0.7), boxes[:, :700])
