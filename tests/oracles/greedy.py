"""Slow, obvious non-maximum suppression."""

import numpy as np

from mrcnn.ops.boxes import overlaps


def greedy_suppression(boxes, candidates, threshold, classes=None):
    """Which of boxes [N, 4], best first, survive: bool [N]; see `mrcnn.ops.nms.suppress`."""
    kept = np.zeros(len(boxes), bool)
    for i in np.flatnonzero(candidates):
        rivals = [j for j in np.flatnonzero(kept) if classes is None or classes[i] == classes[j]]
        kept[i] = not (overlaps(boxes[i][None], boxes[rivals]) > threshold).any()
    return kept


def padded(rows, limit):
    """The first `limit` rows, zero padded."""
    result = np.zeros((limit, *rows.shape[1:]), rows.dtype)
    result[: len(rows)] = rows[:limit]
    return result


def crowded_boxes(rng, count, spread=100):
    """Boxes of which many overlap; some twice, some without area: float32 [count, 4]."""
    corners = rng.uniform(0, spread, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 50, (count, 2))], axis=1)
    boxes[1::9] = boxes[: len(boxes[1::9])]
    boxes[5::11, 2:] = boxes[5::11, :2]
    return boxes.astype(np.float32)
