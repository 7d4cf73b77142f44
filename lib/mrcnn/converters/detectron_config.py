"""Settings of Detectron's published Mask R-CNNs, for their converted weights.

The sizes are those of its baselines on COCO. `MaskRCNN.load_weights` reads what `weights convert`
of the command line (`mrcnn.converters.formats`) makes of its `model_final.pkl`.
"""

import numpy as np

from mrcnn.config import Config
from mrcnn.modeling.mask_rcnn_c4 import C4Config


class _Detectron:
    """What both models share."""

    CONVENTIONS = "detectron"
    BACKBONE = "resnet50"
    NUM_CLASSES = 81
    MEAN_PIXEL = np.array([122.7717, 115.9465, 102.9801])  # RGB
    IMAGE_MIN_DIM = 800
    IMAGE_MAX_DIM = 1344  # there 1333; here the side of a square that can be halved six times
    RPN_ANCHOR_RATIOS = [2, 1, 0.5]
    RPN_BBOX_STD_DEV = np.ones(4)
    DETECTION_MIN_CONFIDENCE = 0.05
    DETECTION_NMS_THRESHOLD = 0.5
    TRAIN_ROIS_PER_IMAGE = 512
    ROI_POSITIVE_RATIO = 0.25


class DetectronConfig(_Detectron, Config):
    """Detectron's e2e_mask_rcnn_R-50-FPN; R-101 with BACKBONE = "resnet101"."""

    NAME = "detectron_fpn"
    RPN_CHANNELS = 256
    PRE_NMS_LIMIT = 1000


class DetectronC4Config(_Detectron, C4Config):
    """Detectron's e2e_mask_rcnn_R-50-C4."""

    NAME = "detectron_c4"
    PRE_NMS_LIMIT = 6000
