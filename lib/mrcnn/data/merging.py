"""What was found in several views of one image, each thing once."""

from dataclasses import dataclass

import numpy as np

from mrcnn.data.postprocessing import Detections, joined
from mrcnn.images.mask_pieces import MaskPiece, MaskPieces

SAME = 0.5  # share of pixels above which two finds are of one thing
EDGE = 64  # within this part of a view's side from its edge, a find counts as cut by it


@dataclass(frozen=True)
class View:
    """What was found in a part of an image.

    Args:
        window: (y1, x1, y2, x2) of the part in the image.
        found: `Detections` in pixels of the image; masks are a list of `MaskPiece`, or None.
        cut: bool [N], whether an edge of the view may have cut the thing.
    """

    window: tuple
    found: Detections
    cut: np.ndarray

    @classmethod
    def of(cls, window, found, shape):
        """The view of `Detections` in its own pixels, of an image of (height, width)."""
        moved = moved_to(window, found)
        return cls(window, moved, _cut(moved["rois"], window, shape))

    def rows(self, indices):
        """Some of its finds."""
        return View(self.window, self.found.rows(indices), self.cut[indices])


def moved_to(window, found):
    """`Detections` of a window (y1, x1, y2, x2) in the pixels of the image around it."""
    top, left = window[:2]
    moved = Detections(found)
    moved["rois"] = found["rois"] + np.array([top, left, top, left], np.int32)
    if found["masks"] is not None:
        moved["masks"] = [piece.moved(top, left) for piece in found["masks"]]
    return moved


def merged(views, shape):
    """Keep of what several views show of one thing the best: `Detections`, best first.

    Greedy by score, but what an edge may have cut comes after all that is whole. Finds of one
    view are left as they are. Those of two views are one thing where they share more than half of
    the smaller one's pixels; where both are whole and of two classes, which may lie within each
    other, more than half of both together.

    Args:
        views: list of `View`.
        shape: (height, width) of the image.

    Returns:
        `Detections` whose masks are `MaskPieces`, or None.
    """
    found = joined([view.found for view in views])
    origin = np.repeat(np.arange(len(views)), [len(view.found) for view in views])
    cut = np.concatenate([view.cut for view in views])
    pieces = _pieces(found)
    areas = np.array([piece.area for piece in pieces])
    kept = np.zeros(0, int)
    for row in np.lexsort((-found["scores"], cut)):
        others = kept[
            _meets(found["rois"][row], found["rois"][kept]) & (origin[kept] != origin[row])
        ]
        if not any(_is_same(row, other, found, cut, pieces, areas) for other in others):
            kept = np.append(kept, row)
    kept = kept[np.argsort(-found["scores"][kept], kind="stable")]
    result = found.rows(kept)
    if result["masks"] is not None:
        result["masks"] = MaskPieces(result["masks"], shape)
    return result


def _cut(rois, window, shape):
    """Whether boxes [N, 4] reach an edge of the window that is none of the image."""
    y1, x1, y2, x2 = window
    near = np.array([y2 - y1, x2 - x1]) / EDGE
    first = (rois[:, :2] - (y1, x1) < near) & (np.array([y1, x1]) > 0)
    last = ((y2, x2) - rois[:, 2:] < near) & (np.array([y2, x2]) < shape[:2])
    return (first | last).any(axis=1)


def _pieces(found):
    """What finds are compared by: their masks, or boxes where these are empty or there are none."""
    boxes = [MaskPiece.of_box(box) for box in found["rois"]]
    if found["masks"] is None:
        return boxes
    return [mask if mask.area else box for mask, box in zip(found["masks"], boxes, strict=True)]


def _meets(box, boxes):
    """Whether a box has pixels in common with each of boxes [N, 4]."""
    return (np.maximum(box[:2], boxes[:, :2]) < np.minimum(box[2:], boxes[:, 2:])).all(axis=1)


def _is_same(row, other, found, cut, pieces, areas):
    shared = pieces[row].shared_with(pieces[other])
    within = min(areas[row], areas[other])
    two_classes = found["class_ids"][row] != found["class_ids"][other]
    if two_classes and not (cut[row] or cut[other]):
        within = areas[row] + areas[other] - shared
    return shared > SAME * within
