import numpy as np
import pytest
from keras import ops

from mrcnn.ops import boxes


def random_boxes(rng, count):
    corners = rng.uniform(0, 100, (count, 2))
    return np.concatenate([corners, corners + rng.uniform(1, 60, (count, 2))], axis=1)


def slow_overlap(a, b):
    """Intersection over union of two boxes of whole numbers, by counting pixels."""
    pixels_a = {(y, x) for y in range(a[0], a[2]) for x in range(a[1], a[3])}
    pixels_b = {(y, x) for y in range(b[0], b[2]) for x in range(b[1], b[3])}
    union = pixels_a | pixels_b
    return len(pixels_a & pixels_b) / len(union) if union else 0


def test_overlaps_by_hand():
    a = np.array([[0, 0, 10, 10]])
    b = np.array([[0, 0, 10, 10], [0, 5, 10, 15], [20, 20, 30, 30], [0, 10, 10, 20], [2, 2, 2, 2]])
    np.testing.assert_allclose(boxes.overlaps(a, b), [[1, 50 / 150, 0, 0, 0]])


def test_overlaps_against_counted_pixels():
    rng = np.random.default_rng(0)
    a, b = (random_boxes(rng, 8).astype(int) // 4 for _ in range(2))
    expected = [[slow_overlap(one, other) for other in b] for one in a]
    np.testing.assert_allclose(boxes.overlaps(a, b), expected)


def test_overlaps_of_nothing():
    assert boxes.overlaps(np.zeros((0, 4)), np.ones((3, 4))).shape == (0, 3)
    np.testing.assert_array_equal(boxes.overlaps(np.zeros((2, 4)), np.zeros((1, 4))), [[0], [0]])


def test_deltas_by_hand():
    box, target = np.array([[0.0, 0, 10, 20]]), np.array([[5.0, 0, 25, 20]])
    deltas = boxes.encode_deltas(box, target)
    np.testing.assert_allclose(deltas, [[1, 0, np.log(2), 0]])
    np.testing.assert_allclose(boxes.decode_deltas(box, deltas), target)


def test_decoding_undoes_encoding():
    rng = np.random.default_rng(1)
    here, there = random_boxes(rng, 50), random_boxes(rng, 50)
    np.testing.assert_allclose(
        boxes.decode_deltas(here, boxes.encode_deltas(here, there)), there, rtol=1e-9
    )


def test_clip_to_a_window():
    clipped = boxes.clip(np.array([[-5, 3, 50, 200], [60, 60, 70, 70]]), np.array([0, 0, 40, 100]))
    np.testing.assert_array_equal(clipped, [[0, 3, 40, 100], [40, 60, 40, 70]])


def test_normalised_boxes_end_at_the_last_pixel():
    whole = np.array([[0, 0, 101, 201]])
    np.testing.assert_allclose(boxes.normalize(whole, (101, 201)), [[0, 0, 1, 1]])
    np.testing.assert_allclose(
        boxes.normalize(np.zeros((1, 4)), (101, 201)), [[0, 0, -1 / 100, -1 / 200]], rtol=1e-6
    )


def test_normalised_boxes_come_back():
    whole = random_boxes(np.random.default_rng(2), 40).astype(np.int32)
    back = boxes.denormalize(boxes.normalize(whole, (480, 640)), (480, 640))
    assert back.dtype == np.int32
    np.testing.assert_array_equal(back, whole)


@pytest.mark.parametrize("name", ["overlaps", "encode_deltas", "decode_deltas"])
def test_tensors_and_arrays_agree(name):
    rng = np.random.default_rng(3)
    a = random_boxes(rng, 9).astype(np.float32)
    b = a / 100 if name == "decode_deltas" else random_boxes(rng, 9).astype(np.float32)
    function = getattr(boxes, name)
    tensors = function(ops.convert_to_tensor(a), ops.convert_to_tensor(b), xp=ops)
    np.testing.assert_allclose(ops.convert_to_numpy(tensors), function(a, b), rtol=1e-4, atol=1e-5)


def test_overlaps_of_batches():
    rng = np.random.default_rng(4)
    a, b = random_boxes(rng, 12).reshape(3, 4, 4), random_boxes(rng, 15).reshape(3, 5, 4)
    expected = np.stack([boxes.overlaps(one, other) for one, other in zip(a, b, strict=True)])
    np.testing.assert_array_equal(boxes.overlaps(a, b), expected)


def test_logarithms_are_limited():
    deltas = np.array([[0, 0, 7, np.log(3)]])
    found = boxes.decode_deltas(np.array([[0.0, 0, 2, 2]]), deltas, log_limit=np.log(5))
    np.testing.assert_allclose(found, [[-4, -2, 6, 4]])


def test_edges_are_the_other_way_to_normalize():
    whole = np.array([[0, 0, 100, 200], [10, 20, 60, 180]])
    found = boxes.normalize(whole, (100, 200), edges=True)
    np.testing.assert_allclose(found, [[0, 0, 1, 1], [0.1, 0.1, 0.6, 0.9]], rtol=1e-6)
    np.testing.assert_array_equal(boxes.denormalize(found, (100, 200), edges=True), whole)
    assert boxes.least_side((100, 200), edges=True) == (0.01, 0.005)
    assert boxes.least_side((100, 200)) == (0, 0)


def test_clipped_boxes_keep_a_least_side():
    beyond = np.array([[-5.0, 12, -3, 20], [2, 3, 4, 5], [9.8, -7, 11, -6]])
    found = boxes.clip(beyond, np.array([0.0, 0, 10, 10]), least=(1, 2))
    np.testing.assert_array_equal(found, [[0, 8, 1, 10], [2, 3, 4, 5], [9, 0, 10, 2]])
