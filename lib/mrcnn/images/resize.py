"""Bilinear scaling with scikit-image's conventions, at OpenCV's speed.

Pixel centres lie at halves, nothing is smoothed before scaling down, and outside of the image
is black, so that the border darkens where an image is scaled up (but never below the darkest
value of the image). That is `skimage.transform.resize(order=1, mode="constant",
preserve_range=True, anti_aliasing=False)`.
"""

import functools

import cv2
import numpy as np

# OpenCV computes in float32; results this near to a whole number are settled in float64.
_UNCERTAINTY = 1e-4
_OPENCV_CHANNELS = 128
_PLAIN_IMAGE_SHARE = 8  # from one eighth of uncertain values on, compute all of them again
_BLOCK = 32  # lines


def resize(image, shape):
    """Scale an image [H, W] or [H, W, C] to (height, width) = `shape`: float32.

    Values agree with scikit-image to about 3e-5 for values up to 255. Use `resize_uint8` if
    they are to become whole numbers.
    """
    pixels = np.ascontiguousarray(image, dtype=np.float32)
    if pixels.ndim == 3 and pixels.shape[2] > _OPENCV_CHANNELS:
        starts = range(0, pixels.shape[2], _OPENCV_CHANNELS)
        parts = [resize(pixels[..., s : s + _OPENCV_CHANNELS], shape) for s in starts]
        return np.concatenate(parts, axis=-1)
    size = (int(shape[1]), int(shape[0]))
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    resized = resized.reshape(*shape, *pixels.shape[2:])
    _darken_border(resized, pixels, shape)
    return resized


def resize_uint8(image, shape):
    """Scale a uint8 image [H, W, C] and cut the decimals off: uint8, as if done in float64.

    What matters are rounding errors around whole numbers, which scikit-image has as well: the
    few values that are that near to one are computed again, with the same errors.
    """
    resized = resize(image, shape)
    lines = resized.reshape(shape[0], -1)
    upper = cv2.convertScaleAbs(lines, alpha=1, beta=_UNCERTAINTY - 0.5)  # floor(x + tiny)
    lower = cv2.convertScaleAbs(lines, alpha=1, beta=-_UNCERTAINTY - 0.5)
    unsure = np.flatnonzero((upper != lower) & (upper > 0))
    if len(unsure) * _PLAIN_IMAGE_SHARE < upper.size:
        _settle(upper, image, *np.divmod(unsure, lines.shape[1]))
    else:  # large plain surfaces: whole lines are faster
        for start in range(0, len(upper), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(upper)))
            _settle(upper, image, rows[:, None], np.arange(lines.shape[1]))
    return upper.reshape(resized.shape)


def resize_exact(image, shape):
    """Scale an image [H, W] to `shape` in float64, with scikit-image's rounding errors."""
    rows = _neighbours(image.shape[0], shape[0])
    columns = _neighbours(image.shape[1], shape[1])
    return _blend(image, [part[:, None] for part in rows], columns)


def _settle(lines, image, rows, columns):
    """Compute some values again, in place; lines [height, width * C], `columns` of these lines."""
    channels = image.shape[2]
    column, channel = np.divmod(columns, channels)
    above_below = [part[rows] for part in _neighbours(image.shape[0], lines.shape[0])]
    left, right, *weights = (
        part[column] for part in _neighbours(image.shape[1], lines.shape[1] // channels)
    )
    left_right = [left * channels + channel, right * channels + channel, *weights]
    old_lines = image.reshape(image.shape[0], -1)
    lines[rows, columns] = _blend(old_lines, above_below, left_right)


def _blend(image, above_below, left_right):
    """Weigh four pixels of an image [H, W] at each place, in scipy's order of operations."""
    top, bottom, top_weight, bottom_weight = above_below
    left, right, left_weight, right_weight = left_right
    total = image[top, left] * top_weight * left_weight
    total += image[top, right] * top_weight * right_weight
    total += image[bottom, left] * bottom_weight * left_weight
    total += image[bottom, right] * bottom_weight * right_weight
    return np.maximum(total, image.min(), out=total)


@functools.lru_cache(maxsize=64)
def _neighbours(size, new_size):
    """The two old pixels around each new centre, and their weights (0 outside of the image)."""
    centers = _centers(size, new_size)
    before = np.floor(centers)
    fraction = centers - before
    before = before.astype(np.intp)
    weights = (1 - fraction) * (before >= 0), fraction * (before + 1 < size)
    return np.maximum(before, 0), np.minimum(before + 1, size - 1), *weights


def _darken_border(resized, pixels, shape):
    """Blend the pixels that reach beyond the image with black, in place."""
    darkest = pixels.min()
    for axis in (0, 1):
        centers = _centers(pixels.shape[axis], shape[axis])
        weights = np.minimum(1 + centers, pixels.shape[axis] - centers).astype(np.float32)
        for place in np.flatnonzero(weights < 1):
            line = resized[place] if axis == 0 else resized[:, place]
            np.maximum(line * weights[place], darkest, out=line)


def _centers(size, new_size):
    """Where the centres of the new pixels lie, in pixels of the old image."""
    return (np.arange(new_size) + 0.5) * (size / new_size) - 0.5
