"""Detections as COCO results, and metrics worked by hand."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools import mask as run_length
from pycocotools.coco import COCO

from mrcnn.data.dataset import Dataset
from mrcnn.images.run_lengths import encode_mask
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.data.outlines import AnnotationError
from siamese_mrcnn.evaluation.coco_metrics import (
    METRICS,
    coco_metrics,
    decode_results,
    encode_detections,
    ground_truth,
    source_ids,
)


def square(top, left, side, shape=(100, 120)):
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


class Squares(Dataset):
    """Image 70: two squares of category 3; image 71: a crowd of it and one square of 5."""

    def __init__(self):
        super().__init__()
        self.add_class("drawn", 3, "first")
        self.add_class("drawn", 5, "second")
        for source in (70, 71):
            self.add_image("drawn", source, path="")
        self.prepare()
        self.masks = [
            ([square(0, 0, 10), square(50, 50, 20)], [1, 1]),
            ([square(0, 0, 60), square(70, 70, 30)], [-1, 2]),
        ]

    def load_mask(self, image_id):
        masks, class_ids = self.masks[image_id]
        return np.stack(masks, axis=-1), np.array(class_ids, np.int32)


def detections(*masks_and_scores):
    masks = np.stack([mask for mask, _ in masks_and_scores], axis=-1)
    boxes = []
    for mask, _ in masks_and_scores:
        rows, columns = np.nonzero(mask)
        boxes.append([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
    scores = np.array([score for _, score in masks_and_scores], np.float32)
    return {"rois": np.array(boxes, np.int32), "scores": scores, "masks": masks}


def metrics(results, images=(70, 71), categories=(3, 5)):
    return coco_metrics(ground_truth(Squares(), [0, 1]), results, images, categories)


def test_mask_round_trip():
    mask = np.random.default_rng(0).random((31, 17)) > 0.5
    code = encode_mask(mask)
    assert isinstance(code["counts"], str) and code["size"] == [31, 17]
    np.testing.assert_array_equal(run_length.decode(code), mask)


def test_result_is_what_coco_wants():
    (result,) = encode_detections(detections((square(10, 30, 20), 0.25)), 70, 3)
    code = result.pop("segmentation")
    assert result == {"image_id": 70, "category_id": 3, "bbox": [30, 10, 20, 20], "score": 0.25}
    np.testing.assert_array_equal(run_length.decode(code), square(10, 30, 20))


def test_results_are_read_back_as_they_were_found():
    rng = np.random.default_rng(0)
    found = {
        "rois": np.array([[2, 3, 9, 20], [0, 0, 12, 7]], np.int32),
        "scores": np.array([0.75, 0.5], np.float32),
        "masks": rng.random((12, 20, 2)) < 0.5,
    }
    read = decode_results(json.loads(json.dumps(encode_detections(found, 1, 2))))
    for name, expected in found.items():
        np.testing.assert_array_equal(read[name], expected)
    assert read.class_ids.tolist() == [1, 1]
    nothing = decode_results([])
    assert nothing.rois.shape == (0, 4) and nothing.masks is None


def test_boxes_without_masks():
    found = detections((square(50, 50, 20), 1.0))
    found["masks"] = None
    results = encode_detections(found, 70, 3)
    assert "segmentation" not in results[0]
    assert list(metrics(results)) == ["bbox"]


def test_half_found_is_half_the_precision():
    # One of category 3's two instances: precision 1 up to recall .5, 51 of 101 recall points.
    results = encode_detections(detections((square(50, 50, 20), 0.9)), 70, 3)
    found = metrics(results)
    assert found["segm"]["AP_by_category"] == {3: pytest.approx(51 / 101), 5: 0.0}
    assert found["bbox"]["metrics"]["AP"] == pytest.approx(51 / 101 / 2)
    assert found["bbox"]["metrics"]["AR100"] == pytest.approx(0.25)
    assert tuple(found["bbox"]["metrics"]) == METRICS


def test_shifted_mask_counts_below_its_overlap_only():
    # 20 x 20 shifted by 4: 16 / 24 = .667, right at the thresholds .5, .55, .6, .65 of ten.
    results = encode_detections(detections((square(54, 50, 20), 0.9)), 70, 3)
    assert metrics(results)["segm"]["AP_by_category"][3] == pytest.approx(51 / 101 * 0.4)


def test_crowds_are_neither_right_nor_wrong():
    exact = encode_detections(detections((square(70, 70, 30), 0.5)), 71, 5)
    inside_crowd = encode_detections(detections((square(5, 5, 30), 0.9)), 71, 3)
    elsewhere = encode_detections(detections((square(65, 0, 30), 0.9)), 71, 3)
    right = encode_detections(detections((square(0, 0, 10), 0.5), (square(50, 50, 20), 0.5)), 70, 3)
    assert metrics(exact + right + inside_crowd)["bbox"]["metrics"]["AP"] == 1.0
    assert metrics(exact + right + elsewhere)["bbox"]["metrics"]["AP"] < 1.0


def test_no_results_and_nothing_to_find():
    assert metrics([])["segm"]["metrics"]["AP"] == 0.0
    found = metrics([], images=[70], categories=[5])
    assert found["bbox"]["metrics"]["AP"] == -1.0 and found["bbox"]["AP_by_category"] == {5: -1.0}


def test_neither_truth_nor_results_are_changed():
    truth = ground_truth(Squares(), [0, 1])
    before = repr(truth.dataset)
    results = encode_detections(detections((square(50, 50, 20), 0.9)), 70, 3)
    kept = repr(results)
    coco_metrics(truth, results, [70, 71], [3, 5])
    assert repr(truth.dataset) == before and repr(results) == kept


def test_ids_must_be_different_whole_numbers():
    assert source_ids([{"id": 4}, {"id": np.int64(9)}], "image") == [4, 9]
    with pytest.raises(ValueError, match="has the image id 'cat"):
        source_ids([{"id": 1}, {"id": "cat.jpg"}], "image")
    with pytest.raises(ValueError, match="another id for each class, but two"):
        source_ids([{"id": 1}, {"id": 1}], "class")


def test_annotations_that_somebody_else_read_are_checked(shapes_folder):
    """A number that is none would end the process in pycocotools."""
    dataset = CocoDataset.from_folder(shapes_folder, "test")
    path = shapes_folder / "annotations/instances_val2017.json"
    with contextlib.redirect_stdout(io.StringIO()):
        dataset.coco = COCO(str(path))
    truth = ground_truth(dataset, [0])
    assert truth.anns.keys() == dataset.coco.anns.keys()
    dataset.coco.dataset["annotations"][0]["segmentation"] = [[1, 1, 9, 1, 9, float("nan")]]
    with pytest.raises(AnnotationError, match="data set's coco: the outlines of 1 of"):
        ground_truth(dataset, [0])
