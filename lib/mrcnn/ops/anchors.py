"""The fixed boxes that the region proposal network scores and moves."""

import functools

import numpy as np

from mrcnn.conventions import conventions_of

C4_STRIDE = 16  # pixels per cell of stage 4


def anchor_levels(config):
    """What anchors a map has: ((stride, (scale, ...)), ...), pixels; P2..P6, or stage 4 alone.

    Of a pyramid as many levels as there are scales, the lowest first.
    """
    if config.FEATURES == "c4":
        return ((C4_STRIDE, tuple(config.RPN_ANCHOR_SCALES)),)
    pairs = zip(config.BACKBONE_STRIDES, config.RPN_ANCHOR_SCALES, strict=False)
    return tuple((stride, (scale,)) for stride, scale in pairs)


def anchors_per_cell(config):
    """How many anchors a cell of each map has."""
    return len(anchor_levels(config)[0][1]) * len(config.RPN_ANCHOR_RATIOS)


def level_sizes(config, image_shape):
    """How many anchors each map has, in the order of `pyramid_anchors`."""
    cells = [
        [-(-side // config.RPN_ANCHOR_STRIDE) for side in feature_shape(image_shape, stride)]
        for stride, _ in anchor_levels(config)
    ]
    return [rows * columns * anchors_per_cell(config) for rows, columns in cells]


def pyramid_anchors(config, image_shape):
    """All anchors of the pyramid's levels: float32 [A, (y1, x1, y2, x2)], pixels.

    Order: P2..P6, or stage 4 alone; on each map row by row, in each cell the ratios, for each
    ratio the scales. The array is kept and shared between calls, hence read-only.

    Args:
        config: a `Config`, for scales, ratios, strides.
        image_shape: (height, width, ...) of the prepared image, divisible by 64.
    """
    return _pyramid_anchors(
        anchor_levels(config),
        tuple(config.RPN_ANCHOR_RATIOS),
        config.RPN_ANCHOR_STRIDE,
        (int(image_shape[0]), int(image_shape[1])),
        conventions_of(config).centers_anchors,
    )


@functools.lru_cache(maxsize=16)
def _pyramid_anchors(levels, ratios, anchor_stride, image_shape, centered):
    anchors = [
        level_anchors(
            scales, ratios, feature_shape(image_shape, stride), stride, anchor_stride, centered
        )
        for stride, scales in levels
    ]
    anchors = np.concatenate(anchors).astype(np.float32)
    anchors.setflags(write=False)
    return anchors


def feature_shape(image_shape, stride):
    """Rows and columns of the pyramid level with this stride (pixels per cell)."""
    return tuple(int(np.ceil(side / stride)) for side in image_shape[:2])


def level_anchors(scales, ratios, shape, stride, anchor_stride=1, centered=False):
    """Anchors of one map: float64 [rows * columns * ratios * scales, (y1, x1, y2, x2)], pixels.

    Centres lie at multiples of the stride, without a shift by half a cell. A ratio is width
    over height at equal area: height = scale / sqrt(ratio), width = scale * sqrt(ratio).

    Args:
        scales: side of the square anchor in pixels, or several.
        ratios: width / height of the anchors of a cell.
        shape: (rows, columns) of the feature map.
        stride: pixels per cell.
        anchor_stride: cells between anchors.
        centered: centres lie in the middle of the cells, and sides are rounded (Detectron).
    """
    sizes = _anchor_sizes(scales, ratios, stride if centered else None)
    shift = stride / 2 if centered else 0
    rows = np.arange(0, shape[0], anchor_stride) * stride + shift
    columns = np.arange(0, shape[1], anchor_stride) * stride + shift
    centers = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    corners = np.concatenate([centers - 0.5 * sizes, centers + 0.5 * sizes], axis=-1)
    return corners.reshape(-1, 4)


def _anchor_sizes(scales, ratios, rounded_at=None):
    """Heights and widths of the anchors of a cell: float64 [ratios * scales, 2], pixels.

    With `rounded_at`, those of a square anchor with this side are rounded, the width first, then
    the height for this width, and the others are larger by the quotient of their scales.
    """
    ratios = np.asarray(ratios, dtype=np.float64)[:, None]
    scales = np.reshape(scales, (1, -1))
    if rounded_at is None:
        heights, widths = scales / np.sqrt(ratios), scales * np.sqrt(ratios)
    else:
        width = np.round(np.sqrt(rounded_at**2 * ratios))
        height = np.round(width / ratios)
        heights, widths = height * (scales / rounded_at), width * (scales / rounded_at)
    return np.stack([heights, widths], axis=-1).reshape(-1, 2)
