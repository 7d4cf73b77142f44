"""The fixed boxes that the region proposal network scores and moves."""

import functools

import numpy as np


def pyramid_anchors(config, image_shape):
    """All anchors of the five pyramid levels: float32 [A, (y1, x1, y2, x2)], pixels.

    Order: P2..P6, within a level row by row, in each cell the ratios. The array is kept and
    shared between calls, hence read-only.

    Args:
        config: a `Config`, for scales, ratios, strides.
        image_shape: (height, width, ...) of the prepared image, divisible by 64.
    """
    return _pyramid_anchors(
        tuple(config.RPN_ANCHOR_SCALES),
        tuple(config.RPN_ANCHOR_RATIOS),
        tuple(config.BACKBONE_STRIDES),
        config.RPN_ANCHOR_STRIDE,
        (int(image_shape[0]), int(image_shape[1])),
    )


@functools.lru_cache(maxsize=16)
def _pyramid_anchors(scales, ratios, strides, anchor_stride, image_shape):
    levels = [
        level_anchors(scale, ratios, feature_shape(image_shape, stride), stride, anchor_stride)
        for scale, stride in zip(scales, strides, strict=True)
    ]
    anchors = np.concatenate(levels).astype(np.float32)
    anchors.setflags(write=False)
    return anchors


def feature_shape(image_shape, stride):
    """Rows and columns of the pyramid level with this stride (pixels per cell)."""
    return tuple(int(np.ceil(side / stride)) for side in image_shape[:2])


def level_anchors(scale, ratios, shape, stride, anchor_stride=1):
    """Anchors of one level: float64 [rows * columns * ratios, (y1, x1, y2, x2)], pixels.

    Centres lie at multiples of the stride, without a shift by half a cell. A ratio is width
    over height at equal area: height = scale / sqrt(ratio), width = scale * sqrt(ratio).

    Args:
        scale: side of the square anchor in pixels.
        ratios: width / height of the anchors of a cell.
        shape: (rows, columns) of the feature map.
        stride: pixels per cell.
        anchor_stride: cells between anchors.
    """
    root = np.sqrt(np.asarray(ratios, dtype=np.float64))
    sizes = np.stack([scale / root, scale * root], axis=-1)
    rows = np.arange(0, shape[0], anchor_stride) * stride
    columns = np.arange(0, shape[1], anchor_stride) * stride
    centers = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    corners = np.concatenate([centers - 0.5 * sizes, centers + 0.5 * sizes], axis=-1)
    return corners.reshape(-1, 4)
