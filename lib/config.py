"""`from lib import config`, as notebooks of the original Siamese Mask R-CNN begin."""

import siamese_mrcnn.config


class Config(siamese_mrcnn.config.Config):
    """The original's names beside ours; what is its own experiment's is kept, and unused."""

    EXPERIMENT = None
    CHECKPOINT_DIR = "checkpoints/"  # where `load_imagenet_weights` looks
    TARGET_PADDING = True
