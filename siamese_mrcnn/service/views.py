"""What a search looks at of a picture, the whole or its tiles, too; and what it found, settled."""

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as rle_tools

from mrcnn.data.postprocessing import Detections, joined
from mrcnn.images.mask_pieces import MaskPiece
from siamese_mrcnn.named_things import standing_rows
from siamese_mrcnn.tiles import merged_standing, tile_side, view_windows

LEAST_SCORE = 0.05  # of what is found in tiles, as hundreds of them show thousands of doubtful ones
MOST = 500  # finds of a picture in tiles, the best


@dataclass(frozen=True)
class Views:
    """A picture, and the parts of it that the model gets.

    Attributes:
        name: of the picture, as answers tell it.
        shape: (height, width), pixels.
        windows: (y1, x1, y2, x2) of each part, the whole first.
        prepared: of each, as of `Engine.prepare`.
    """

    name: str
    shape: tuple
    windows: list
    prepared: list


def views_of(engine, name, image, tiles):
    """`Views` of a picture uint8 [height, width, 3], in the thread that calls."""
    shape = image.shape[:2]
    windows = windows_of(engine, shape) if tiles else [(0, 0, *shape)]
    parts = (image[y1:y2, x1:x2] for y1, x1, y2, x2 in windows)
    return Views(name, shape, windows, list(map(engine.prepare, parts)))


def windows_of(engine, shape):
    """The whole of a picture and its tiles, as large as the model sees them."""
    return view_windows(shape, tile_side(True, engine.model.config))


def settled(views, found, things):
    """What a picture shows of things: `Detections` for each, masks as run lengths.

    Args:
        views: `Views`.
        found: for each of its parts a list of `Detections`: of each thing, then of each of what
            must not be found.
        things: how many there are of the first.
    """
    if len(views.windows) == 1:
        shown, negatives = found[0][:things], found[0][things:]
        return [each.rows(standing_rows(each, negatives)) for each in shown]
    parts = [joined(list(map(_as_pieces, each[:things], range(things)))) for each in found]
    negatives = [[Detections(each | {"masks": None}) for each in of[things:]] for of in found]
    merged = merged_standing(views.windows, parts, negatives, views.shape)
    merged = merged.rows(np.arange(min(len(merged), MOST)))
    return [_of_class(merged, number, views.shape) for number in range(things)]


def _as_pieces(found, number):
    """`Detections` of one thing as those of a class, their masks as pieces."""
    kept = found.rows(np.flatnonzero(found["scores"] >= LEAST_SCORE))
    kept["class_ids"] = np.full(len(kept), number, np.int32)
    if kept["masks"] is not None:
        kept["masks"] = [MaskPiece.of(rle_tools.decode(lengths)) for lengths in kept["masks"]]
    return kept


def _of_class(found, number, shape):
    own = found.rows(np.flatnonzero(found["class_ids"] == number))
    if own["masks"] is not None:
        own["masks"] = [piece.run_lengths(shape) for piece in own["masks"].pieces]
    return own
