"""What Matterport's `model` offers beside `MaskRCNN`; `mrcnn.model` hands it on."""

import numpy as np

from mrcnn.matterport.detection_targets import build_detection_targets, generate_random_rois
from mrcnn.matterport.ground_truth import build_rpn_targets, data_generator, load_image_gt
from mrcnn.matterport.inspection import log
from mrcnn.matterport.molding import compose_image_meta, mold_image, parse_image_meta, unmold_image
from mrcnn.metrics import trim_zeros
from mrcnn.ops.anchors import feature_shape

__all__ = [
    "build_detection_targets",
    "build_rpn_targets",
    "compose_image_meta",
    "compute_backbone_shapes",
    "data_generator",
    "generate_random_rois",
    "load_image_gt",
    "log",
    "mold_image",
    "parse_image_meta",
    "trim_zeros",
    "unmold_image",
]


def compute_backbone_shapes(config, image_shape):
    """Rows and columns of the pyramid levels P2..P6: int [5, 2].

    Args:
        config: `Config`, for BACKBONE_STRIDES.
        image_shape: (height, width, ...) of the prepared image.
    """
    return np.array([feature_shape(image_shape, stride) for stride in config.BACKBONE_STRIDES])
