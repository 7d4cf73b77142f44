"""Masks of large images, each kept as what lies within its own box."""

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as rle_tools

from mrcnn.images.masks import boxes_of_masks
from mrcnn.images.run_lengths import encode_mask


@dataclass(frozen=True, eq=False)  # arrays compare cell by cell
class MaskPiece:
    """What is set of a mask, cut out.

    Args:
        top, left: its upper left corner in the image, pixels.
        pixels: bool [height, width].
    """

    top: int
    left: int
    pixels: np.ndarray

    @classmethod
    def of(cls, mask):
        """The piece of a whole mask, bool [height, width]; without pixels where it is empty."""
        y1, x1, y2, x2 = boxes_of_masks(np.asarray(mask)[..., None])[0].tolist()
        return cls(y1, x1, np.array(mask[y1:y2, x1:x2], bool))

    @classmethod
    def of_box(cls, box):
        """All of a box (y1, x1, y2, x2), which takes no memory."""
        y1, x1, y2, x2 = (int(side) for side in box)
        return cls(y1, x1, np.broadcast_to(np.True_, (y2 - y1, x2 - x1)))

    @property
    def area(self):
        """Pixels that are set."""
        return int(np.count_nonzero(self.pixels))

    def moved(self, down, right):
        """The same, so many pixels further."""
        return MaskPiece(self.top + down, self.left + right, self.pixels)

    def shared_with(self, other):
        """Pixels that are set in both."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom = min(self.top + self.pixels.shape[0], other.top + other.pixels.shape[0])
        right = min(self.left + self.pixels.shape[1], other.left + other.pixels.shape[1])
        if top >= bottom or left >= right:
            return 0
        parts = [
            each.pixels[top - each.top : bottom - each.top, left - each.left : right - each.left]
            for each in (self, other)
        ]
        return int(np.count_nonzero(parts[0] & parts[1]))

    def whole(self, shape):
        """The mask in an image of (height, width): bool [height, width]."""
        full = np.zeros(shape, bool)
        height, width = self.pixels.shape
        full[self.top : self.top + height, self.left : self.left + width] = self.pixels
        return full

    def run_lengths(self, shape):
        """As `mrcnn.images.run_lengths.run_lengths_of` of the whole mask, which is not made."""
        height, width = shape
        columns = np.zeros((self.pixels.shape[1], self.pixels.shape[0] + 2), np.int8)
        columns[:, 1:-1] = self.pixels.T
        places = np.flatnonzero(np.diff(columns, axis=1))  # where it begins and ends, in turn
        column, row = np.divmod(places, columns.shape[1] - 1)
        edges = (self.left + column) * height + self.top + row
        # A run that ends at the foot of a column goes on at the head of the next.
        joins = np.flatnonzero(edges[1:-1:2] == edges[2::2]) * 2 + 1
        edges = np.delete(edges, [*joins, *(joins + 1)])
        ends = [height * width] if not len(edges) or edges[-1] < height * width else []
        counts = np.diff(edges, prepend=0, append=ends)
        listed = {"size": [height, width], "counts": counts.tolist()}
        return rle_tools.frPyObjects(listed, height, width)


class MaskPieces:
    """Masks that are used like an array [height, width, N], each made when it is asked for.

    Args:
        pieces: list of N `MaskPiece`.
        shape: (height, width) of the image.
    """

    dtype, ndim = np.dtype(bool), 3

    def __init__(self, pieces, shape):
        self.pieces, self.shape = list(pieces), (*shape[:2], len(pieces))

    def __getitem__(self, key):
        """One mask or a part of it: `masks[:, :, index]`, `masks[y1:y2, x1:x2, index]`."""
        rows, columns, index = (slice(None), slice(None), key[-1]) if ... in key else key
        return self.pieces[index].whole(self.shape[:2])[rows, columns]

    def __array__(self, dtype=None, copy=None):
        del copy  # there is nothing that could be shared
        stacked = np.zeros((self.shape[2], *self.shape[:2]), dtype or bool)
        for mask, piece in zip(stacked, self.pieces, strict=True):
            mask[...] = piece.whole(self.shape[:2])
        return np.moveaxis(stacked, 0, -1)

    def rows(self, indices):
        """Some of them, in the order of their indices."""
        return MaskPieces([self.pieces[index] for index in indices], self.shape)


def encode_one(masks, index):
    """As `mrcnn.images.run_lengths.encode_mask` of one of masks [height, width, N]."""
    if not isinstance(masks, MaskPieces):
        return encode_mask(masks[:, :, index])
    code = masks.pieces[index].run_lengths(masks.shape[:2])
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode("ascii")}
