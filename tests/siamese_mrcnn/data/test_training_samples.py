"""Training samples against the slow rule, and batches of them."""

import logging

import numpy as np
import pytest

from drawn_squares import SamplesConfig, Squares
from mrcnn.data.augmentation import HorizontalFlip
from mrcnn.data.training_batches import Batches
from mrcnn.data.training_samples import BrokenSample, SkipSample
from mrcnn.images.image import plan_resize, prepare_image
from mrcnn.images.masks import boxes_of_masks, minimize_masks, resize_masks
from siamese_mrcnn.data import training_samples
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.data.references import sample_references
from siamese_mrcnn.data.training_samples import load_sample


class TinyConfig(SamplesConfig):
    NUM_TARGETS = 2


def rows(sample):
    """Ground truth rows that are not padding."""
    return np.flatnonzero(sample["gt_class_ids"])


def slow_ground_truth(dataset, image_id, class_id, config):
    """Boxes and mini-masks of all instances of a class that survive scaling; all in full size."""
    masks, class_ids = dataset.load_mask(image_id)
    geometry = plan_resize(masks.shape, config.IMAGE_MIN_DIM, config.IMAGE_MAX_DIM)
    small = resize_masks(masks[..., class_ids == class_id], geometry)
    small = small[..., small.any(axis=(0, 1))]
    boxes = boxes_of_masks(small)
    return boxes, minimize_masks(small, boxes, config.MINI_MASK_SHAPE), geometry


@pytest.fixture(scope="module")
def training(shapes_folder):
    return CocoDataset.from_folder(shapes_folder, "train")


def test_ground_truth_is_every_instance_of_one_category_that_the_image_shows(training):
    config = TinyConfig()
    for image_id in training.image_ids[:12]:
        sample = load_sample(training, image_id, config, np.random.default_rng(image_id))
        real = rows(sample)
        matches = []
        for class_id in training.classes_in(image_id):
            boxes, minis, geometry = slow_ground_truth(training, image_id, class_id, config)
            if np.array_equal(boxes, sample["gt_boxes"][real]):
                matches.append(class_id)
                np.testing.assert_array_equal(sample["gt_masks"][..., real], minis)
        assert len(matches) == 1
        assert set(sample["gt_class_ids"][real].tolist()) == {1}
        prepared = prepare_image(training.load_image(image_id), geometry)
        np.testing.assert_array_equal(sample["images"], prepared)
        assert sample["image_metas"][0] == image_id


def test_crowds_and_other_categories_are_background():
    dataset = Squares([(1, 10, 10, 30), (-1, 60, 10, 60), (2, 60, 80, 30)])
    dataset.active_classes = (1,)
    sample = load_sample(dataset, 0, TinyConfig(), np.random.default_rng(0))
    assert sample["gt_class_ids"][:2].tolist() == [1, 0]
    # nearest neighbours keep the ends in place, so pixel 10 of 128 comes from 5 * 127 / 63 = 10.08
    np.testing.assert_array_equal(sample["gt_boxes"][0], [5, 5, 20, 20])
    crowd_free = Squares([(1, 10, 10, 30)])
    alone = load_sample(crowd_free, 0, TinyConfig(), np.random.default_rng(0))
    for name in ("rpn_match", "rpn_deltas"):
        np.testing.assert_array_equal(sample[name], alone[name])


def test_only_active_categories_are_drawn_and_evenly():
    dataset = Squares([(1, 10, 10, 20), (2, 40, 10, 24), (3, 80, 10, 28), (3, 80, 80, 28)])
    dataset.active_classes = (1, 3)
    config, counts = TinyConfig(), {1: 0, 2: 0}
    for n in range(200):
        sample = load_sample(dataset, 0, config, np.random.default_rng([0, n]))
        counts[len(rows(sample))] += 1
    assert abs(counts[1] - 100) < 4 * np.sqrt(50)


def test_an_image_without_active_category_is_skipped_quietly():
    dataset = Squares([(1, 10, 10, 20), (-3, 40, 40, 50)], [(3, 10, 10, 20)])
    dataset.active_classes = (3,)
    with pytest.raises(SkipSample):
        load_sample(dataset, 0, TinyConfig(), np.random.default_rng(0))


def test_a_category_that_vanishes_in_scaling_gives_way_to_the_others():
    dataset = Squares([(1, 1, 1, 1), (2, 40, 10, 24)], [(1, 1, 1, 1)])
    for n in range(10):
        sample = load_sample(dataset, 0, TinyConfig(), np.random.default_rng(n))
        assert sample["gt_boxes"][0].tolist() == [20, 5, 32, 17]
    with pytest.raises(BrokenSample):
        load_sample(dataset, 1, TinyConfig(), np.random.default_rng(0))


def test_more_instances_than_room_are_a_random_subset_for_the_heads_alone():
    class Narrow(TinyConfig):
        MAX_GT_INSTANCES = 2

    dataset = Squares([(1, 32 * n, 32 * n, 20) for n in range(4)])
    seen = set()
    for n in range(20):
        sample = load_sample(dataset, 0, Narrow(), np.random.default_rng(n))
        everything = load_sample(dataset, 0, TinyConfig(), np.random.default_rng(n))
        assert sample["gt_boxes"].shape == (2, 4) and len(rows(everything)) == 4
        np.testing.assert_array_equal(sample["rpn_match"], everything["rpn_match"])
        seen.add(tuple(sorted(sample["gt_boxes"][:, 0].tolist())))
    assert len(seen) == 6


def test_references_show_the_drawn_category_and_may_come_from_the_same_image(monkeypatch):
    dataset = Squares([(1, 10, 10, 20), (2, 40, 10, 24)], [(2, 30, 60, 40)])
    asked = []

    def watch(dataset, class_id, *arguments, **keywords):
        drawn = sample_references(dataset, class_id, *arguments, **keywords)
        asked.append((class_id, [reference.image_id for reference in drawn]))
        return drawn

    monkeypatch.setattr(training_samples, "sample_references", watch)
    for n in range(30):
        sample = load_sample(dataset, 0, TinyConfig(), np.random.default_rng(n))
        first_side = sample["gt_boxes"][0, 2] - sample["gt_boxes"][0, 0]
        assert asked[-1][0] == {10: 1, 12: 2}[first_side]
        assert sample["references"].shape == (2, 32, 32, 3)
        assert sample["references"].dtype == np.uint8
    assert {image for class_id, images in asked for image in images if class_id == 1} == {0}
    assert {image for class_id, images in asked for image in images if class_id == 2} == {0, 1}


def test_augmentation_changes_the_image_and_its_masks():
    dataset = Squares([(1, 10, 0, 20)])
    flip = HorizontalFlip(probability=1)
    sample = load_sample(dataset, 0, TinyConfig(), np.random.default_rng(0), flip)
    plain = load_sample(dataset, 0, TinyConfig(), np.random.default_rng(0))
    assert plain["gt_boxes"][0, 1] == 0 and sample["gt_boxes"][0, 3] == 64
    assert (sample["images"] != plain["images"]).any()


def test_batches_have_the_shapes_that_the_network_expects(training):
    config = TinyConfig()
    x, y = Batches(training, config, steps=3, workers=0, sample_loader=load_sample)[0]
    expected = {
        "images": ((2, 64, 64, 3), np.uint8),
        "image_metas": ((2, 14), np.float32),
        "gt_class_ids": ((2, 30), np.int32),
        "gt_boxes": ((2, 30, 4), np.float32),
        "gt_masks": ((2, 14, 14, 30), np.uint8),
        "roi_priorities": ((2, 500), np.float32),
        "references": ((2, 2, 32, 32, 3), np.uint8),
    }
    assert {name: (array.shape, array.dtype) for name, array in x.items()} == expected
    anchors = 3 * (16**2 + 8**2 + 4**2 + 2**2 + 1)
    assert y["rpn_match"].shape == (2, anchors) and y["rpn_deltas"].shape == (2, 64, 4)


def test_batches_do_not_depend_on_the_number_of_workers(training):
    config = TinyConfig()
    alone = Batches(training, config, steps=4, seed=3, workers=0, sample_loader=load_sample)
    helped = Batches(training, config, steps=4, seed=3, workers=2, sample_loader=load_sample)
    other = Batches(training, config, steps=4, seed=4, workers=0, sample_loader=load_sample)
    try:
        for index in range(4):
            for one, two in zip(alone[index], helped[index], strict=True):
                assert one.keys() == two.keys()
                for name in one:
                    np.testing.assert_array_equal(one[name], two[name])
            assert (alone[index][0]["references"] != other[index][0]["references"]).any()
    finally:
        helped.close()


def test_broken_queries_and_references_are_counted_and_named(shapes_folder, tmp_path, caplog):
    dataset = CocoDataset.from_folder(shapes_folder, "train")
    broken = {0, 1, 2, 3, 4, 5}
    for image_id in broken:
        path = tmp_path / f"broken {image_id}.jpg"
        path.write_bytes(b"nothing")
        dataset.image_info[image_id]["path"] = str(path)
    feed = Batches(dataset, TinyConfig(), steps=14, workers=0, sample_loader=load_sample)
    with caplog.at_level(logging.WARNING):
        for index in range(14):
            feed[index]
    messages = [record.getMessage() for record in caplog.records]
    named = {message.split("broken ")[-1].split(".jpg")[0] for message in messages}
    assert len(messages) == len(named) == 6  # 28 samples: one whole pass over 27 images
    assert feed.replaced > 6  # and references that were drawn again
    assert all("A broken image is replaced" in message for message in messages)
