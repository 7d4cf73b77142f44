"""Average precision of one image's masks, as Matterport's notebooks compute it.

Detections are matched greedily, best score first, over all classes together; this is the rule of
PASCAL VOC since 2010, image by image. COCO's own evaluation is another one.
"""

import numpy as np

from mrcnn.ops import boxes

DEFAULT_OVERLAPS = np.linspace(0.5, 0.95, 10)  # COCO's


def trim_zeros(x):
    """The rows of an array [rows, columns] that are not all zero, which is padding."""
    x = np.asarray(x)
    if x.ndim != 2:
        raise ValueError(f"trim_zeros takes an array [rows, columns], but this one is {x.shape}.")
    return x[np.any(x != 0, axis=1)]


def compute_overlaps_masks(masks1, masks2):
    """Intersection over union of masks [H, W, N] and [H, W, M]: [N, M]; 0 where both are empty.

    Pixels belong to a mask above .5.
    """
    count1, count2 = masks1.shape[-1], masks2.shape[-1]
    if count1 == 0 or count2 == 0:
        return np.zeros((count1, count2))
    flat1 = (np.asarray(masks1) > 0.5).reshape(-1, count1).astype(np.float32)
    flat2 = (np.asarray(masks2) > 0.5).reshape(-1, count2).astype(np.float32)
    common = flat1.T @ flat2
    union = flat1.sum(axis=0)[:, None] + flat2.sum(axis=0)[None] - common
    return common / np.maximum(union, 1)


def compute_matches(
    gt_boxes,
    gt_class_ids,
    gt_masks,
    pred_boxes,
    pred_class_ids,
    pred_scores,
    pred_masks,
    iou_threshold=0.5,
    score_threshold=0.0,
):
    """Match the predictions of an image with its ground truth, best score first.

    A prediction takes the instance that it overlaps most among those that are free, of its class,
    and overlapped by `iou_threshold` or more.

    Args:
        gt_boxes: [G, 4], zero padded; gt_class_ids: int [G]; gt_masks: [H, W, G].
        pred_boxes: [P, 4], zero padded; pred_class_ids: int [P]; pred_scores: [P];
        pred_masks: [H, W, P].
        iou_threshold: of the masks.
        score_threshold: overlaps below are not looked at.

    Returns:
        gt_match float [G]: for each instance its prediction, in the order of scores, or -1;
        pred_match float [P]: for each prediction, in the order of scores, its instance, or -1;
        overlaps [P, G] of the masks, rows in the order of scores.
    """
    gt_boxes, pred_boxes = trim_zeros(gt_boxes), trim_zeros(pred_boxes)
    gt_masks = gt_masks[..., : len(gt_boxes)]
    order = np.argsort(np.asarray(pred_scores)[: len(pred_boxes)])[::-1]
    pred_class_ids = np.asarray(pred_class_ids)[order]
    overlaps = compute_overlaps_masks(pred_masks[..., order], gt_masks)
    gt_match, pred_match = np.full(len(gt_boxes), -1.0), np.full(len(order), -1.0)
    needed = max(iou_threshold, score_threshold)
    for row, class_id in enumerate(pred_class_ids):
        fits = (overlaps[row] >= needed) & (gt_match < 0)
        fits &= np.asarray(gt_class_ids)[: len(gt_boxes)] == class_id
        if fits.any():
            best = np.argmax(np.where(fits, overlaps[row], -1))
            gt_match[best], pred_match[row] = row, best
    return gt_match, pred_match, overlaps


def compute_ap(
    gt_boxes,
    gt_class_ids,
    gt_masks,
    pred_boxes,
    pred_class_ids,
    pred_scores,
    pred_masks,
    iou_threshold=0.5,
):
    """Average precision of an image at one overlap.

    Args:
        as of `compute_matches`.

    Returns:
        mAP: area under the curve; precisions, recalls: [P + 2], the curve with its two ends,
        precision made falling; overlaps: [P, G], as of `compute_matches`.
    """
    truth, found = (gt_boxes, gt_class_ids, gt_masks), (pred_boxes, pred_class_ids, pred_scores)
    gt_match, pred_match, overlaps = compute_matches(*truth, *found, pred_masks, iou_threshold)
    true = np.cumsum(pred_match >= 0)
    precisions = np.concatenate([[0], true / np.arange(1, len(true) + 1), [0]])
    recalls = np.concatenate([[0], true.astype(np.float32) / max(len(gt_match), 1), [1]])
    precisions = np.maximum.accumulate(precisions[::-1])[::-1]
    return np.sum(np.diff(recalls) * precisions[1:]), precisions, recalls, overlaps


def compute_ap_range(
    gt_box,
    gt_class_id,
    gt_mask,
    pred_box,
    pred_class_id,
    pred_score,
    pred_mask,
    iou_thresholds=None,
    verbose=1,
):
    """Mean of the average precisions over several overlaps, by default .5, .55, ..., .95.

    Args:
        gt_box ... pred_mask: as of `compute_matches`.
        iou_thresholds: overlaps.
        verbose: 1 prints the average precision at each.
    """
    thresholds = DEFAULT_OVERLAPS if iou_thresholds is None else iou_thresholds
    instances = (gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, pred_score, pred_mask)
    values = []
    for threshold in thresholds:
        value = compute_ap(*instances, threshold)[0]
        if verbose:
            print(f"AP at {threshold:.2f}: {value:.3f}")
        values.append(value)
    mean = np.mean(values)
    if verbose:
        print(f"AP at {thresholds[0]:.2f} to {thresholds[-1]:.2f}: {mean:.3f}")
    return mean


def compute_recall(pred_boxes, gt_boxes, iou):
    """Which share of the true boxes [G, 4] some predicted box [P, 4] overlaps by `iou` or more.

    Each predicted box speaks for the true box that it overlaps most.

    Returns:
        recall; positive_ids int [n], the predicted boxes that overlap so much.
    """
    overlaps = boxes.overlaps(np.asarray(pred_boxes, np.float64), np.asarray(gt_boxes, np.float64))
    if not overlaps.size:
        return 0.0, np.zeros(0, np.int64)
    positive_ids = np.flatnonzero(overlaps.max(axis=1) >= iou)
    found = np.unique(overlaps.argmax(axis=1)[positive_ids])
    return len(found) / overlaps.shape[1], positive_ids
