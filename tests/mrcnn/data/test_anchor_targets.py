import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.data.anchor_targets import (
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    anchor_grid,
    anchor_targets,
    label_anchors,
)
from mrcnn.ops import boxes
from mrcnn.ops.anchors import pyramid_anchors


class Small(Config):
    NUM_CLASSES = 3
    IMAGE_MIN_DIM = 256
    IMAGE_MAX_DIM = 256
    RPN_TRAIN_ANCHORS_PER_IMAGE = 64


class SmallC4(Small):
    FEATURES = "c4"
    POOL_SIZE = 14
    MASK_SHAPE = [14, 14]
    BACKBONE = "resnet50"


class SmallDetectronC4(SmallC4):
    CONVENTIONS = "detectron"


class SmallDetectron(Small):
    CONVENTIONS = "detectron"


KINDS = [Small, SmallC4, SmallDetectron, SmallDetectronC4]


def slow_labels(anchors, objects, crowds):
    """The rule on the whole table of overlaps."""
    outside = np.ones(len(anchors), bool)
    if len(crowds):
        outside = boxes.overlaps(anchors, crowds).max(axis=1) < 0.001
    table = np.zeros((len(anchors), 1))
    if len(objects):
        table = boxes.overlaps(anchors, objects)
    labels = np.zeros(len(anchors), np.int32)
    labels[(table.max(axis=1) < 0.3) & outside] = -1
    if len(objects):
        labels[table.argmax(axis=0)] = 1
        labels[table.max(axis=1) >= 0.7] = 1
    return labels


def random_boxes(rng, shape, count):
    sizes = np.exp(rng.uniform(0, np.log(min(shape)), (count, 2)))
    corners = rng.uniform(0, 1, (count, 2)) * (np.array(shape) - sizes)
    return np.concatenate([corners, corners + sizes], axis=1).round()


@pytest.mark.parametrize("shape", [(256, 256), (128, 320), (512, 512)])
@pytest.mark.parametrize("anchor_stride", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_labels_against_the_whole_table(shape, anchor_stride, kind):
    rng = np.random.default_rng(0)
    config = kind()
    config.RPN_ANCHOR_STRIDE = anchor_stride
    grid = anchor_grid(config, shape)
    for round_ in range(12):
        found = random_boxes(rng, shape, int(rng.integers(0, 15)))
        crowds = round_ % 3
        objects, crowds = found[crowds:], found[:crowds]
        np.testing.assert_array_equal(
            label_anchors(grid, objects, crowds), slow_labels(grid.anchors, objects, crowds)
        )


@pytest.mark.parametrize(
    "box",
    [
        [900, 900, 950, 950],  # beyond all anchors: numpy's argmax of zeros is 0
        [7, 7, 7, 90],  # no area
        [100, 100, 101, 101],  # tiny: many anchors hold it, all overlap the same
        [0, 0, 256, 256],
        [3, 0, 4, 256],  # a line
    ],
)
def test_odd_boxes_against_the_whole_table(box):
    grid = anchor_grid(Small(), (256, 256))
    box = np.array([box], np.float64)
    np.testing.assert_array_equal(
        label_anchors(grid, box, box[:0]), slow_labels(grid.anchors, box, box[:0])
    )
    np.testing.assert_array_equal(
        label_anchors(grid, box[:0], box), slow_labels(grid.anchors, box[:0], box)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_grid_has_the_anchors_of_the_pyramid(kind):
    grid = anchor_grid(kind(), (128, 320, 3))
    np.testing.assert_array_equal(
        grid.anchors.astype(np.float32), pyramid_anchors(kind(), (128, 320, 3))
    )


def test_one_box_by_hand():
    # The square anchor of P2 in cell (10, 20) has its centre at (40, 80) and the side 32.
    here = (10 * 64 + 20) * 3 + 1
    match, deltas = anchor_targets(
        (256, 256), [1], [[26, 66, 58, 98]], Small(), np.random.default_rng(0)
    )
    assert match[here] == POSITIVE
    assert match.dtype == np.int32
    assert deltas.dtype == np.float32
    assert deltas.shape == (64, 4)
    # Its centre is (42, 82): two pixels further, in 32 pixels, in units of .1.
    row = np.flatnonzero(np.flatnonzero(match == POSITIVE) == here)[0]
    np.testing.assert_allclose(deltas[row], [0.625, 0.625, 0, 0], atol=1e-6)


def test_the_number_is_kept_and_half_of_it_at_most_is_positive():
    many = [[y, x, y + 32, x + 32] for y in range(0, 220, 12) for x in range(0, 220, 12)]
    for objects, positive in ((many, 32), ([[100, 100, 140, 130]], None)):
        match, deltas = anchor_targets(
            (256, 256), np.ones(len(objects)), objects, Small(), np.random.default_rng(1)
        )
        count = (match == POSITIVE).sum()
        assert count == positive or positive is None
        assert (match == NEGATIVE).sum() == 64 - count
        assert not deltas[count:].any()


def test_deltas_lead_from_the_anchors_to_the_boxes_in_order():
    rng = np.random.default_rng(2)
    objects = random_boxes(rng, (256, 256), 5)
    config = Small()
    match, deltas = anchor_targets((256, 256), np.ones(5), objects, config, rng)
    anchors = pyramid_anchors(config, (256, 256))[match == POSITIVE].astype(np.float64)
    reached = boxes.decode_deltas(anchors, deltas[: len(anchors)] * config.RPN_BBOX_STD_DEV)
    best = objects[boxes.overlaps(anchors, objects).argmax(axis=1)]
    np.testing.assert_allclose(reached, best, atol=1e-3)


def test_sampling_only_makes_anchors_neutral_and_follows_the_generator():
    objects = random_boxes(np.random.default_rng(3), (256, 256), 6)
    full = label_anchors(anchor_grid(Small(), (256, 256)), objects, objects[:0])
    first, again, other = (
        anchor_targets((256, 256), np.ones(6), objects, Small(), np.random.default_rng(seed))[0]
        for seed in (4, 4, 5)
    )
    assert ((first == full) | (first == NEUTRAL)).all()
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_crowds_are_not_background():
    crowd = [[50, 50, 200, 200]]
    match, deltas = anchor_targets((256, 256), [-1], crowd, Small(), np.random.default_rng(6))
    anchors = anchor_grid(Small(), (256, 256)).anchors
    assert (match == NEGATIVE).sum() == 64
    assert boxes.overlaps(anchors[match == NEGATIVE], np.array(crowd)).max() < 0.001
    assert not (match == POSITIVE).any()
    assert not deltas.any()
