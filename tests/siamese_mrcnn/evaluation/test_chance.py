"""Chance moves boxes and masks together and keeps everything else."""

import numpy as np

from siamese_mrcnn.evaluation.chance import scatter

SHAPE = (40, 60, 3)


def found(count, rng):
    boxes = np.zeros((count, 4), np.int32)
    masks = np.zeros((*SHAPE[:2], count), bool)
    for index in range(count):
        height, width = rng.integers(1, 41), rng.integers(1, 61)
        y1, x1 = rng.integers(0, 41 - height), rng.integers(0, 61 - width)
        boxes[index] = y1, x1, y1 + height, x1 + width
        masks[y1 : y1 + height, x1 : x1 + width, index] = rng.random((height, width)) > 0.4
    return {"rois": boxes, "scores": rng.random(count), "masks": masks, "class_ids": None}


def test_sizes_stay_and_masks_move_along():
    rng = np.random.default_rng(0)
    before = found(50, rng)
    after = scatter(before, SHAPE, rng)
    old, new = before["rois"], after["rois"]
    np.testing.assert_array_equal(new[:, 2:] - new[:, :2], old[:, 2:] - old[:, :2])
    assert new.min() >= 0 and (new[:, 2] <= 40).all() and (new[:, 3] <= 60).all()
    assert (new != old).any(axis=1).sum() > 40
    assert sorted(after["scores"]) == sorted(before["scores"])
    assert (after["scores"] != before["scores"]).any()
    for index, (y1, x1, y2, x2) in enumerate(new):
        inside = after["masks"][y1:y2, x1:x2, index]
        y1, x1, y2, x2 = old[index]
        np.testing.assert_array_equal(inside, before["masks"][y1:y2, x1:x2, index])
        assert after["masks"][:, :, index].sum() == inside.sum()


def test_places_are_even():
    rng = np.random.default_rng(1)
    one = {"rois": np.array([[0, 0, 39, 59]]), "scores": np.ones(1)}
    corners = {tuple(scatter(one, SHAPE, rng)["rois"][0, :2]) for _ in range(60)}
    assert corners == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_nothing_and_boxes_without_masks():
    rng = np.random.default_rng(0)
    assert scatter(found(0, rng), SHAPE, rng)["masks"].shape == (40, 60, 0)
    boxes_only = found(3, rng) | {"masks": None}
    assert scatter(boxes_only, SHAPE, rng)["masks"] is None


def test_the_original_left_masks_where_they_were():
    rng = np.random.default_rng(0)
    before = found(20, rng)
    after = scatter(before, SHAPE, rng, move_masks=False)
    assert (after["rois"] != before["rois"]).any()
    np.testing.assert_array_equal(after["masks"], before["masks"])
