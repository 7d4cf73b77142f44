import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.ops.anchors import feature_shape, level_anchors, level_sizes, pyramid_anchors


class C4Config(Config):
    FEATURES = "c4"
    BACKBONE = "resnet50"
    POOL_SIZE = 14
    MASK_SHAPE = [14, 14]
    RPN_ANCHOR_RATIOS = [2, 1, 0.5]


def slow_anchors(scale, ratios, shape, stride, anchor_stride):
    anchors = []
    for row in range(0, shape[0], anchor_stride):
        for column in range(0, shape[1], anchor_stride):
            for ratio in ratios:
                height, width = scale / ratio**0.5, scale * ratio**0.5
                y, x = row * stride, column * stride
                anchors.append([y - height / 2, x - width / 2, y + height / 2, x + width / 2])
    return np.array(anchors)


def test_anchors_by_hand():
    anchors = level_anchors(32, [0.25, 1, 4], (1, 2), 4)
    expected = [
        [-32, -8, 32, 8],
        [-16, -16, 16, 16],
        [-8, -32, 8, 32],
        [-32, -4, 32, 12],
        [-16, -12, 16, 20],
        [-8, -28, 8, 36],
    ]
    np.testing.assert_array_equal(anchors, expected)


@pytest.mark.parametrize("anchor_stride", [1, 2, 3])
def test_anchors_against_loops(anchor_stride):
    arguments = (64, [0.5, 1, 2], (5, 7), 8, anchor_stride)
    np.testing.assert_allclose(level_anchors(*arguments), slow_anchors(*arguments), atol=1e-12)


def test_ratios_keep_the_area():
    anchors = level_anchors(128, [0.5, 1, 2, 3], (1, 1), 32)
    sizes = anchors[:, 2:] - anchors[:, :2]
    np.testing.assert_allclose(sizes.prod(axis=1), 128**2)
    np.testing.assert_allclose(sizes[:, 1] / sizes[:, 0], [0.5, 1, 2, 3])


def test_pyramid_goes_from_fine_to_coarse():
    class Mine(Config):
        RPN_ANCHOR_STRIDE = 2

    config = Mine()
    expected = np.concatenate(
        [
            slow_anchors(scale, [0.5, 1, 2], (128 // stride, 192 // stride), stride, 2)
            for scale, stride in zip((32, 64, 128, 256, 512), (4, 8, 16, 32, 64), strict=True)
        ]
    )
    anchors = pyramid_anchors(config, (128, 192, 3))
    np.testing.assert_allclose(anchors, expected, atol=1e-4)


def test_fewer_scales_than_levels_leave_out_the_highest():
    class Four(Config):
        RPN_ANCHOR_SCALES = (32, 64, 128, 256)

    five = pyramid_anchors(Config(), (128, 192))
    four = pyramid_anchors(Four(), (128, 192))
    assert len(five) - len(four) == 3 * (128 // 64) * (192 // 64)
    np.testing.assert_array_equal(four, five[: len(four)])
    assert sum(level_sizes(Four(), (128, 192))) == len(four)


def test_number_of_anchors_of_the_large_image():
    assert pyramid_anchors(Config(), (1024, 1024, 3)).shape == (261888, 4)


def test_pyramid_is_shared_and_cannot_be_changed():
    first, second = (pyramid_anchors(Config(), np.array([128, 128, 3])) for _ in range(2))
    assert first is second
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 0


def test_feature_shape_rounds_up():
    assert feature_shape((100, 64), 32) == (4, 2)


def test_detectron_s_anchors_are_those_that_faster_r_cnn_published():
    """The table of py-faster-rcnn's generate_anchors.py: x1, y1, x2, y2, both ends inside."""
    published = [
        [-84, -40, 99, 55],
        [-176, -88, 191, 103],
        [-360, -184, 375, 199],
        [-56, -56, 71, 71],
        [-120, -120, 135, 135],
        [-248, -248, 263, 263],
        [-36, -80, 51, 95],
        [-80, -168, 95, 183],
        [-168, -344, 183, 359],
    ]
    found = level_anchors((128, 256, 512), [2, 1, 0.5], (1, 1), 16, centered=True)
    np.testing.assert_array_equal(found[:, [1, 0, 3, 2]] - [0, 0, 1, 1], published)


def test_without_a_pyramid_all_scales_lie_on_one_map():
    """In each cell the ratios, for each ratio the five scales."""
    anchors = pyramid_anchors(C4Config(), (64, 128))
    expected = np.stack(
        [slow_anchors(scale, [2, 1, 0.5], (4, 8), 16, 1) for scale in (32, 64, 128, 256, 512)],
        axis=1,
    )
    np.testing.assert_allclose(anchors, expected.reshape(-1, 4), atol=1e-4)


@pytest.mark.parametrize("config", [Config, C4Config])
@pytest.mark.parametrize("stride", [1, 2])
def test_sizes_of_levels(config, stride):
    config = config()
    config.RPN_ANCHOR_STRIDE = stride
    sizes = level_sizes(config, (128, 192))
    assert sum(sizes) == len(pyramid_anchors(config, (128, 192)))
    cells = [(8, 12)] if config.FEATURES == "c4" else [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    each = 15 if config.FEATURES == "c4" else 3
    expected = [each * -(-rows // stride) * -(-columns // stride) for rows, columns in cells]
    assert sizes == expected
