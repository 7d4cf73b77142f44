"""A large photo searched in overlapping tiles and as a whole, in its own pixels.

The network sees a photo at its own size, IMAGE_MAX_DIM: of 4000 pixels little is left there of a
thing of 40. In tiles it keeps them; larger tiles and the whole show what is larger.
"""

import contextlib
import itertools
import os

import numpy as np

from mrcnn.data.merging import View, merged, moved_to
from mrcnn.data.postprocessing import joined
from mrcnn.images.image import read_image, to_rgb
from mrcnn.images.mask_pieces import MaskPiece
from mrcnn.images.tiles import tile_windows
from mrcnn.progress import track
from siamese_mrcnn.named_things import SAME_PLACE, standing_rows

BATCHES_AT_ONCE = 16  # of tiles that are prepared


class TilesMethods:
    """For `siamese_mrcnn.model.SiameseMaskRCNN`, whose methods these use."""

    def detect_in_tiles(self, images, vectors, tiles=True):
        """Find what references show in large images: a `Detections` for each.

        Args:
            images: list of arrays [height, width(, channels)] or paths, of any sizes.
            vectors: as of `encode_references`, of one reference or one for each image.
            tiles: as of `find_in_tiles`.
        """
        detections = []
        for number, image in enumerate(images):
            row = number if len(vectors[0]) > 1 else 0
            own = [vector[row : row + 1] for vector in vectors]

            def find(query, own=own):
                return self.detect_encoded([query], own)[0], []

            detections.append(self.find_in_tiles(image, find, tiles))
        return detections

    def find_in_tiles(self, image, find, tiles=True, title=""):
        """Search one image as a whole and tile by tile, and merge what was found.

        The network gets all of them in one shape, and compiles once.

        Args:
            image: array [height, width(, channels)] or path.
            find: function of a `siamese_mrcnn.model.EncodedQuery` to its `Detections`, and a list
                of `Detections` of what must not be found.
            tiles: side of a tile in pixels; True: IMAGE_MAX_DIM, where nothing is scaled.
            title: of a progress bar; without, none is shown.

        Returns:
            `Detections`, best first, see `mrcnn.data.merging.merged`.

        Raises:
            mrcnn.images.image.ImageError: the image is none, or tiles are too small.
        """
        is_path = isinstance(image, str | os.PathLike)
        image = read_image(image, upright=True) if is_path else to_rgb(image)
        windows = view_windows(image.shape, tile_side(tiles, self.config))
        parts = [image[y1:y2, x1:x2] for y1, x1, y2, x2 in windows]
        encoded = map(self.encode_one_by_one, _portions(parts, self.config))
        queries = itertools.chain.from_iterable(encoded)
        with _keeping_pieces(self):
            shown = track(queries, title, "tiles", len(parts), shown=bool(title))
            found = list(map(find, shown))
        return merged_standing(windows, *zip(*found, strict=True), image.shape)


def _portions(parts, config):
    """A list in portions, as what is prepared for the network takes memory."""
    size = BATCHES_AT_ONCE * config.BATCH_SIZE
    return [parts[first : first + size] for first in range(0, len(parts), size)]


def tile_side(tiles, config):
    """The side of a tile in pixels, where True says as large as the network's images are."""
    return config.IMAGE_MAX_DIM if tiles is True else tiles


def view_windows(shape, side):
    """The whole of an image and its tiles, (y1, x1, y2, x2) each; one that is a tile has none.

    Tiles of the side, of twice the side and so on: what is larger than the overlap of some, and may
    lie whole in none of them, lies whole in one of the next. They are a third more.
    """
    height, width = shape[:2]
    windows = [(0, 0, height, width)]
    while side < max(height, width):
        windows += tile_windows(shape, side)
        side *= 2
    return windows


def merged_standing(windows, found, negatives, shape):
    """Merge what views show of things, but for what one of them shows to be something else.

    Args:
        windows: of `view_windows`.
        found: `Detections` of each, in its own pixels; masks are a list of `MaskPiece`.
        negatives: of each a list of `Detections` of what must not be found.
        shape: (height, width, ...) of the image.
    """
    views = [View.of(*each, shape) for each in zip(windows, found, strict=True)]
    against = [
        moved_to(window, each)
        for window, of_view in zip(windows, negatives, strict=True)
        for each in of_view
        if len(each)
    ]
    if against:
        views = [view.rows(_standing(view, joined(against))) for view in views]
    return merged(views, shape[:2])


def _standing(view, negatives):
    """Rows of a view's finds but those that are refuted, a cut piece by what it is a piece of."""
    standing = np.zeros(len(view.found), bool)
    standing[standing_rows(view.found, [negatives])] = True
    for row in np.flatnonzero(standing & view.cut):
        piece = view.found["rois"][row]
        lower, upper = negatives["rois"][:, :2], negatives["rois"][:, 2:]
        shared = np.minimum(piece[2:], upper) - np.maximum(piece[:2], lower)
        inside = shared.clip(0).prod(axis=1) / (piece[2:] - piece[:2]).prod()
        surer = negatives["scores"] > view.found["scores"][row]
        standing[row] = not (surer & (inside > SAME_PLACE)).any()
    return np.flatnonzero(standing)


@contextlib.contextmanager
def _keeping_pieces(model):
    """Let a model keep of masks what is set, as those of whole large images fill the memory."""
    before, model.keep_mask = model.keep_mask, MaskPiece.of
    try:
        yield
    finally:
        model.keep_mask = before
