"""Arithmetic on boxes, one formula for numpy arrays and for tensors (`xp=keras.ops`).

A box is (y1, x1, y2, x2) in pixels with y2 and x2 outside of the box. Names that end in
`_normalized` hold boxes of the same order scaled so that the image spans [0, 1].
"""

import numpy as np


def overlaps(boxes_a, boxes_b, xp=np):
    """Intersection over union of every pair: [..., N, 4] and [..., M, 4] -> [..., N, M].

    Pairs whose union is empty overlap by 0.
    """
    a = _columns(boxes_a[..., :, None, :], xp)
    b = _columns(boxes_b[..., None, :, :], xp)
    height = xp.maximum(xp.minimum(a[2], b[2]) - xp.maximum(a[0], b[0]), 0)
    width = xp.maximum(xp.minimum(a[3], b[3]) - xp.maximum(a[1], b[1]), 0)
    intersection = height * width
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
    empty = union <= 0
    return xp.where(empty, xp.zeros_like(intersection), intersection / xp.where(empty, 1, union))


def decode_deltas(boxes, deltas, xp=np, log_limit=None):
    """Move and scale boxes [..., 4] by deltas [..., (dy, dx, log height, log width)].

    dy and dx are relative to the height and width of the box (Fast R-CNN, appendix C of
    arXiv 1311.2524). The unit of the boxes does not matter. Logarithms above `log_limit` count
    as the limit.
    """
    y1, x1, y2, x2 = _columns(boxes, xp)
    dy, dx, log_height, log_width = _columns(deltas, xp)
    if log_limit is not None:
        log_height, log_width = (xp.minimum(each, log_limit) for each in (log_height, log_width))
    height, width = y2 - y1, x2 - x1
    center_y = y1 + 0.5 * height + dy * height
    center_x = x1 + 0.5 * width + dx * width
    height = height * xp.exp(log_height)
    width = width * xp.exp(log_width)
    y1, x1 = center_y - 0.5 * height, center_x - 0.5 * width
    return xp.stack([y1, x1, y1 + height, x1 + width], axis=-1)


def encode_deltas(boxes, targets, xp=np):
    """Deltas [..., 4] that `decode_deltas` needs to turn boxes into targets (both [..., 4])."""
    y1, x1, y2, x2 = _columns(boxes, xp)
    target_y1, target_x1, target_y2, target_x2 = _columns(targets, xp)
    height, width = y2 - y1, x2 - x1
    target_height, target_width = target_y2 - target_y1, target_x2 - target_x1
    dy = (target_y1 + 0.5 * target_height - (y1 + 0.5 * height)) / height
    dx = (target_x1 + 0.5 * target_width - (x1 + 0.5 * width)) / width
    return xp.stack([dy, dx, xp.log(target_height / height), xp.log(target_width / width)], axis=-1)


def clip(boxes, window, xp=np, least=(0.0, 0.0)):
    """Cut boxes [..., 4] off at a window [..., 4] of the same unit that broadcasts to them.

    Of boxes beyond the window remains a box on its border, at least as high and wide as `least`.
    """
    y1, x1, y2, x2 = _columns(boxes, xp)
    top, left, bottom, right = _columns(window, xp)
    height, width = least
    clipped = [
        xp.maximum(xp.minimum(y1, bottom - height), top),
        xp.maximum(xp.minimum(x1, right - width), left),
        xp.maximum(xp.minimum(y2, bottom), top + height),
        xp.maximum(xp.minimum(x2, right), left + width),
    ]
    return xp.stack(clipped, axis=-1)


def least_side(shape, edges=False):
    """What a box clipped to an image of (height, width) at least keeps: normalised height, width.

    By the edges of the image a pixel; by the centres of its outer pixels, between whose first and
    last lies nothing, 0.
    """
    return (1 / shape[0], 1 / shape[1]) if edges else (0.0, 0.0)


def normalize(boxes, shape, edges=False):
    """Pixels to normalised coordinates, for an image of (height, width) = `shape`.

    The last pixel, not its outer edge, is 1: (box - [0, 0, 1, 1]) / [H-1, W-1, H-1, W-1]. A row
    of zero padding therefore does not become zero. With `edges`, the outer edge is 1:
    box / [H, W, H, W].
    """
    scale, shift = scale_and_shift(shape, edges)
    return ((boxes - shift) / scale).astype(np.float32)


def denormalize(boxes_normalized, shape, edges=False):
    """Normalised coordinates back to whole pixels (int32), the inverse of `normalize`."""
    scale, shift = scale_and_shift(shape, edges)
    return np.around(boxes_normalized * scale + shift).astype(np.int32)


def scale_and_shift(shape, edges=False):
    """What `normalize` divides by after it has subtracted the shift: [4] and [4], pixels."""
    height, width = shape[:2]
    if edges:
        return np.array([height, width, height, width]), np.zeros(4, int)
    scale = np.array([height - 1, width - 1, height - 1, width - 1])
    return scale, np.array([0, 0, 1, 1])


def _columns(boxes, xp):
    return [boxes[..., column] for column in range(4)]
