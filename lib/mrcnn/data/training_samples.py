"""One training sample: an image and its instances, prepared, with what anchors are to learn of it.

A sample is a dict of the arrays of a batch, see `mrcnn.data.training_batches`, without its axis.
"""

import numpy as np

from mrcnn.data.anchor_targets import anchor_targets
from mrcnn.data.augmentation import augment
from mrcnn.data.broken_images import BrokenSample, check_num_classes, checked_masks
from mrcnn.data.preprocessing import plan_input
from mrcnn.images.image import compose_image_meta, prepare_image, to_rgb
from mrcnn.images.masks import prepare_masks


class SkipSample(Exception):
    """This image has nothing to learn from; draw another one without a word."""


def load_sample(dataset, image_id, config, rng, augmentation=None):
    """Load one image with all its instances and make it a training sample, a dict of arrays.

    Crowds keep their negative class ids, so that no target is made of them.

    Raises:
        SkipSample: if no instance is annotated.
        BrokenSample: if masks and class ids do not fit the image, each other or NUM_CLASSES.
        mrcnn.data.broken_images.NumClassesError: if the data set has more or fewer classes.
    """
    check_num_classes(dataset, config)
    masks, class_ids = dataset.load_mask(image_id)
    if not np.any(np.asarray(class_ids) > 0):
        raise SkipSample
    masks = checked_masks(masks, class_ids, config)
    image = dataset.load_image(image_id)
    active = dataset.active_classes_of(image_id)
    return prepare_sample(image_id, image, masks, class_ids, active, config, rng, augmentation)


def prepare_sample(
    image_id,
    image,
    masks,
    class_ids,
    active_class_ids,
    config,
    rng,
    augmentation=None,
    may_be_empty=False,
):
    """Make an image and its instances a training sample.

    Args:
        image_id: number that goes into the image meta.
        image: [H, W, 3], or what else `mrcnn.images.image.to_rgb` takes.
        masks: bool [H, W, N], or a list of N masks [H, W].
        class_ids: int [N], negative for crowds.
        active_class_ids: [NUM_CLASSES] of 0 and 1, for the image meta.
        config: `Config`.
        rng: `numpy.random.Generator`, the only source of chance.
        augmentation: see `mrcnn.data.augmentation.augment`.
        may_be_empty: an image that shows no instance is a sample, too: all is background.

    Returns:
        the sample.

    Raises:
        SkipSample: if the crop of the image shows no instance.
        BrokenSample: if a mask has another size than the image, or no instance is left in the
            prepared image.
    """
    image = to_rgb(image)
    if isinstance(masks, np.ndarray):
        masks = [masks[..., index] for index in range(masks.shape[-1])]
    other = next((np.shape(mask) for mask in masks if np.shape(mask) != image.shape[:2]), None)
    if other is not None:
        raise BrokenSample(
            f"its masks have the shape {list(other)}, but the image is {image.shape[0]} x "
            f"{image.shape[1]} pixels (height x width): they must be the same"
        )
    if augmentation is not None:
        image, masks = _augment(image, masks, augmentation, rng)
    geometry = plan_input(image.shape, config, rng)
    mini_shape = config.MINI_MASK_SHAPE if config.USE_MINI_MASK else None
    boxes, masks, kept = prepare_masks(masks, geometry, mini_shape)
    class_ids = np.asarray(class_ids, np.int32)[kept]
    if not may_be_empty and not np.any(class_ids > 0):
        if geometry.crop:
            raise SkipSample  # the crop shows none; another one may
        raise BrokenSample("no pixel of any instance is left after preparing the image")
    rpn_match, rpn_deltas = anchor_targets(geometry.prepared_shape, class_ids, boxes, config, rng)
    return {
        "images": prepare_image(image, geometry),
        "image_metas": compose_image_meta(image_id, geometry, active_class_ids),
        **_pad_instances(class_ids, boxes, masks, config.MAX_GT_INSTANCES, rng),
        "roi_priorities": rng.random(config.POST_NMS_ROIS_TRAINING, dtype=np.float32),
        "rpn_match": rpn_match,
        "rpn_deltas": rpn_deltas,
    }


def _augment(image, masks, augmentation, rng):
    nothing = np.zeros((*image.shape[:2], 0), bool)
    stack = np.stack(masks, axis=-1).astype(bool) if masks else nothing
    image, stack = augment(image, stack, augmentation, rng)
    return image, [stack[..., index] for index in range(stack.shape[-1])]


def _pad_instances(class_ids, boxes, masks, room, rng):
    """Exactly `room` instances: a random subset of too many, else zero padded."""
    if len(class_ids) > room:
        chosen = rng.choice(len(class_ids), room, replace=False)
        class_ids, boxes, masks = class_ids[chosen], boxes[chosen], masks[..., chosen]
    count = len(class_ids)
    padded = {
        "gt_class_ids": np.zeros(room, np.int32),
        "gt_boxes": np.zeros((room, 4), np.float32),
        "gt_masks": np.zeros((*masks.shape[:2], room), np.uint8),
    }
    padded["gt_class_ids"][:count] = class_ids
    padded["gt_boxes"][:count] = boxes
    padded["gt_masks"][..., :count] = masks
    return padded
