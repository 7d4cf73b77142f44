"""A large image in overlapping tiles."""

import numpy as np

from mrcnn.images.image import ImageError

OVERLAP = 0.2  # of a tile's side: what is no larger than that lies whole in one tile
LEAST_SIDE = 32  # pixels of a tile


def tile_windows(shape, side, overlap=OVERLAP):
    """Windows of one size that cover an image, row by row, the last of each row shifted inwards.

    Neighbours share at least `overlap` of a side. An image that is smaller than a tile in one
    direction has windows as long as itself there.

    Args:
        shape: (height, width, ...) of the image, pixels.
        side: of a tile, pixels.
        overlap: share of the side, from 0 to below 1.

    Returns:
        list of (y1, x1, y2, x2).

    Raises:
        ImageError: tiles are too small.
    """
    if side < LEAST_SIDE:
        raise ImageError(
            f"A tile must have at least {LEAST_SIDE} pixels a side, but is to have {side}."
        )
    tops, lefts = (_starts(length, side, overlap) for length in shape[:2])
    height, width = (min(length, side) for length in shape[:2])
    return [(top, left, top + height, left + width) for top in tops for left in lefts]


def _starts(length, side, overlap):
    """Where tiles begin along one direction: evenly, from the first pixel to the last."""
    free, step = length - side, max(int(side * (1 - overlap)), 1)
    if free <= 0:
        return [0]
    count = -(-free // step) + 1
    return np.linspace(0, free, count).round().astype(int).tolist()
