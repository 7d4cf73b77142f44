"""A Siamese Mask R-CNN as small as it gets, with random weights and random batches."""

import zlib

import keras
import numpy as np

from mrcnn.anchors import pyramid_anchors
from mrcnn.weights import named_variables
from siamese_mrcnn.config import Config

SIDE = 128


class FewOfAll:
    """Settings of small images with a few RoIs, anchors and instances each."""

    IMAGE_MIN_DIM = SIDE
    IMAGE_MAX_DIM = SIDE
    POST_NMS_ROIS_TRAINING = 30
    POST_NMS_ROIS_INFERENCE = 20
    TRAIN_ROIS_PER_IMAGE = 12
    RPN_TRAIN_ANCHORS_PER_IMAGE = 16
    MAX_GT_INSTANCES = 4
    DETECTION_MAX_INSTANCES = 6
    DETECTION_MIN_CONFIDENCE = 0.0


class SmallTrainingConfig(FewOfAll, Config):
    IMAGES_PER_GPU = 4
    TARGET_MIN_DIM = 32
    TARGET_MAX_DIM = 32
    FPN_FEATUREMAPS = 32
    FPN_CLASSIF_FC_LAYERS_SIZE = 32
    GRADIENT_CLIP_NORM = 0.5  # active in every step


def random_weights(model):
    """Weights that keep activations in range, drawn from their names."""
    for name, variable in named_variables(model).items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        shape, kind = tuple(variable.shape), name.split("/")[-1]
        if kind == "kernel":
            value = rng.normal(0, np.sqrt(1.5 / np.prod(shape[:-1])), shape)
        elif kind in ("gamma", "moving_variance"):
            value = rng.uniform(0.4, 0.8, shape)
        else:
            value = rng.normal(0, 0.05, shape)
        variable.assign(value)


def random_sample(config, rng):
    """x and y of one training sample: noise with a few boxes."""
    instances = rng.integers(1, config.MAX_GT_INSTANCES + 1)
    class_ids = (np.arange(config.MAX_GT_INSTANCES) < instances).astype(np.int32)
    corner = rng.integers(0, SIDE // 4, (config.MAX_GT_INSTANCES, 2))
    side = rng.integers(SIDE // 2, 3 * SIDE // 4, (config.MAX_GT_INSTANCES, 2))
    anchors = len(pyramid_anchors(config, (SIDE, SIDE)))
    x = {
        "images": rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8),
        "image_metas": np.ones(config.IMAGE_META_SIZE, np.float32),
        "references": rng.integers(0, 256, config.TARGET_SHAPE, dtype=np.uint8),
        "gt_class_ids": class_ids,
        "gt_boxes": np.hstack([corner, corner + side]).astype(np.float32) * class_ids[:, None],
        "gt_masks": rng.integers(0, 2, (56, 56, config.MAX_GT_INSTANCES), dtype=np.uint8),
        "roi_priorities": rng.random(config.POST_NMS_ROIS_TRAINING, dtype=np.float32),
    }
    if not config.USE_RPN_ROIS:
        x["rois"] = random_rois(config, x["gt_boxes"][:instances], rng)
    match = rng.choice([-1, 0, 1], anchors, p=[0.003, 0.994, 0.003]).astype(np.int32)
    match[np.flatnonzero(match == 1)[config.RPN_TRAIN_ANCHORS_PER_IMAGE :]] = 0
    deltas = rng.normal(0, 1, (config.RPN_TRAIN_ANCHORS_PER_IMAGE, 4)).astype(np.float32)
    return x, {"rpn_match": match, "rpn_deltas": deltas}


def random_rois(config, gt_boxes, rng):
    """RoIs near the instances, none at the border, where rounding decides what is pooled."""
    chosen = rng.integers(0, len(gt_boxes), config.POST_NMS_ROIS_TRAINING)
    moved = gt_boxes[chosen] + rng.uniform(-20, 20, (len(chosen), 4))
    return np.clip(moved, [1, 1, SIDE // 4 + 8, SIDE // 4 + 8], SIDE - 2).astype(np.float32)


class RandomBatches(keras.utils.PyDataset):
    """Batches of random samples, numbered."""

    def __init__(self, config, steps):
        super().__init__()
        self.config, self.steps = config, steps

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        samples = [random_sample(self.config, rng) for _ in range(self.config.BATCH_SIZE)]
        return tuple(
            {key: np.stack([sample[part][key] for sample in samples]) for key in samples[0][part]}
            for part in (0, 1)
        )
