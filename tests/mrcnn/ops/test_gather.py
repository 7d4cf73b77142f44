import numpy as np
import pytest
from keras import ops

from mrcnn.ops.gather import gather_rows, nonzero_rows, top_k

pytestmark = pytest.mark.backends


def test_rows_are_picked_from_their_own_batch_entry():
    values = np.arange(12).reshape(2, 3, 2)
    rows = gather_rows(ops.array(values), ops.array([[2, 0], [1, 1]]))
    np.testing.assert_array_equal(ops.convert_to_numpy(rows), [[[4, 5], [0, 1]], [[8, 9], [8, 9]]])


@pytest.mark.parametrize("trailing", [(), (4,), (3, 5)])
def test_rows_of_any_rank(trailing):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 7, *trailing)).astype(np.float32)
    indices = rng.integers(0, 7, (3, 11))
    rows = ops.convert_to_numpy(gather_rows(ops.array(values), ops.array(indices)))
    expected = [entry[chosen] for entry, chosen in zip(values, indices, strict=True)]
    np.testing.assert_array_equal(rows, expected)


def test_a_row_is_zero_only_if_all_of_it_is():
    boxes = np.array([[[0, 0, 0, 0], [0, 0, 0, 1]], [[0, -1, 0, 0], [0, 0, 0, 0]]], np.float32)
    found = ops.convert_to_numpy(nonzero_rows(ops.array(boxes)))
    np.testing.assert_array_equal(found, [[False, True], [True, False]])


def test_highest_values_best_first():
    values = np.random.default_rng(0).normal(size=(2, 3, 50)).astype(np.float32)
    found, positions = (ops.convert_to_numpy(each) for each in top_k(ops.array(values), 7))
    np.testing.assert_array_equal(found, -np.sort(-values)[..., :7])
    np.testing.assert_array_equal(np.take_along_axis(values, positions, axis=-1), found)


def test_of_equal_values_the_first_comes_first():
    values = np.ones((2, 300), np.float32)
    values[1, 150:] = 2
    _, positions = top_k(ops.array(values), 200)
    expected = [np.arange(200), np.r_[150:300, 0:50]]
    np.testing.assert_array_equal(ops.convert_to_numpy(positions), expected)
