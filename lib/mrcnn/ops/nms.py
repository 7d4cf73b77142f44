"""Greedy non-maximum suppression, for whole batches and with static shapes."""

import math

import keras
from keras import ops

from mrcnn.ops import boxes as box_arithmetic
from mrcnn.ops.gather import gather_rows

TILE = 500  # boxes compared at once: bounds memory to TILE x N pairs


def suppress(boxes, candidates, threshold, classes=None):
    """Which boxes survive: bool [batch, N].

    A box falls if it overlaps a surviving box before it by more than `threshold`.

    Args:
        boxes: [batch, N, (y1, x1, y2, x2)], in descending order of score.
        candidates: bool [batch, N]; others neither survive nor suppress.
        threshold: intersection over union.
        classes: int [batch, N]; boxes suppress only boxes of their own class. None: one class.
    """
    kept = []
    for start in range(0, boxes.shape[1], TILE):
        tile = slice(start, min(start + TILE, boxes.shape[1]))
        alive = candidates[:, tile]
        if start:
            earlier = _conflicts(boxes, classes, tile, slice(0, start), threshold)
            survivors = ops.concatenate(kept, axis=1)[:, None, :]
            alive = ops.logical_and(
                alive, ops.logical_not(ops.any(ops.logical_and(earlier, survivors), axis=-1))
            )
        kept.append(_suppress_tile(_conflicts(boxes, classes, tile, tile, threshold), alive))
    return ops.concatenate(kept, axis=1)


def _conflicts(boxes, classes, rows, columns, threshold):
    """Pairs that overlap too much: bool [batch, rows, columns]."""
    overlapping = box_arithmetic.overlaps(boxes[:, rows], boxes[:, columns], xp=ops) > threshold
    if classes is None:
        return overlapping
    same = ops.equal(classes[:, rows, None], classes[:, None, columns])
    return ops.logical_and(overlapping, same)


def _suppress_tile(conflicts, alive):
    """Greedy suppression inside one tile, exactly.

    kept[i] = alive[i] and no j < i with kept[j] and conflicts[i, j] has one solution, which the
    iteration reaches from any start: after n rounds the first n boxes are settled.
    """
    side = conflicts.shape[1]
    order = ops.arange(side)
    before = ops.logical_and(conflicts, (order[None, :] < order[:, None])[None])

    def settle(kept):
        fallen = ops.any(ops.logical_and(before, kept[:, None, :]), axis=-1)
        return ops.logical_and(alive, ops.logical_not(fallen))

    def unsettled(kept, following):
        return ops.any(ops.not_equal(kept, following))

    return ops.while_loop(
        unsettled,
        lambda kept, following: (following, settle(following)),
        (alive, settle(alive)),
        maximum_iterations=side,
    )[0]


def first_kept(kept, limit):
    """Positions of the first `limit` survivors: int32 [batch, limit] and bool [batch, limit].

    Where fewer survive, the rest is position 0, flagged False.
    """
    count = kept.shape[1]
    rank = ops.where(kept, count - ops.arange(count, dtype="int32"), 0)
    if count < limit:
        rank = ops.pad(rank, ((0, 0), (0, limit - count)))
    rank, positions = ops.top_k(rank, limit)
    valid = rank > 0
    return ops.where(valid, ops.cast(positions, "int32"), 0), valid


def select_boxes(boxes, limit, threshold):
    """The best boxes that do not overlap: [batch, limit, 4], zero padded.

    Args:
        boxes: [batch, N, (y1, x1, y2, x2)], in descending order of score.
        limit: how many boxes to return at most.
        threshold: intersection over union above which the lower score falls.
    """
    if keras.backend.backend() == "tensorflow":
        return _select_by_kernel(boxes, limit, threshold)
    return select_by_tiles(boxes, limit, threshold)


def select_by_tiles(boxes, limit, threshold):
    """`select_boxes` on every backend."""
    candidates = ops.ones_like(boxes[..., 0], dtype="bool")
    positions, valid = first_kept(suppress(boxes, candidates, threshold), limit)
    return ops.where(valid[..., None], gather_rows(boxes, positions), 0.0)


def _select_by_kernel(boxes, limit, threshold):
    import tensorflow as tf

    # Ranks in place of scores: the kernel takes equal scores, which saturated probabilities are,
    # in an order of its own.
    ranks = tf.range(boxes.shape[1], 0, -1, dtype="float32")
    selected = tf.image.combined_non_max_suppression(
        boxes[:, :, None, :],
        tf.tile(ranks[None, :, None], [tf.shape(boxes)[0], 1, 1]),
        max_output_size_per_class=limit,
        max_total_size=limit,
        iou_threshold=threshold,
        score_threshold=-math.inf,
        clip_boxes=False,
    )
    return tf.ensure_shape(selected.nmsed_boxes, (None, limit, 4))
