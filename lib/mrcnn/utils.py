"""The names and signatures of Matterport's `utils`, for programs that were written for them."""

import numpy as np

from mrcnn.data.dataset import Dataset
from mrcnn.images import image as images
from mrcnn.images import masks
from mrcnn.matterport.retired_names import retired as __getattr__  # noqa: F401
from mrcnn.metrics import (
    compute_ap,
    compute_ap_range,
    compute_matches,
    compute_overlaps_masks,
    compute_recall,
    trim_zeros,
)
from mrcnn.ops import anchors
from mrcnn.ops import boxes as box_arithmetic
from mrcnn.weights.coco import COCO_MODEL_URL, download_trained_weights

__all__ = [
    "COCO_MODEL_URL",
    "Dataset",
    "apply_box_deltas",
    "box_refinement",
    "compute_ap",
    "compute_ap_range",
    "compute_iou",
    "compute_matches",
    "compute_overlaps",
    "compute_overlaps_masks",
    "compute_recall",
    "denorm_boxes",
    "download_trained_weights",
    "expand_mask",
    "extract_bboxes",
    "generate_anchors",
    "generate_pyramid_anchors",
    "minimize_mask",
    "non_max_suppression",
    "norm_boxes",
    "resize_image",
    "resize_mask",
    "trim_zeros",
    "unmold_mask",
]


def norm_boxes(boxes, shape):
    """Boxes [..., 4] in pixels of an image of (height, width) normalised: float32."""
    return box_arithmetic.normalize(boxes, shape)


def denorm_boxes(boxes, shape):
    """Normalised boxes [..., 4] in whole pixels of an image of (height, width): int32."""
    return box_arithmetic.denormalize(boxes, shape)


def extract_bboxes(mask):
    """The tightest box of each mask [H, W, N]: int32 [N, 4], zeros where a mask is empty."""
    return masks.boxes_of_masks(mask)


def compute_iou(box, boxes, box_area=None, boxes_area=None):
    """Overlaps [N] of one box with boxes [N, 4]; the areas are not needed any more."""
    return compute_overlaps(np.asarray(box)[None], boxes)[0]


def compute_overlaps(boxes1, boxes2):
    """Overlaps [N, M] of boxes [N, 4] and [M, 4]."""
    boxes1, boxes2 = np.asarray(boxes1, np.float64), np.asarray(boxes2, np.float64)
    return box_arithmetic.overlaps(boxes1, boxes2)


def box_refinement(box, gt_box):
    """Deltas that turn boxes [N, 4] into ground-truth boxes [N, 4]."""
    return box_arithmetic.encode_deltas(np.asarray(box, np.float32), np.asarray(gt_box, np.float32))


def apply_box_deltas(boxes, deltas):
    """Boxes [N, 4] moved and scaled by deltas [N, 4]."""
    return box_arithmetic.decode_deltas(np.asarray(boxes, np.float32), np.asarray(deltas))


def non_max_suppression(boxes, scores, threshold):
    """Indices int32 of the boxes that stay when the better one of two that overlap is kept."""
    order = np.argsort(scores)[::-1]
    overlaps = compute_overlaps(boxes, boxes)
    kept = []
    while len(order):
        kept.append(order[0])
        order = order[1:][overlaps[order[0], order[1:]] <= threshold]
    return np.array(kept, np.int32)


def resize_image(image, min_dim=None, max_dim=None, min_scale=None, mode="square"):
    """Prepared image, window, scale, padding of the three axes, crop."""
    rng = np.random.default_rng() if mode == "crop" else None
    geometry = images.plan_resize(image.shape, min_dim, max_dim, min_scale, mode, rng)
    prepared = images.prepare_image(image, geometry)
    padding = [*geometry.padding, (0, 0)]
    return prepared, geometry.window, geometry.scale, padding, geometry.crop


def resize_mask(mask, scale, padding, crop=None):
    """Masks [H, W, N] with the scale, padding and crop that `resize_image` returned."""
    shape = mask.shape[:2]
    scaled = images.Geometry(shape, shape, (0, 0, *shape), scale).scaled_shape
    (top, bottom), (left, right) = padding[:2]
    prepared = (scaled[0] + top + bottom, scaled[1] + left + right)
    window = (top, left, top + scaled[0], left + scaled[1])
    if crop is not None:
        prepared, window = crop[2:], (0, 0, *crop[2:])
    geometry = images.Geometry(shape, prepared, window, scale, tuple(padding[:2]), crop)
    return masks.resize_masks(mask, geometry)


def minimize_mask(bbox, mask, mini_shape):
    """Mini-masks [h, w, N] of masks [H, W, N] with boxes [N, 4]."""
    return masks.minimize_masks(mask, bbox, mini_shape)


def expand_mask(bbox, mini_mask, image_shape):
    """Masks [H, W, N] of mini-masks [h, w, N] with boxes [N, 4]."""
    return masks.expand_masks(mini_mask, bbox, image_shape)


def unmold_mask(mask, bbox, image_shape):
    """Mask [H, W] of the probabilities [28, 28] in a box."""
    return masks.restore_mask(mask, bbox, image_shape)


def generate_anchors(scales, ratios, shape, feature_stride, anchor_stride):
    """Anchors of one feature map, in each cell ratio by ratio."""
    return _anchors(scales, ratios, shape, feature_stride, anchor_stride)


def generate_pyramid_anchors(scales, ratios, feature_shapes, feature_strides, anchor_stride):
    """Anchors of as many levels as there are scales, one after the other."""
    count = len(scales)
    levels = zip(scales, feature_shapes[:count], feature_strides[:count], strict=True)
    return np.concatenate(
        [_anchors(scale, ratios, shape, stride, anchor_stride) for scale, shape, stride in levels]
    )


def _anchors(scales, ratios, shape, stride, anchor_stride):
    scales = np.atleast_1d(scales)
    parts = [
        anchors.level_anchors(scale, ratios, shape, stride, anchor_stride).reshape(
            -1, len(ratios), 1, 4
        )
        for scale in scales
    ]
    return np.concatenate(parts, axis=2).reshape(-1, 4)
