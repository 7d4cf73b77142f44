"""The chance level: as many boxes and masks of the same sizes, anywhere in the image."""

import numpy as np


def scatter(detections, image_shape, rng, move_masks=True):
    """Move every detection to a random place inside the image and shuffle the scores.

    Args:
        detections: `rois` int [N, (y1, x1, y2, x2)] pixels inside the image, `scores` [N],
            `masks` [height, width, N] or none.
        image_shape: (height, width, ...).
        rng: numpy generator.
        move_masks: whether a mask moves along with its box; the original left it where it was.

    Returns:
        dict like detections.
    """
    boxes = np.asarray(detections["rois"]).reshape(-1, 4)
    sizes = boxes[:, 2:] - boxes[:, :2]
    corners = rng.integers(0, np.asarray(image_shape[:2]) - sizes + 1)
    moved = dict(detections)
    moved["rois"] = np.concatenate([corners, corners + sizes], axis=1).astype(boxes.dtype)
    moved["scores"] = rng.permutation(detections["scores"])
    if move_masks and detections.get("masks") is not None:
        moved["masks"] = _move_masks(detections["masks"], boxes, moved["rois"])
    return moved


def _move_masks(masks, boxes, moved):
    result = np.zeros_like(masks)
    for index, (old, new) in enumerate(zip(boxes, moved, strict=True)):
        inside = masks[old[0] : old[2], old[1] : old[3], index]
        result[new[0] : new[2], new[1] : new[3], index] = inside
    return result
