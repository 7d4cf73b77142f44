"""Large photos in tiles: what a detector sees, what becomes of its finds, and with a network."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from found import assert_same_found
from mrcnn.data.postprocessing import Detections
from mrcnn.images.image import ImageError
from mrcnn.images.masks import boxes_of_masks
from mrcnn.ops.boxes import overlaps
from siamese_mrcnn.search.reference import Reference
from siamese_mrcnn.tiles import TilesMethods, view_windows
from tiny import picture, tiny_siamese_model

SIDE, LEAST, SCALED = 64, 8, 4  # of the network's image; of what it sees; of drawn things


class Shortsighted(TilesMethods):
    """Sees white rectangles of at least `LEAST` pixels in an image of `SIDE` pixels.

    A cut one scores more than a whole one. A red point in it makes it what must not be found.
    """

    def __init__(self):
        self.config, self.keep_mask = SimpleNamespace(IMAGE_MAX_DIM=SIDE, BATCH_SIZE=1), None
        self.shapes = []

    def encode_one_by_one(self, images):
        for image in images:
            self.shapes.append(image.shape[:2])
            yield image

    def find(self, image):
        scale = min(1, SIDE / max(image.shape[:2]))
        white = (image[..., 1] > 127).astype(np.uint8)
        _, labels = cv2.connectedComponents(white)
        masks = [labels == number for number in range(1, labels.max() + 1)]
        boxes = [boxes_of_masks(mask[..., None])[0] for mask in masks]
        seen = [min(box[2:] - box[:2]) * scale >= LEAST for box in boxes]
        masks, boxes = (
            [x for x, s in zip(each, seen, strict=True) if s] for each in (masks, boxes)
        )
        red = [(image[mask][:, 2] < 10).any() for mask in masks]
        shape = image.shape[:2]
        negatives = self._found([], np.array(boxes)[red], shape)
        return self._found(masks, boxes, shape), [negatives]

    def _found(self, masks, boxes, shape):
        boxes = np.array(boxes, np.int32).reshape(-1, 4)
        at_edge = (boxes[:, :2] == 0).any(axis=1) | (boxes[:, 2:] == shape).any(axis=1)
        return Detections(
            rois=boxes,
            class_ids=np.ones(len(boxes), np.int32),
            scores=np.where(at_edge, 0.9, 0.7).astype(np.float32),
            masks=list(map(self.keep_mask, masks)),
        )


def photo(*boxes, shape=(200, 300)):
    """White rectangles on black."""
    image = np.zeros((*shape, 3), np.uint8)
    for y1, x1, y2, x2 in boxes:
        image[y1:y2, x1:x2] = 255
    return image


def test_small_things_are_found_once_and_large_ones_whole():
    small = [(y, x, y + 9, x + 9) for y in range(5, 90, 20) for x in range(5, 290, 20)]
    large = (120, 10, 190, 290)
    model = Shortsighted()
    found = model.find_in_tiles(photo(*small, large), model.find)
    assert sorted(map(tuple, found.rois.tolist())) == sorted([*small, large])
    for index, (y1, x1, y2, x2) in enumerate(found.rois):
        mask = found.masks[:, :, index]
        assert mask.sum() == mask[y1:y2, x1:x2].sum() == (y2 - y1) * (x2 - x1)
    assert model.shapes[0] == (200, 300)
    assert set(model.shapes[1:]) == {(SIDE, SIDE), (2 * SIDE, 2 * SIDE), (200, 4 * SIDE)}
    assert model.keep_mask is None


@pytest.mark.parametrize("size", [9, 30, 55, 90])
def test_what_is_larger_than_the_overlap_is_found_whole_wherever_it_lies(size):
    """Of 64 pixels 13 are shared; a thing of 55 lies whole in few of such tiles."""
    rng = np.random.default_rng(size)
    for _ in range(6):
        top, left = (int(rng.integers(0, length - size)) for length in (200, 700))
        box = (top, left, top + size, left + size)
        model = Shortsighted()
        found = model.find_in_tiles(photo(box, shape=(200, 700)), model.find)
        assert found.rois.tolist() == [list(box)]


def test_a_photo_that_is_a_tile_is_searched_once():
    model = Shortsighted()
    found = model.find_in_tiles(photo((5, 5, 20, 20), shape=(50, 64)), model.find)
    assert found.rois.tolist() == [[5, 5, 20, 20]] and model.shapes == [(50, 64)]
    assert (
        view_windows((100, 64), 64)[0] == (0, 0, 100, 64) and len(view_windows((100, 64), 64)) == 3
    )
    assert len(model.find_in_tiles(photo(), model.find)) == 0


def test_a_piece_of_what_must_not_be_found_is_not_found():
    """The whole one is refuted; of its pieces, the one without the red point would be left."""
    image = photo((20, 30, 40, 62))
    image[30, 58] = (255, 255, 0)
    model = Shortsighted()
    scores = {}

    def find(part):
        found, (negative,) = model.find(part)
        negative["scores"] = negative["scores"] + 0.25
        scores[len(scores)] = found.scores.tolist()
        return found, [negative]

    assert len(model.find_in_tiles(image, model.find)) > 0  # as sure is not surer
    found = model.find_in_tiles(image, find)
    assert sum(map(len, scores.values())) > 1 and len(found) == 0


def test_tiny_tiles_are_refused():
    model = Shortsighted()
    with pytest.raises(ImageError, match="at least 32 pixels a side, but is to have 8"):
        model.find_in_tiles(photo(), model.find, 8)


# --- with a network -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_siamese_model("inference", tmp_path_factory.mktemp("logs"))


def test_one_tile_finds_what_is_found_without(model):
    image, crop = picture(60, 90, 1), picture(30, 30, 2)
    (expected,) = model.detect(crop, [image])
    (found,) = model.detect(crop, [image], tiles=True)
    assert 0 < len(found) == len(expected)
    found["masks"] = np.asarray(found.masks)
    assert_same_found(found, expected)


def test_tiles_go_with_names_and_without(model):
    image, crops = picture(200, 300, 3), [picture(30, 20 + each, each) for each in range(3)]
    (plain,) = model.detect(crops[0], [image], tiles=64)
    (named,) = model.detect({"mug": [Reference(crops[0])]}, [image], tiles=64)
    np.testing.assert_allclose(plain.scores, named.scores, rtol=1e-4)
    assert len(plain) > 0 and named.labels == ["mug"] * len(plain)
    assert (overlaps(plain.rois, named.rois).max(axis=1) > 0.9).all()
    assert plain.masks.shape == (200, 300, len(plain))
    assert len(named.to_coco(1)) == len(named.crops(image)) == len(plain)
    (several,) = model.detect({"a": crops[0], "b": crops[1]}, [image], tiles=64)
    (without,) = model.detect({"a": crops[0]}, [image], negatives={"c": crops[1]}, tiles=64)
    assert len(several) > 0 and set(several.labels) <= {"a", "b"}
    assert len(without) < len(plain)
    each_its_own = model.detect([crops[0], crops[1]], [image, image], tiles=64)
    np.testing.assert_allclose(each_its_own[0].scores, plain.scores, rtol=1e-4)
    assert len(each_its_own) == 2 and model.keep_mask is None
