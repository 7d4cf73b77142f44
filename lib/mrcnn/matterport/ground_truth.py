"""The truth of an image as the network is to learn it, to look at: Matterport's functions for it.

Training itself goes through `mrcnn.data.training_batches`, whose samples these are.
"""

import logging

import numpy as np

from mrcnn.data.anchor_targets import anchor_grid, anchor_targets
from mrcnn.data.augmentation import HorizontalFlip
from mrcnn.data.augmentation import augment as apply_augmentation
from mrcnn.data.broken_images import NumClassesError, describe_failure
from mrcnn.data.preprocessing import plan_input
from mrcnn.data.training_samples import SkipSample, load_sample
from mrcnn.images.image import compose_image_meta, prepare_image, to_rgb
from mrcnn.images.masks import prepare_masks
from mrcnn.matterport.detection_targets import (
    build_detection_targets,
    generate_random_rois,
    global_generator,
)
from mrcnn.matterport.molding import mold_image

logger = logging.getLogger(__name__)

ROUNDING = 0.51  # pixels that `utils.denorm_boxes` may move an anchor


def load_image_gt(dataset, config, image_id, augment=False, augmentation=None, use_mini_mask=False):
    """Load an image with its instances and prepare it, as for training.

    Args:
        dataset: prepared `Dataset`.
        config: `Config`.
        image_id: number of the image in the data set.
        augment: True mirrors one image in two; older than `augmentation`.
        augmentation: see `mrcnn.data.augmentation.augment`.
        use_mini_mask: cut masks by their boxes and scale them to MINI_MASK_SHAPE.

    Returns:
        image uint8 [H, W, 3]; image_meta [12 + classes]; class_ids int32 [N], negative for
        crowds; bbox int32 [N, (y1, x1, y2, x2)], pixels of the prepared image; mask bool
        [H, W, N], or [h, w, N] of mini-masks. Instances that vanish are left out.
    """
    rng = global_generator()
    image = to_rgb(dataset.load_image(image_id))
    masks, class_ids = dataset.load_mask(image_id)
    image, masks = _augmented(image, masks, _augmentations(augment, augmentation), rng)
    geometry = plan_input(image.shape, config, rng)
    mini_shape = config.MINI_MASK_SHAPE if use_mini_mask else None
    planes = [masks[..., index] for index in range(masks.shape[-1])]
    bbox, mask, kept = prepare_masks(planes, geometry, mini_shape)
    meta = compose_image_meta(image_id, geometry, dataset.active_classes_of(image_id))
    prepared = prepare_image(image, geometry)
    return prepared, meta, np.asarray(class_ids, np.int32)[kept], bbox, mask


def build_rpn_targets(image_shape, anchors, gt_class_ids, gt_boxes, config):
    """Label the anchors of an image: `mrcnn.data.anchor_targets.anchor_targets` with a global seed.

    Args:
        image_shape: (height, width, ...) of the prepared image.
        anchors: [A, 4] pixels; they must be those of the configuration, in their order, but may
            be rounded to whole pixels. Labels and deltas are of the exact ones.
        gt_class_ids: int [N], negative for crowds; gt_boxes: [N, 4] pixels.
        config: `Config`.

    Returns:
        rpn_match int32 [A] of 1 (positive), -1 (negative), 0; rpn_bbox float32
        [RPN_TRAIN_ANCHORS_PER_IMAGE, 4], the deltas of the positive anchors.

    Raises:
        ValueError: the anchors are others.
    """
    own = anchor_grid(config, image_shape).anchors
    if np.shape(anchors) != own.shape or np.abs(anchors - own).max() > ROUNDING:
        raise ValueError(
            f"build_rpn_targets labels the {len(own)} anchors that the configuration makes for "
            f"images of {image_shape[0]} x {image_shape[1]} pixels, but was given "
            f"{len(anchors)} others. Take model.anchors after model.get_anchors(image_shape), or "
            "change RPN_ANCHOR_SCALES, RPN_ANCHOR_RATIOS and BACKBONE_STRIDES."
        )
    return anchor_targets(image_shape, gt_class_ids, gt_boxes, config, global_generator())


def data_generator(
    dataset,
    config,
    shuffle=True,
    augment=False,
    augmentation=None,
    random_rois=0,
    batch_size=1,
    detection_targets=False,
    no_augmentation_sources=None,
):
    """Endless batches of a data set in Matterport's layout, to look at.

    Args:
        dataset: prepared `Dataset`; images without instances are passed over.
        config: `Config`.
        shuffle: draw the order of the images anew in each pass.
        augment, augmentation: as of `load_image_gt`.
        random_rois: so many RoIs near the instances come with each image.
        batch_size: B, images a batch.
        detection_targets: with random_rois: what the heads should answer for a sample of them.
        no_augmentation_sources: names of sources whose images are not augmented.

    Yields:
        ([images float32 [B, H, W, 3], minus the mean; image_meta [B, 12 + classes]; rpn_match
        int32 [B, A, 1]; rpn_bbox [B, RPN_TRAIN_ANCHORS_PER_IMAGE, 4]; gt_class_ids int32 [B, G],
        G = MAX_GT_INSTANCES; gt_boxes int32 [B, G, 4], pixels; gt_masks bool [B, h, w, G]], []).
        With random_rois the RoIs [B, N, 4] follow the inputs; with detection_targets also those
        sampled, and the second list is class ids [B, T, 1], deltas and masks as of
        `build_detection_targets`.

    Raises:
        ValueError: no image of the data set can be used.
    """
    steps = _augmentations(augment, augmentation)
    samples = _samples(dataset, config, shuffle, steps, no_augmentation_sources or ())
    while True:
        batch = [next(samples) for _ in range(batch_size)]
        inputs, outputs = _arranged(batch, config), []
        if random_rois:
            rois = [_rois_around(sample, random_rois) for sample in batch]
            inputs.append(np.stack(rois))
        if random_rois and detection_targets:
            sampled, *outputs = _head_targets(batch, rois, config)
            inputs.append(sampled)
        yield inputs, outputs


def _augmentations(augment, augmentation):
    steps = [HorizontalFlip()] if augment else []
    return steps + ([augmentation] if augmentation is not None else [])


def _augmented(image, masks, steps, rng):
    masks = np.asarray(masks)
    return apply_augmentation(image, masks.astype(bool), steps, rng) if steps else (image, masks)


def _samples(dataset, config, shuffle, steps, plain_sources):
    """Training samples, dicts of arrays, in passes over the images without end."""
    rng, reported = global_generator(), set()
    while True:
        image_ids = np.array(dataset.image_ids)
        made, failure = 0, "no image shows an instance"
        for image_id in rng.permutation(image_ids) if shuffle else image_ids:
            plain = not steps or dataset.image_info[image_id]["source"] in plain_sources
            try:
                sample = load_sample(dataset, image_id, config, rng, None if plain else steps)
            except SkipSample:
                continue
            except NumClassesError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a user's load_mask() raises
                failure = ": ".join(describe_failure(dataset, image_id, error))
                if failure not in reported:
                    logger.warning("Passed over a broken image, %s", failure)
                reported.add(failure)
                continue
            made += 1
            yield sample
        if not made:
            raise ValueError(
                f"None of the {len(image_ids)} images of the data set makes a sample; the last "
                f"failure: {failure}. Check the folder of images and load_mask()."
            )


def _arranged(batch, config):
    def stacked(key):
        return np.stack([sample[key] for sample in batch])

    return [
        mold_image(stacked("images"), config).astype(np.float32),
        stacked("image_metas"),
        stacked("rpn_match")[..., None],
        stacked("rpn_deltas"),
        stacked("gt_class_ids"),
        stacked("gt_boxes").astype(np.int32),
        stacked("gt_masks").astype(bool),
    ]


def _rois_around(sample, count):
    shape, class_ids = sample["images"].shape, sample["gt_class_ids"]
    return generate_random_rois(shape, count, class_ids, sample["gt_boxes"])


def _head_targets(batch, rois, config):
    """RoIs, class ids, deltas and masks of `build_detection_targets`, stacked."""
    truth = ("gt_class_ids", "gt_boxes", "gt_masks")
    targets = [
        build_detection_targets(each, *(sample[key] for key in truth), config)
        for each, sample in zip(rois, batch, strict=True)
    ]
    sampled, class_ids, deltas, masks = (np.stack(part) for part in zip(*targets, strict=True))
    return sampled, class_ids[..., None], deltas, masks
