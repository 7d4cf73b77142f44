"""What was found, for other programs: worked by hand, and read back by them."""

import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from mrcnn.data.postprocessing import Detections
from mrcnn.images.image import ImageError


@pytest.fixture
def found():
    """A triangle in rows 2 to 4, and a bar in columns 5 to 6, of 6 x 8 pixels."""
    masks = np.zeros((6, 8, 2), bool)
    masks[2:5, 1:4, 0] = np.tri(3, dtype=bool)
    masks[0:6, 5:7, 1] = True
    return Detections(
        rois=np.array([[2, 1, 5, 4], [0, 5, 6, 7]], np.int32),
        class_ids=np.array([3, 1], np.int32),
        scores=np.array([0.75, 0.5], np.float32),
        masks=masks,
    )


def test_coco_results_hold_boxes_classes_and_masks(found):
    first, second = json.loads(json.dumps(found.to_coco(70)))
    assert (first["image_id"], first["category_id"], first["score"]) == (70, 3, 0.75)
    assert (second["category_id"], second["bbox"]) == (1, [5, 0, 2, 6])
    assert first["bbox"] == [1, 2, 3, 3]
    for number, result in enumerate((first, second)):
        mask = rle_tools.decode(result["segmentation"])
        np.testing.assert_array_equal(mask, found.masks[..., number])
    found["masks"] = None
    assert all("segmentation" not in each for each in found.to_coco(70))


def test_cut_outs_are_transparent_where_nothing_was_found(found):
    image = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    triangle, bar = found.crops(image)
    assert triangle.shape == (3, 3, 4) and bar.shape == (6, 2, 4) and bar.dtype == np.uint8
    np.testing.assert_array_equal(triangle[..., 3], np.tri(3) * 255)
    np.testing.assert_array_equal(triangle[..., :3], image[2:5, 1:4])
    assert (bar[..., 3] == 255).all()
    assert found.crops(image[..., 0])[0].shape == (3, 3, 4)
    with pytest.raises(ImageError, match="of 6 x 8 pixels, but this one has 6 x 7"):
        found.crops(image[:, :7])
    found["masks"] = None
    assert (found.crops(image)[0][..., 3] == 255).all()


def test_supervision_gets_all_that_is_known(found, monkeypatch):
    library = ModuleType("supervision")
    library.Detections = SimpleNamespace
    monkeypatch.setitem(sys.modules, "supervision", library)
    made = found.to_supervision()
    assert made.xyxy.tolist() == [[1, 2, 4, 5], [5, 0, 7, 6]] and made.xyxy.dtype == np.float32
    np.testing.assert_array_equal(made.mask[1], found.masks[..., 1])
    assert made.class_id.tolist() == [3, 1] and made.confidence.tolist() == [0.75, 0.5]
    assert made.data == {}
    found["labels"] = ["mug", "key"]
    found["masks"] = None
    made = found.to_supervision()
    assert made.mask is None and made.data["class_name"].tolist() == ["mug", "key"]


def test_supervision_itself_takes_it(found):
    pytest.importorskip("supervision")
    found["labels"] = ["mug", "key"]
    assert found.to_supervision()["class_name"].tolist() == ["mug", "key"]
    assert found.to_supervision().area.tolist() == [6, 12]
    assert len(found.rows([]).to_supervision()) == 0


def test_without_supervision_it_says_so(found, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        found.to_supervision()


def test_rows_keep_everything_of_an_instance(found):
    found["labels"] = ["mug", "key"]
    turned = found.rows([1, 0])
    assert turned.labels == ["key", "mug"] and turned.class_ids.tolist() == [1, 3]
    np.testing.assert_array_equal(turned.masks, found.masks[..., ::-1])
    none = found.rows([])
    assert len(none) == 0 and none.masks.shape == (6, 8, 0) and none.labels == []
