"""Settings for small images and two cores: a narrow ResNet-18 that starts from random weights."""


class Narrow:
    """To inherit from in front of a `Config`: `class MyConfig(Narrow, Config)`."""

    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    BACKBONE = "resnet18"
    BACKBONE_WIDTH = 32
    TRAIN_BN = True  # from random weights
    TOP_DOWN_PYRAMID_SIZE = 64
    RPN_CHANNELS = 64
    FPN_CLASSIF_FC_LAYERS_SIZE = 128
    MASK_HEAD_CHANNELS = 32
    MASK_POOL_SIZE = 7
    MASK_SHAPE = [14, 14]
    MINI_MASK_SHAPE = (28, 28)
    RPN_ANCHOR_SCALES = (16, 24, 32, 48, 64)
    RPN_TRAIN_ANCHORS_PER_IMAGE = 64
    PRE_NMS_LIMIT = 1000
    POST_NMS_ROIS_TRAINING = 100
    POST_NMS_ROIS_INFERENCE = 100
    TRAIN_ROIS_PER_IMAGE = 32
    GRADIENT_CLIP_NORM = 1.0  # larger first steps from random weights leave dead units
