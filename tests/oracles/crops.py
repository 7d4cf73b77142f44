"""A slow, obvious crop-and-resize, in the arithmetic of TensorFlow's kernel."""

import numpy as np


def slow_crop(image, box, size):
    """Crop a normalised box from an image [height, width, channels]: [*size, channels].

    One bilinear sample a cell, 0 outside of the image. Every operation is rounded to float32.
    """
    crop = np.zeros((*size, image.shape[-1]), np.float32)
    box = np.asarray(box, np.float32)
    rows = _positions(box[0], box[2], image.shape[0], size[0])
    columns = _positions(box[1], box[3], image.shape[1], size[1])
    for i, y in enumerate(rows):
        for j, x in enumerate(columns):
            if 0 <= y <= image.shape[0] - 1 and 0 <= x <= image.shape[1] - 1:
                crop[i, j] = _sample(image, y, x)
    return crop


def _positions(start, end, length, samples):
    last = np.float32(length - 1)
    if samples == 1:
        return [np.float32(0.5) * (start + end) * last]
    step = (end - start) * last / np.float32(samples - 1)
    return [start * last + np.float32(number) * step for number in range(samples)]


def _sample(image, y, x):
    top, left = int(np.floor(y)), int(np.floor(x))
    bottom, right = int(np.ceil(y)), int(np.ceil(x))
    upper = image[top, left] + (image[top, right] - image[top, left]) * (x - left)
    lower = image[bottom, left] + (image[bottom, right] - image[bottom, left]) * (x - left)
    return upper + (lower - upper) * (y - top)
