"""References against the slow rule: prepare whole images, cut, prepare again."""

import logging

import cv2
import numpy as np
import pytest
from PIL import Image

from mrcnn.data.dataset import Dataset
from mrcnn.images.image import ImageError, plan_resize, prepare_image
from mrcnn.images.masks import boxes_of_masks, resize_masks
from siamese_mrcnn.config import Config
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.data.references import (
    NoReferenceError,
    load_reference,
    prepare_reference,
    sample_reference,
    sample_references,
)

DOT, SQUARE, STRIP = 1, 2, 3  # class ids


class SmallConfig(Config):
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 64
    TARGET_MIN_DIM = 24
    TARGET_MAX_DIM = 32


class Scenes(Dataset):
    """Pictures of 256 x 192 pixels, scaled by a quarter: dots of one pixel mostly vanish."""

    # image: [(class id, y1, x1, y2, x2)], negative class ids for crowds
    CONTENT = (
        [(DOT, 1, 1, 2, 2), (SQUARE, 20, 30, 60, 70), (SQUARE, 100, 100, 101, 101)],
        [(SQUARE, 8, 8, 40, 41), (SQUARE, 90, 20, 130, 60), (SQUARE, 0, 150, 20, 192)],
        [(SQUARE, 101, 103, 102, 104), (STRIP, 40, 10, 46, 180)],
        [(-STRIP, 40, 10, 46, 180), (SQUARE, 3, 3, 4, 4), (SQUARE, 200, 100, 256, 192)],
    )

    def __init__(self):
        super().__init__()
        for class_id, name in ((DOT, "dot"), (SQUARE, "square"), (STRIP, "strip")):
            self.add_class("drawn", class_id, name)
        for number in range(len(self.CONTENT)):
            self.add_image("drawn", number, f"scene {number}")
        self.prepare()

    def load_image(self, image_id):
        rng = np.random.default_rng(image_id)
        return rng.integers(0, 256, (256, 192, 3), dtype=np.uint8)

    def load_mask(self, image_id):
        masks = np.zeros((256, 192, len(self.CONTENT[image_id])), bool)
        for index, (_, y1, x1, y2, x2) in enumerate(self.CONTENT[image_id]):
            masks[y1:y2, x1:x2, index] = True
        return masks, np.array([item[0] for item in self.CONTENT[image_id]], np.int32)


def slow_candidates(dataset, class_id, config):
    """For each image all (index in load_mask, box, crop prepared) of the class that survive."""
    candidates = {}
    for image_id in dataset.image_ids:
        image = dataset.load_image(image_id)
        masks, class_ids = dataset.load_mask(image_id)
        geometry = plan_resize(image.shape, config.IMAGE_MIN_DIM, config.IMAGE_MAX_DIM)
        prepared = prepare_image(image, geometry)
        small = resize_masks(masks, geometry)
        survivors = [
            (index, tuple(box.tolist()))
            for index, box in enumerate(boxes_of_masks(small))
            if class_ids[index] == class_id and small[..., index].any()
        ]
        if survivors:
            candidates[int(image_id)] = [
                (index, box, slow_prepare(prepared[box[0] : box[2], box[1] : box[3]], config))
                for index, box in survivors
            ]
    return candidates


def slow_prepare(crop, config):
    shape = plan_resize(crop.shape, config.TARGET_MIN_DIM, config.TARGET_MAX_DIM)
    return prepare_image(crop, shape)


def test_every_draw_is_one_of_the_slow_rule_and_all_are_reached_evenly():
    dataset, config, rng = Scenes(), SmallConfig(), np.random.default_rng(0)
    candidates = slow_candidates(dataset, SQUARE, config)
    assert {image_id: len(found) for image_id, found in candidates.items()} == {0: 1, 1: 3, 3: 1}
    expected = {
        (image_id, index): (box, picture)
        for image_id, found in candidates.items()
        for index, box, picture in found
    }
    draws, counts = 1500, dict.fromkeys(expected, 0)
    for _ in range(draws):
        reference = sample_reference(dataset, SQUARE, config, rng)
        key = (reference.image_id, reference.annotation_id)
        box, picture = expected[key]
        assert reference.box == box and reference.class_id == SQUARE
        np.testing.assert_array_equal(reference.picture, picture)
        counts[key] += 1
    for (image_id, _), count in counts.items():
        probability = 1 / 3 / len(candidates[image_id])
        spread = np.sqrt(draws * probability * (1 - probability))
        assert abs(count - draws * probability) < 4 * spread


def test_coco_references_equal_the_slow_rule(shapes_folder):
    dataset = CocoDataset.from_folder(shapes_folder, "train")
    config, rng = SmallConfig(), np.random.default_rng(1)
    for class_id in dataset.active_classes:
        candidates = slow_candidates(dataset, class_id, config)
        reference = sample_reference(dataset, class_id, config, rng)
        box_and_picture = {
            dataset.instances_of(reference.image_id, class_id)[position]: (box, picture)
            for position, (_, box, picture) in enumerate(candidates[reference.image_id])
        }
        box, picture = box_and_picture[reference.annotation_id]
        assert reference.box == box
        np.testing.assert_array_equal(reference.picture, picture)
        assert reference.picture.shape == (32, 32, 3) and reference.picture.dtype == np.uint8


def test_a_square_of_known_place_worked_by_hand():
    """A quarter of the size, then scaled up to about 24 pixels, in the middle."""
    dataset, config = Scenes(), SmallConfig()
    reference = load_reference(dataset, 1, 0, config)
    y1, x1, y2, x2 = reference.box
    assert (y1, y2) == (2, 10) and 9 <= x1 <= 11 and 7 <= x2 - x1 <= 9
    assert reference.picture[:4].sum() == 0 and reference.picture[-4:].sum() == 0
    assert reference.picture[4:28, 5:27].min(axis=2).mean() > 20


def test_an_image_can_be_excluded():
    dataset, config, rng = Scenes(), SmallConfig(), np.random.default_rng(0)
    drawn = {sample_reference(dataset, SQUARE, config, rng, 1).image_id for _ in range(60)}
    assert drawn == {0, 3}
    with pytest.raises(NoReferenceError, match="no other images"):
        sample_reference(dataset, STRIP, config, rng, exclude_image=2)


def test_k_references_are_independent_draws():
    dataset, config, rng = Scenes(), SmallConfig(), np.random.default_rng(3)
    assert len(sample_references(dataset, SQUARE, config, rng)) == 1
    drawn = sample_references(dataset, STRIP, config, rng, shots=4)
    assert [reference.annotation_id for reference in drawn] == [1, 1, 1, 1]
    many = sample_references(dataset, SQUARE, config, rng, shots=40)
    assert len({(item.image_id, item.annotation_id) for item in many}) == 5


def test_the_same_rng_draws_the_same():
    dataset, config = Scenes(), SmallConfig()
    first, second = (
        sample_references(dataset, SQUARE, config, np.random.default_rng(7), 5) for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        assert (one.image_id, one.annotation_id) == (other.image_id, other.annotation_id)


def test_a_saved_reference_is_cut_out_again(shapes_folder):
    dataset = CocoDataset.from_folder(shapes_folder, "test")
    config = SmallConfig()
    drawn = sample_reference(dataset, dataset.classes_in(0)[0], config, np.random.default_rng(0))
    again = load_reference(dataset, drawn.image_id, drawn.annotation_id, config)
    np.testing.assert_array_equal(drawn.picture, again.picture)
    assert (again.box, again.class_id) == (drawn.box, drawn.class_id)
    assert again.image_id == drawn.image_id and again.annotation_id == drawn.annotation_id


def test_classes_without_a_usable_instance_end_in_a_sentence():
    dataset, config, rng = Scenes(), SmallConfig(), np.random.default_rng(0)
    with pytest.raises(NoReferenceError, match=r"class 1 \(dot\).*survives scaling"):
        sample_reference(dataset, DOT, config, rng)
    dataset = Scenes()
    dataset.CONTENT = [[(-STRIP, 0, 0, 9, 9)]] * 4
    with pytest.raises(NoReferenceError, match=r"class 3 \(strip\).*has no images"):
        sample_reference(dataset, STRIP, config, rng)
    with pytest.raises(NoReferenceError, match="vanishes at 64 x 64"):
        load_reference(Scenes(), 0, 2, config)
    with pytest.raises(NoReferenceError, match="no class 9"):
        sample_reference(dataset, 9, config, rng)


def test_broken_images_are_named_handed_on_and_drawn_again(tmp_path, shapes_folder, caplog):
    dataset = CocoDataset.from_folder(shapes_folder, "train")
    config, rng = SmallConfig(), np.random.default_rng(0)
    class_id = max(dataset.active_classes, key=lambda number: len(dataset.images_with(number)))
    images = dataset.images_with(class_id)
    for image_id in images[:-1]:
        path = tmp_path / f"broken {image_id}.jpg"
        path.write_bytes(b"nothing")
        dataset.image_info[image_id]["path"] = str(path)
    broken = []
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            reference = sample_reference(dataset, class_id, config, rng, broken=broken)
            assert reference.image_id == images[-1]
        assert broken and not caplog.text  # whoever collects them tells
        assert all("broken" in path and "not an image" in why for path, why in broken)
        while not caplog.text:
            sample_reference(dataset, class_id, config, rng)
    assert "Drew another reference, because " in caplog.text
    dataset.image_info[images[-1]]["path"] = str(tmp_path / "missing.jpg")
    with pytest.raises(NoReferenceError, match=f"after trying {len(images)} of its images"):
        sample_reference(dataset, class_id, config, rng)


def test_an_own_crop_may_be_a_file_grey_or_transparent(tmp_path):
    config = SmallConfig()
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    prepared = prepare_reference(crop, config)
    assert prepared.shape == (32, 32, 3) and prepared.dtype == np.uint8
    # 20 x 30 would become 24 x 36 at the least side of 24, so the long side decides: 21 x 32.
    assert prepared[5:26].any(axis=(1, 2)).all() and not prepared[:5].any()
    path = tmp_path / "crop.png"
    cv2.imwrite(str(path), crop[..., ::-1])
    np.testing.assert_array_equal(prepare_reference(path, config), prepared)
    np.testing.assert_array_equal(prepare_reference(str(path), config), prepared)
    with_alpha = np.concatenate([crop, np.full((20, 30, 1), 255, np.uint8)], axis=2)
    np.testing.assert_array_equal(prepare_reference(with_alpha, config), prepared)
    grey = prepare_reference(crop[..., 0], config)
    np.testing.assert_array_equal(grey[..., 1], prepared[..., 0])


def test_a_photo_is_turned_upright(tmp_path):
    config = SmallConfig()
    picture = np.zeros((24, 32, 3), np.uint8)
    picture[:12] = 250
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise for display
    path = tmp_path / "photo.png"
    Image.fromarray(picture).save(path, exif=exif)
    upright = prepare_reference(np.rot90(picture, -1).copy(), config)
    np.testing.assert_array_equal(prepare_reference(path, config), upright)


def test_a_crop_that_fits_is_not_scaled_down():
    crop = np.full((26, 31, 3), 200, np.uint8)
    prepared = prepare_reference(crop, SmallConfig())
    np.testing.assert_array_equal(prepared[3:29, 0:31], crop)


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (0, 0)])
def test_an_empty_crop_is_refused(shape):
    with pytest.raises(ImageError, match="at least one pixel"):
        prepare_reference(np.zeros(shape, np.uint8), SmallConfig())
