import numpy as np

from mrcnn import utils
from mrcnn.config import Config
from mrcnn.data.dataset import Dataset
from mrcnn.ops.anchors import pyramid_anchors


def test_the_dataset_is_where_it_was():
    assert utils.Dataset is Dataset


def test_overlaps_by_their_old_names():
    box, others = np.array([0, 0, 10, 10]), np.array([[0, 5, 10, 15], [0, 0, 10, 10]])
    area, areas = 100, np.array([100, 100])
    np.testing.assert_allclose(utils.compute_iou(box, others, area, areas), [1 / 3, 1])
    np.testing.assert_allclose(utils.compute_overlaps(box[None], others), [[1 / 3, 1]])


def test_boxes_by_their_old_names():
    box, target = np.array([[0, 0, 10, 20]]), np.array([[5, 0, 25, 20]])
    deltas = utils.box_refinement(box, target)
    np.testing.assert_allclose(deltas, [[1, 0, np.log(2), 0]], rtol=1e-6)
    np.testing.assert_allclose(utils.apply_box_deltas(box, deltas), target, atol=1e-4)
    np.testing.assert_array_equal(
        utils.denorm_boxes(utils.norm_boxes(target, (30, 40)), (30, 40)), target
    )


def test_image_and_masks_by_their_old_names():
    image = np.full((50, 100, 3), 9, np.uint8)
    mask = np.zeros((50, 100, 1), bool)
    mask[10:40, 20:80] = True
    prepared, window, scale, padding, crop = utils.resize_image(image, 64, 128, mode="square")
    assert prepared.shape == (128, 128, 3)
    assert window == (32, 0, 96, 128)
    assert scale == 1.28
    assert padding == [(32, 32), (0, 0), (0, 0)]
    assert crop is None
    scaled = utils.resize_mask(mask, scale, padding)
    assert scaled.shape == (128, 128, 1)
    boxes = utils.extract_bboxes(scaled)
    np.testing.assert_allclose(boxes, [[45, 26, 83, 102]], atol=1)
    minis = utils.minimize_mask(boxes, scaled, (28, 28))
    assert minis.all()
    back = utils.expand_mask(boxes, minis, (128, 128, 3))
    np.testing.assert_array_equal(back, scaled)
    np.testing.assert_array_equal(
        utils.unmold_mask(np.ones((28, 28)), boxes[0], (128, 128, 3)), scaled[..., 0]
    )


def test_crop_by_its_old_name():
    image = np.random.default_rng(0).integers(0, 2, (80, 100, 3)).astype(np.uint8)
    prepared, _, scale, padding, crop = utils.resize_image(image, 64, None, mode="crop")
    mask = utils.resize_mask(image[..., :1] > 0, scale, padding, crop)
    np.testing.assert_array_equal(mask[..., 0], prepared[..., 0] > 0)


def test_anchors_by_their_old_names():
    config = Config()
    shapes = [(128 // stride, 64 // stride) for stride in config.BACKBONE_STRIDES]
    anchors = utils.generate_pyramid_anchors(
        config.RPN_ANCHOR_SCALES, config.RPN_ANCHOR_RATIOS, shapes, config.BACKBONE_STRIDES, 1
    )
    np.testing.assert_allclose(anchors, pyramid_anchors(config, (128, 64)), atol=1e-4)
    four = utils.generate_pyramid_anchors(
        (32, 64, 128, 256), config.RPN_ANCHOR_RATIOS, shapes, config.BACKBONE_STRIDES, 1
    )
    np.testing.assert_array_equal(four, anchors[: len(four)])
    # Several scales in one cell: ratio by ratio, the scales of each.
    cell = utils.generate_anchors([8, 16], [1, 4], (1, 1), 4, 1)
    np.testing.assert_array_equal(cell[:, 2] - cell[:, 0], [8, 16, 4, 8])


def test_suppression_by_hand():
    boxes = np.array([[0, 0, 10, 10], [0, 1, 10, 11], [0, 8, 10, 18], [50, 50, 60, 60]])
    kept = utils.non_max_suppression(boxes, np.array([0.6, 0.9, 0.8, 0.1]), 0.5)
    assert kept.dtype == np.int32
    assert kept.tolist() == [1, 2, 3]
    assert utils.non_max_suppression(boxes, np.array([0.6, 0.9, 0.8, 0.1]), 0.1).tolist() == [1, 3]
