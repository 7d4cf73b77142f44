import keras
import numpy as np
import pytest
from keras import ops

from greedy import greedy_suppression, padded
from mrcnn.modeling import detection_layer
from mrcnn.modeling.detection_layer import DetectionSelection, select_class
from mrcnn.ops import boxes
from on_backend import compile_function

pytestmark = pytest.mark.backends
DEVIATIONS = np.array([0.1, 0.1, 0.2, 0.2], np.float32)
WHOLE = np.array([0, 0, 1, 1], np.float32)


def select(inputs, max_instances=5, min_confidence=0.5, threshold=0.4, **conventions):
    settings = (max_instances, min_confidence, threshold, DEVIATIONS)
    layer = DetectionSelection(*settings, **conventions)
    arrays = {name: ops.array(values, "float32") for name, values in inputs.items()}
    return ops.convert_to_numpy(compile_function(layer)(arrays))


def image(rois, probabilities, deltas=None, window=WHOLE):
    """Inputs of a batch of one."""
    rois = np.array(rois, np.float32)
    deltas = np.zeros((len(rois), 1, 4)) if deltas is None else deltas
    return {
        "rois": rois[None],
        "mrcnn_class": np.array([probabilities]),
        "mrcnn_bbox": np.array([deltas]),
        "windows": np.array([window]),
    }


def random_inputs(seed, batch=2, rois=50, classes=4, box_classes=4):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 0.6, (batch, rois, 2))
    sides = rng.uniform(0.1, 0.5, (batch, rois, 2))
    powers = np.exp(rng.normal(0, 2, (batch, rois, classes)))
    return {
        "rois": np.concatenate([corners, corners + sides], axis=-1).astype(np.float32),
        "mrcnn_class": (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32),
        "mrcnn_bbox": rng.normal(0, 1, (batch, rois, box_classes, 4)).astype(np.float32),
        "windows": np.array([[0.1, 0, 0.9, 1], [0, 0.2, 1, 0.8]], np.float32)[:batch],
    }


def slow_detections(
    inputs, image, max_instances, min_confidence, threshold, every_class=False, **limits
):
    """Detections of one image, RoI by RoI, class by class: [max_instances, 6]."""
    found = []
    for roi, probabilities, deltas in zip(
        *(inputs[name][image] for name in ("rois", "mrcnn_class", "mrcnn_bbox")), strict=True
    ):
        class_ids = range(len(probabilities)) if every_class else [int(probabilities.argmax())]
        for class_id in class_ids:
            chosen = deltas[class_id if len(deltas) > 1 else 0] * DEVIATIONS
            box = boxes.decode_deltas(roi, chosen, log_limit=limits.get("log_limit"))
            box = boxes.clip(box, inputs["windows"][image], least=limits.get("least", (0, 0)))
            if class_id > 0 and probabilities[class_id] >= min_confidence:
                found.append([*box, class_id, probabilities[class_id]])
    found = np.array(sorted(found, key=lambda row: -row[5]), np.float32).reshape(-1, 6)
    survivors = []
    for class_id in np.unique(found[:, 4]):
        rows = found[found[:, 4] == class_id]
        survivors += [*rows[greedy_suppression(rows[:, :4], np.ones(len(rows)), threshold)]]
    survivors = np.array(sorted(survivors, key=lambda row: -row[5]), np.float32)
    return padded(survivors.reshape(-1, 6), max_instances)


@pytest.mark.parametrize(
    ("max_instances", "min_confidence", "threshold"),
    [(5, 0.5, 0.3), (100, 0.0, 0.5), (30, 0.7, 0.05), (10, 0.999, 0.5)],
)
@pytest.mark.parametrize("box_classes", [1, 4])
def test_against_a_loop(max_instances, min_confidence, threshold, box_classes):
    settings = (max_instances, min_confidence, threshold)
    inputs = random_inputs(int(100 * threshold), box_classes=box_classes)
    expected = [slow_detections(inputs, number, *settings) for number in range(2)]
    np.testing.assert_allclose(select(inputs, *settings), expected, atol=1e-5)


@pytest.mark.parametrize("box_classes", [1, 4])
def test_every_class_of_a_roi_against_a_loop(box_classes):
    conventions = {"every_class": True, "log_limit": 0.1, "least": (0.2, 0.1)}
    inputs = random_inputs(0, box_classes=box_classes)
    expected = [
        slow_detections(inputs, number, 100, 0.05, 0.3, **conventions) for number in range(2)
    ]
    found = select(inputs, 100, 0.05, 0.3, **conventions)
    likeliest = select(inputs, 100, 0.05, 0.3)
    assert np.count_nonzero(found[..., 5]) > np.count_nonzero(likeliest[..., 5])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_likeliest_pairs_of_a_roi_and_a_class_are_considered(monkeypatch):
    monkeypatch.setattr(detection_layer, "PAIRS", 3)
    rois = [[0, 0, 0.2, 0.2], [0.4, 0, 0.6, 0.2]]
    inputs = image(rois, [[0.1, 0.6, 0.3], [0.2, 0.35, 0.45]])
    found = select(inputs, min_confidence=0.0, every_class=True)[0]
    np.testing.assert_allclose(found[:, 4:], [[1, 0.6], [2, 0.45], [1, 0.35], [0, 0], [0, 0]])


def test_background_and_unsure_rois_are_dropped():
    rois = [[0, 0, 0.2, 0.2], [0.4, 0, 0.6, 0.2], [0.8, 0, 1, 0.2]]
    found = select(image(rois, [[0.9, 0.1], [0.1, 0.9], [0.5, 0.5]]), 3)
    np.testing.assert_allclose(found, [[[0.4, 0, 0.6, 0.2, 1, 0.9], [0] * 6, [0] * 6]])


def test_a_score_of_just_the_minimum_is_kept():
    found = select(image([[0, 0, 1, 1]], [[0.25, 0.75]]), 1, min_confidence=0.75)
    np.testing.assert_allclose(found, [[[0, 0, 1, 1, 1, 0.75]]])


def test_best_first_and_only_so_many():
    rois = [[0.1 * n, 0, 0.1 * n + 0.05, 0.2] for n in range(4)]
    scores = [0.6, 0.9, 0.7, 0.8]
    found = select(image(rois, [[1 - score, score] for score in scores]), 3)
    np.testing.assert_allclose(found[0, :, 5], [0.9, 0.8, 0.7])
    np.testing.assert_allclose(found[0, :, 0], [0.1, 0.3, 0.2], atol=1e-6)


def test_boxes_are_cut_off_at_the_window():
    found = select(image([[0, 0, 1, 1]], [[0, 1]], window=[0.25, 0, 0.75, 0.5]), 1)
    np.testing.assert_allclose(found[0, 0, :4], [0.25, 0, 0.75, 0.5])


def test_classes_do_not_suppress_each_other():
    rois = [[0, 0, 1, 1]] * 3
    probabilities = [[0, 0.9, 0.1], [0.2, 0, 0.8], [0.3, 0.7, 0]]
    found = select(image(rois, probabilities), 3)
    np.testing.assert_allclose(found[0, :, 4:], [[1, 0.9], [2, 0.8], [0, 0]])


def test_the_deltas_of_the_class_found_move_the_box():
    deltas = np.zeros((1, 3, 4))
    deltas[0, 1], deltas[0, 2] = [9, 9, 9, 9], [0, 2.5, 0, np.log(0.5) / 0.2]
    found = select(image([[0.2, 0.2, 0.6, 0.6]], [[0, 0.1, 0.9]], deltas), 1)
    # The centre moves right by a quarter of .4, the width halves.
    np.testing.assert_allclose(found[0, 0, :4], [0.2, 0.4, 0.6, 0.6], atol=1e-6)


def test_more_rows_wanted_than_rois():
    found = select(image([[0, 0, 1, 1]], [[0, 1]]), 4)
    np.testing.assert_allclose(found, [[[0, 0, 1, 1, 1, 1], [0] * 6, [0] * 6, [0] * 6]])


def test_output_of_each_rows_class():
    outputs = np.arange(24, dtype=np.float32).reshape(2, 2, 3, 2)
    chosen = select_class(ops.array(outputs), ops.array([[0, 2], [1, 1]], "int32"))
    expected = [[[0, 1], [10, 11]], [[14, 15], [20, 21]]]
    np.testing.assert_array_equal(ops.convert_to_numpy(chosen), expected)
    single = select_class(ops.array(outputs[:, :, :1]), ops.array([[0, 2], [1, 1]], "int32"))
    np.testing.assert_array_equal(ops.convert_to_numpy(single), outputs[:, :, 0])


def test_symbolic_shape():
    inputs = {
        "rois": keras.Input((9, 4)),
        "mrcnn_class": keras.Input((9, 3)),
        "mrcnn_bbox": keras.Input((9, 3, 4)),
        "windows": keras.Input((4,)),
    }
    assert DetectionSelection(7, 0.5, 0.3, DEVIATIONS)(inputs).shape == (None, 7, 6)
