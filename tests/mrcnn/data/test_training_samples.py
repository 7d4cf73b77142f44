"""One training sample: worked by hand, its anchors, what is cut, what vanishes."""

import numpy as np
import pytest

from mrcnn.data.augmentation import HorizontalFlip
from mrcnn.data.training_samples import BrokenSample, SkipSample, load_sample, prepare_sample
from mrcnn.ops import boxes
from mrcnn.ops.anchors import pyramid_anchors
from rectangles import Rectangles, Small


def generator(seed=0):
    return np.random.default_rng(seed)


def test_sample_by_hand():
    sample = load_sample(Rectangles(8), 7, Small(), generator())
    assert sample["images"].shape == (128, 128, 3)
    assert sample["images"][0, 0, 0] == 0  # padding
    assert sample["images"][25, 20, 0] in (7, 107)
    assert sample["gt_class_ids"].tolist() == [2, 1, 2, 0]
    assert sample["image_metas"][:11].tolist() == [7, 80, 90, 3, 128, 128, 3, 24, 19, 104, 109]
    assert sample["image_metas"][12:].tolist() == [1, 1, 1]
    inside = Rectangles(8).rectangles(7).clip(0, (80, 90, 80, 90))
    expected = inside + np.array([24, 19, 24, 19])
    np.testing.assert_array_equal(sample["gt_boxes"][:3], expected)
    assert not sample["gt_boxes"][3].any()
    assert sample["gt_masks"].shape == (14, 14, 4)
    assert sample["gt_masks"][..., :3].all()  # rectangles fill their boxes
    assert not sample["gt_masks"][..., 3].any()
    assert sample["roi_priorities"].shape == (20,)
    assert 0 <= sample["roi_priorities"].min() < sample["roi_priorities"].max() < 1


def test_anchors_of_a_sample_belong_to_its_boxes():
    config = Small()
    sample = load_sample(Rectangles(8), 7, config, generator())
    anchors = pyramid_anchors(config, (128, 128)).astype(np.float64)
    positive = anchors[sample["rpn_match"] == 1]
    table = boxes.overlaps(positive, sample["gt_boxes"][:3].astype(np.float64))
    reached = boxes.decode_deltas(
        positive, sample["rpn_deltas"][: len(positive)] * config.RPN_BBOX_STD_DEV
    )
    np.testing.assert_allclose(reached, sample["gt_boxes"][table.argmax(axis=1)], atol=1e-3)


def test_full_size_masks():
    config = Small()
    config.USE_MINI_MASK = False
    sample = load_sample(Rectangles(8), 6, config, generator())
    assert sample["gt_masks"].shape == (128, 128, 4)
    y1, x1, y2, x2 = sample["gt_boxes"][0].astype(int)
    assert sample["gt_masks"][y1:y2, x1:x2, 0].all()
    assert sample["gt_masks"][..., 0].sum() == (y2 - y1) * (x2 - x1)


def test_too_many_instances_are_a_random_subset_for_the_heads_but_all_count_for_the_anchors():
    masks = np.zeros((128, 128, 6), bool)
    for index in range(6):
        masks[:, index * 20 : index * 20 + 18, index] = True
    image = np.zeros((128, 128, 3), np.uint8)
    drawn = set()
    for seed in range(5):
        sample = prepare_sample(
            0, image, masks, np.arange(1, 7), [1, 1, 1], Small(), generator(seed)
        )
        assert len(set(sample["gt_class_ids"].tolist()) & {1, 2, 3, 4, 5, 6}) == 4
        left = (sample["gt_class_ids"] - 1) * 20
        np.testing.assert_array_equal(sample["gt_boxes"][:, 1], left)
        drawn.add(tuple(sample["gt_class_ids"].tolist()))
        anchors = pyramid_anchors(Small(), (128, 128))[sample["rpn_match"] == 1]
        assert len(anchors) >= 6
    assert len(drawn) > 1


def test_crowds_keep_their_negative_class():
    masks = np.zeros((80, 80, 2), bool)
    masks[:30, :30, 0] = masks[40:, 40:, 1] = True
    sample = prepare_sample(
        0, np.zeros((80, 80, 3), np.uint8), masks, [-1, 2], [1, 1, 1], Small(), generator()
    )
    assert sample["gt_class_ids"].tolist() == [-1, 2, 0, 0]


def test_instances_that_vanish_take_their_class_with_them():
    masks = np.zeros((80, 80, 3), bool)
    masks[:30, :30, 0] = masks[40:, 40:, 2] = True
    sample = prepare_sample(
        0, np.zeros((80, 80, 3), np.uint8), masks, [1, 5, 2], [1, 1, 1], Small(), generator()
    )
    assert sample["gt_class_ids"].tolist() == [1, 2, 0, 0]


def test_samples_that_show_nothing():
    with pytest.raises(SkipSample):
        load_sample(Rectangles(8), 4, Small(), generator())
    with pytest.raises(BrokenSample, match="no pixel"):
        prepare_sample(
            0, np.zeros((9, 9, 3), np.uint8), [np.zeros((9, 9))], [1], [1], Small(), generator()
        )


def test_augmentation_moves_image_and_masks_together():
    plain = load_sample(Rectangles(8), 5, Small(), generator())
    flipped = load_sample(Rectangles(8), 5, Small(), generator(), HorizontalFlip(1))
    assert (plain["images"] != flipped["images"]).any()
    y1, x1, y2, x2 = flipped["gt_boxes"][0].astype(int)
    assert (flipped["images"][y1:y2, x1:x2] == 105).all()
