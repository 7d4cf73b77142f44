import numpy as np
import pytest

from mrcnn.anchors import feature_shape, level_anchors, pyramid_anchors
from mrcnn.config import Config


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


def test_number_of_anchors_of_the_large_image():
    assert pyramid_anchors(Config(), (1024, 1024, 3)).shape == (261888, 4)


def test_pyramid_is_shared_and_cannot_be_changed():
    first, second = (pyramid_anchors(Config(), np.array([128, 128, 3])) for _ in range(2))
    assert first is second
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 0


def test_feature_shape_rounds_up():
    assert feature_shape((100, 64), 32) == (4, 2)
