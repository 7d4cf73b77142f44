"""The five losses and weight decay, each as a sum and the count it is to be divided by.

Whoever trains on several devices adds up both over the devices before dividing, so that the
result is that of one device with the whole batch.
"""

from keras import ops

from mrcnn.modeling.detection_layer import select_class
from mrcnn.ops.gather import gather_rows


def smooth_l1(targets, predictions):
    """Smooth L1, element by element (Fast R-CNN, arXiv 1504.08083, equation 3)."""
    difference = ops.abs(targets - predictions)
    return ops.where(difference < 1, 0.5 * difference * difference, difference - 0.5)


def rpn_class_loss(rpn_match, logits):
    """Cross-entropy over the anchors that are not neutral.

    Args:
        rpn_match: int [batch, A]: 1 positive, 0 neutral, -1 negative.
        logits: [batch, A, (background, foreground)].
    """
    counted = ops.cast(ops.not_equal(rpn_match, 0), "float32")
    return _cross_entropy(ops.cast(rpn_match > 0, "int32"), logits, counted)


def rpn_bbox_loss(rpn_match, target_deltas, deltas):
    """Smooth L1 over the positive anchors.

    Args:
        rpn_match: int [batch, A].
        target_deltas: [batch, T, 4], those of the positive anchors, in anchor order.
        deltas: [batch, A, 4].
    """
    positive = ops.equal(rpn_match, 1)
    row = ops.cumsum(ops.cast(positive, "int32"), axis=1) - 1
    counted = ops.cast(positive, "float32")[..., None]
    targets = gather_rows(target_deltas, ops.clip(row, 0, target_deltas.shape[1] - 1))
    return ops.sum(smooth_l1(targets, deltas) * counted), 4 * ops.sum(counted)


def class_loss(target_class_ids, logits, active_class_ids=None):
    """Cross-entropy over all RoIs, padding included.

    Args:
        target_class_ids: int [batch, R].
        logits: [batch, R, num_classes].
        active_class_ids: [num_classes] of 0 and 1: RoIs whose predicted class is inactive, that
            is, not annotated in the data set of the batch, do not count. None: all count.
    """
    counted = ops.ones_like(logits[..., 0])
    if active_class_ids is not None:
        predicted = ops.argmax(logits, axis=-1)
        counted = ops.take(ops.cast(active_class_ids, "float32"), predicted, axis=0)
    return _cross_entropy(target_class_ids, logits, counted)


def bbox_loss(target_class_ids, target_deltas, deltas):
    """Smooth L1 over the positive RoIs, for the deltas of their class.

    Args:
        target_class_ids: int [batch, R].
        target_deltas: [batch, R, 4].
        deltas: [batch, R, classes, 4]; one class serves all.
    """
    counted = ops.cast(target_class_ids > 0, "float32")[..., None]
    error = smooth_l1(target_deltas, select_class(deltas, target_class_ids))
    return ops.sum(error * counted), 4 * ops.sum(counted)


def mask_loss(target_class_ids, target_masks, logits):
    """Binary cross-entropy over the pixels of positive RoIs, for the mask of their class.

    Args:
        target_class_ids: int [batch, P].
        target_masks: [batch, P, height, width] of 0 and 1.
        logits: [batch, P, height, width, classes]; one class serves all.
    """
    height, width, classes = logits.shape[2:]
    by_class = ops.reshape(
        ops.transpose(logits, (0, 1, 4, 2, 3)), (-1, logits.shape[1], classes, height * width)
    )
    chosen = select_class(by_class, target_class_ids)
    targets = ops.reshape(target_masks, (-1, logits.shape[1], height * width))
    counted = ops.cast(target_class_ids > 0, "float32")[..., None]
    error = ops.binary_crossentropy(targets, chosen, from_logits=True)
    return ops.sum(error * counted), height * width * ops.sum(counted)


def weight_decay_loss(variables, factor):
    """L2 penalty: factor * mean of squares, summed over all tensors but gamma and beta."""
    terms = [
        ops.mean(ops.square(variable))
        for variable in variables
        if variable.name not in ("gamma", "beta")
    ]
    return factor * sum(terms) if terms else ops.zeros(())


def _cross_entropy(class_ids, logits, counted):
    error = -select_class(ops.log_softmax(logits, axis=-1)[..., None], class_ids)[..., 0]
    return ops.sum(error * counted), ops.sum(counted)
