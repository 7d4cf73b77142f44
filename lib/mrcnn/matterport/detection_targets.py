"""Head targets of single images outside the graph, to look at: Matterport's functions for it.

Training computes them within the graph, see `mrcnn.modeling.roi_targets`.
"""

import numpy as np

from mrcnn.images.masks import restore_mask
from mrcnn.images.resize import resize
from mrcnn.modeling.roi_targets import POSITIVE_OVERLAP
from mrcnn.ops import boxes

NEAR = 0.9  # share of the random RoIs that are drawn around instances


def build_detection_targets(rpn_rois, gt_class_ids, gt_boxes, gt_masks, config):
    """Sample RoIs of one image and say what the heads should answer.

    At most ROI_POSITIVE_RATIO of them overlap an instance by more than .5; the others, drawn
    again where they are too few, fill up. Drawn by numpy's global generator.

    Args:
        rpn_rois: [N, (y1, x1, y2, x2)] pixels, zero padded.
        gt_class_ids: int [G], zero padded; gt_boxes: [G, 4] pixels.
        gt_masks: bool [H, W, G], or mini-masks if USE_MINI_MASK.
        config: `Config`.

    Returns:
        rois int32 [T, 4], T = TRAIN_ROIS_PER_IMAGE; class ids int32 [T]; deltas float32
        [T, NUM_CLASSES, 4], divided by BBOX_STD_DEV, zero but for the class; masks float32
        [T, *MASK_SHAPE, NUM_CLASSES] of 0 and 1.

    Raises:
        ValueError: there are no instances or no RoIs.
    """
    rois, class_ids, gt_boxes, gt_masks = _without_padding(
        rpn_rois, gt_class_ids, gt_boxes, gt_masks
    )
    overlaps = boxes.overlaps(rois.astype(np.float64), gt_boxes.astype(np.float64))
    best, assigned = overlaps.max(axis=1), overlaps.argmax(axis=1)
    chosen = _sample(best, config, global_generator())
    count = config.TRAIN_ROIS_PER_IMAGE
    sampled = np.zeros((count, 4), np.int32)
    target_ids = np.zeros(count, np.int32)
    deltas = np.zeros((count, config.NUM_CLASSES, 4), np.float32)
    masks = np.zeros((count, *config.MASK_SHAPE, config.NUM_CLASSES), np.float32)
    sampled[: len(chosen)] = rois[chosen]
    for row, roi in enumerate(chosen):
        if best[roi] <= POSITIVE_OVERLAP:
            continue
        instance, class_id = assigned[roi], class_ids[assigned[roi]]
        target_ids[row] = class_id
        exact = boxes.encode_deltas(rois[roi].astype(np.float32), gt_boxes[instance])
        deltas[row, class_id] = exact / config.BBOX_STD_DEV
        mask = gt_masks[..., instance]
        masks[row, ..., class_id] = _mask_target(mask, gt_boxes[instance], rois[roi], config)
    return sampled, target_ids, deltas, masks


def generate_random_rois(image_shape, count, gt_class_ids, gt_boxes):
    """RoIs as a good region proposal network might make them: int32 [count, 4], pixels.

    Nine in ten lie within one box size around an instance, the others anywhere.

    Args:
        image_shape: (height, width, ...) of the prepared image.
        count: how many.
        gt_class_ids: int [G]; gt_boxes: [G, 4] pixels; rows of class 0 are padding.
    """
    rng = global_generator()
    height, width = image_shape[:2]
    objects = np.asarray(gt_boxes)[np.asarray(gt_class_ids) != 0]
    rois = np.empty((0, 4), np.int32)
    each = int(NEAR * count / max(len(objects), 1))
    for y1, x1, y2, x2 in objects:
        high, wide = y2 - y1, x2 - x1
        frame = (max(y1 - high, 0), max(x1 - wide, 0))
        frame += (min(y2 + high, height), min(x2 + wide, width))
        rois = np.concatenate([rois, _boxes_within(frame, each, rng)])
    return np.concatenate([rois, _boxes_within((0, 0, height, width), count - len(rois), rng)])


def _without_padding(rois, class_ids, gt_boxes, gt_masks):
    rois, class_ids = np.asarray(rois), np.asarray(class_ids)
    real = class_ids > 0
    rois = rois[np.any(rois != 0, axis=1)]
    if not len(rois) or not np.any(real):
        raise ValueError(
            f"Detection targets need RoIs and instances, but there are {len(rois)} RoIs and "
            f"{np.count_nonzero(real)} instances."
        )
    masks = np.asarray(gt_masks)[..., np.flatnonzero(real)]
    return rois, class_ids[real], np.asarray(gt_boxes)[real].astype(np.float32), masks


def _sample(best, config, rng):
    """Indices of the RoIs to take: positives first, then negatives, some of them twice if few."""
    count = config.TRAIN_ROIS_PER_IMAGE
    positive = np.flatnonzero(best > POSITIVE_OVERLAP)
    negative = np.flatnonzero(best <= POSITIVE_OVERLAP)
    most = int(count * config.ROI_POSITIVE_RATIO) if len(negative) else count
    if len(positive) > most:
        positive = rng.choice(positive, most, replace=False)
    room = count - len(positive)
    if len(negative) > room:
        negative = rng.choice(negative, room, replace=False)
    chosen = np.concatenate([positive, negative])
    again = negative if len(negative) else positive
    return np.concatenate([chosen, rng.choice(again, count - len(chosen))]).astype(int)


def _mask_target(mask, gt_box, roi, config):
    """The part of an instance's mask that a RoI shows, in the size of the mask head's output."""
    y1, x1, y2, x2 = (int(side) for side in roi)
    if config.USE_MINI_MASK:
        frame = (max(y2, int(gt_box[2])), max(x2, int(gt_box[3])))
        mask = restore_mask(mask.astype(np.float32), gt_box, frame)
    return np.rint(resize(mask[y1:y2, x1:x2].astype(np.float32), tuple(config.MASK_SHAPE)))


def _boxes_within(frame, count, rng):
    """Boxes of at least a pixel with two random corners within a frame: int32 [count, 4]."""
    y1, x1, y2, x2 = (int(side) for side in frame)
    corners = [
        np.sort(rng.integers(low, high + 1, (count, 2)), axis=1)
        for low, high in ((y1, y2), (x1, x2))
    ]
    for pair, high in zip(corners, (y2, x2), strict=True):
        flat = pair[:, 0] == pair[:, 1]
        pair[flat & (pair[:, 1] < high), 1] += 1
        pair[pair[:, 0] == pair[:, 1], 0] -= 1
    (top, bottom), (left, right) = (pair.T for pair in corners)
    return np.stack([top, left, bottom, right], axis=1).astype(np.int32)


def global_generator():
    """A new `numpy.random.Generator`, seeded by numpy's global generator."""
    return np.random.default_rng(np.random.randint(2**31))  # noqa: NPY002
