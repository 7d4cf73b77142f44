"""Settings of Siamese Mask R-CNN: what differs from the core, and the sizes it comes in."""

import difflib

import mrcnn.config
from mrcnn.config import ConfigError

MOST_TARGETS = 1000  # references of a query, which a step has in memory at once


class Config(mrcnn.config.Config):
    """Siamese Mask R-CNN, small: one GPU of 12 GB; the defaults of the original."""

    NAME = "siamese_mask_rcnn"
    IMAGES_PER_GPU = 12
    NUM_CLASSES = 2  # background, and whatever the reference shows

    BACKBONE = "resnet50"
    FPN_FEATUREMAPS = 256  # channels of P2..P6
    FPN_CLASSIF_FC_LAYERS_SIZE = 512
    # How query and reference are compared (`siamese_mrcnn.modeling.matching`): the paper's
    # "distance", or "distance-alone", "correlation", "cosine", "none" to see what it is worth.
    COMPARISON = "distance"
    # Beyond averages: whether query and reference look at each other's places before they are
    # matched (`siamese_mrcnn.modeling.co_attention`), and whether each RoI is compared with the
    # places of the reference (`siamese_mrcnn.modeling.roi_comparison`). Trained weights of the
    # paper's model load into both and find the same until the new layers have trained.
    CO_ATTENTION = False
    ROI_COMPARISON = False
    # How many finds of an image, the best, are compared with the reference once more, at their
    # own resolution (`siamese_mrcnn.modeling.verification`); 0, as in the paper: none.
    VERIFIED_FINDS = 0
    # What that comparison begins with (`siamese_mrcnn.modeling.embeddings`): "shapes", learned on
    # C2, or the "features" C4 and C5 of a backbone that knows photographs.
    VERIFIED_BY = "shapes"
    # Whether it also looks at what is likelier background to the box head, as most is to a head
    # that was trained with negative queries.
    VERIFIED_BACKGROUND = False

    IMAGE_MIN_DIM = 400
    IMAGE_MAX_DIM = 512
    TARGET_MIN_DIM = 75  # pixels of the prepared reference, by the rule of the query
    TARGET_MAX_DIM = 96
    NUM_TARGETS = 1  # references per query in training (K-shot)
    # Share of the samples of training whose references show what the image does not, and share of
    # those that show something like what it does (`siamese_mrcnn.data.near_categories`).
    NEGATIVE_QUERIES = 0.0
    HARD_NEGATIVES = 0.0
    # Whether layers that ImageNet's weights leave at random are fitted to the data before the first
    # step (`mrcnn.training.random_start`), as all are in a start from nothing.
    FITTED_START = False
    # How references are fed when detecting; the original forgot to subtract (profile "official").
    SUBTRACT_MEAN_FROM_REFERENCE = True

    RPN_TRAIN_ANCHORS_PER_IMAGE = 64
    POST_NMS_ROIS_TRAINING = 500
    POST_NMS_ROIS_INFERENCE = 500
    TRAIN_ROIS_PER_IMAGE = 100
    MAX_GT_INSTANCES = 30
    DETECTION_MAX_INSTANCES = 30
    DETECTION_NMS_THRESHOLD = 0.5

    LEARNING_RATE = 0.02
    LOSS_WEIGHTS = {
        "rpn_class_loss": 2.0,
        "rpn_bbox_loss": 0.1,
        "mrcnn_class_loss": 2.0,
        "mrcnn_bbox_loss": 0.5,
        "mrcnn_mask_loss": 1.0,
    }

    shares = (*mrcnn.config.Config.shares, "NEGATIVE_QUERIES", "HARD_NEGATIVES")

    def __init__(self):
        super().__init__()
        if self.NEGATIVE_QUERIES:
            self.ROIS_OF_BACKGROUND = True  # or there would be nothing to learn from their RoIs
        # the core's name for it
        self.computed("TOP_DOWN_PYRAMID_SIZE", self.FPN_FEATUREMAPS, "FPN_FEATUREMAPS")
        # K, height, width, channels of the prepared references of one query
        side = self.TARGET_MAX_DIM
        self.computed("TARGET_SHAPE", (self.NUM_TARGETS, side, side, 3), "TARGET_MAX_DIM")

    @staticmethod
    def defaults():
        return {**vars(Config), **mrcnn.config.Config.defaults()}

    def validate(self):
        if (self.FEATURES, self.CONVENTIONS) != ("fpn", "matterport"):
            raise ConfigError(
                "References are matched with a feature pyramid of Matterport's conventions, so "
                'FEATURES must be "fpn" and CONVENTIONS "matterport", but they are '
                f"{self.FEATURES!r} and {self.CONVENTIONS!r}."
            )
        super().validate()
        if self.TARGET_MAX_DIM % 32 or self.TARGET_MAX_DIM < 32:
            raise ConfigError(
                f"TARGET_MAX_DIM is {self.TARGET_MAX_DIM}, but the backbone halves the reference "
                "five times, so it must be divisible by 32."
            )
        if self.TARGET_MIN_DIM > self.TARGET_MAX_DIM:
            raise ConfigError(
                f"TARGET_MIN_DIM ({self.TARGET_MIN_DIM}) must not exceed TARGET_MAX_DIM "
                f"({self.TARGET_MAX_DIM})."
            )
        if self.HARD_NEGATIVES and not self.NEGATIVE_QUERIES:
            raise ConfigError(
                f"HARD_NEGATIVES is {self.HARD_NEGATIVES}, a share of the negative queries, but "
                "there are none. Set NEGATIVE_QUERIES, say to 0.4, or HARD_NEGATIVES = 0."
            )
        if self.ROI_COMPARISON and self.FPN_FEATUREMAPS % 2:
            raise ConfigError(
                f"FPN_FEATUREMAPS is {self.FPN_FEATUREMAPS}, but ROI_COMPARISON halves the "
                "channels of the pyramid, so it must be even."
            )
        if not 1 <= self.NUM_TARGETS <= MOST_TARGETS:
            raise ConfigError(
                f"NUM_TARGETS must be from 1 to {MOST_TARGETS}, but is {self.NUM_TARGETS}."
            )


class SmallConfig(Config):
    """The paper's small model under its own name: 1 GPU x 12 images of 512 pixels."""

    NAME = "small_coco"


class LargeConfig(Config):
    """The paper's large model: 4 GPUs x 3 images of 1024 pixels."""

    NAME = "large_coco"
    GPU_COUNT = 4
    IMAGES_PER_GPU = 3
    FPN_CLASSIF_FC_LAYERS_SIZE = 1024
    IMAGE_MIN_DIM = 800
    IMAGE_MAX_DIM = 1024
    TARGET_MIN_DIM = 150
    TARGET_MAX_DIM = 192
    RPN_TRAIN_ANCHORS_PER_IMAGE = 256
    POST_NMS_ROIS_TRAINING = 2000
    POST_NMS_ROIS_INFERENCE = 1000
    TRAIN_ROIS_PER_IMAGE = 200
    MAX_GT_INSTANCES = 100
    DETECTION_MAX_INSTANCES = 100


class GlyphConfig(Config):
    """For drawn glyphs of 256 pixels (`siamese_mrcnn.synthetic`), trained from nothing on two CPUs.

    The paper's network with a ResNet-18 of half the width, and narrower heads, which begins with
    `siamese_mrcnn.training.category_pretraining`.
    """

    NAME = "glyphs"
    IMAGES_PER_GPU = 8
    BACKBONE = "resnet18"
    BACKBONE_WIDTH = 32
    OPTIMIZER = "adam"
    FPN_FEATUREMAPS = 64
    RPN_CHANNELS = 96
    FPN_CLASSIF_FC_LAYERS_SIZE = 256
    MASK_HEAD_CHANNELS = 64

    IMAGE_MIN_DIM = 256
    IMAGE_MAX_DIM = 256
    TARGET_MIN_DIM = 64
    TARGET_MAX_DIM = 64
    RPN_ANCHOR_SCALES = (20, 36, 64, 112, 180)  # nine glyphs of ten measure 29 to 194 pixels
    PRE_NMS_LIMIT = 1000
    POST_NMS_ROIS_TRAINING = 200
    POST_NMS_ROIS_INFERENCE = 100
    TRAIN_ROIS_PER_IMAGE = 32
    MAX_GT_INSTANCES = 12  # as many as a scene may have
    DETECTION_MAX_INSTANCES = 20
    DETECTION_NMS_THRESHOLD = 0.4
    DETECTION_MASK_THRESHOLD = 0.4  # strokes are thin, and their pixels often in doubt

    STEPS_PER_EPOCH = 500
    VALIDATION_STEPS = 10
    # Boxes and masks start from nothing too, so they weigh more than in the paper.
    LOSS_WEIGHTS = {
        "rpn_class_loss": 2.0,
        "rpn_bbox_loss": 0.5,
        "mrcnn_class_loss": 2.0,
        "mrcnn_bbox_loss": 1.0,
        "mrcnn_mask_loss": 2.0,
    }


class PhotoConfig(GlyphConfig):
    """For photographs, on features that were trained on ImageNet and stay as they are.

    Heads alone are trained, so that the backbone still knows ImageNet's kinds of things.
    """

    NAME = "photos"
    BACKBONE = "efficientnet-lite2"
    BACKBONE_WIDTH = 64
    FPN_FEATUREMAPS = 128
    RPN_CHANNELS = 128
    VERIFIED_BY = "features"
    VERIFIED_BACKGROUND = True

    IMAGE_MIN_DIM = 512
    IMAGE_MAX_DIM = 512
    TARGET_MIN_DIM = 160
    TARGET_MAX_DIM = 160
    RPN_ANCHOR_SCALES = (32, 64, 128, 224, 384)
    TRAIN_ROIS_PER_IMAGE = 48
    MAX_GT_INSTANCES = 20
    DETECTION_MAX_INSTANCES = 40
    DETECTION_NMS_THRESHOLD = 0.5
    DETECTION_MASK_THRESHOLD = 0.5

    NEGATIVE_QUERIES = 0.3
    FITTED_START = True
    STEPS_PER_EPOCH = 200


class ShapesConfig(Config):
    """For drawn shapes of 128 pixels (`siamese_mrcnn.synthetic`): small enough to try things in."""

    NAME = "shapes"
    IMAGES_PER_GPU = 4
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    TARGET_MIN_DIM = 64
    TARGET_MAX_DIM = 64
    FPN_FEATUREMAPS = 64
    FPN_CLASSIF_FC_LAYERS_SIZE = 128
    RPN_ANCHOR_SCALES = (16, 24, 32, 48, 64)
    POST_NMS_ROIS_TRAINING = 100
    POST_NMS_ROIS_INFERENCE = 100
    TRAIN_ROIS_PER_IMAGE = 24
    MASK_POOL_SIZE = 7
    MASK_SHAPE = [14, 14]
    MAX_GT_INSTANCES = 6
    DETECTION_MAX_INSTANCES = 10
    DETECTION_MIN_CONFIDENCE = 0.5
    DETECTION_NMS_THRESHOLD = 0.3
    GRADIENT_CLIP_NORM = 1.0  # larger first steps from random weights leave dead units


CONFIGS = {
    "small": SmallConfig,
    "large": LargeConfig,
    "glyphs": GlyphConfig,
    "photos": PhotoConfig,
    "shapes": ShapesConfig,
}


def make_config(name, settings=(), **overrides):
    """One of the configurations, for one device unless `GPU_COUNT` says otherwise.

    Args:
        name: a key of `CONFIGS`.
        settings: (key, value) pairs from the command line, which win.
        overrides: those whose value is None are left out.

    Raises:
        ValueError: there is no such configuration, or it has no such key.
    """
    if name not in CONFIGS:
        raise ValueError(f"There is no configuration {name!r}: choose {', '.join(CONFIGS)}.")
    base = CONFIGS[name]
    unknown = [key for key, _ in settings if not (key.isupper() and hasattr(base, key))]
    if unknown:
        near = difflib.get_close_matches(unknown[0], [key for key in dir(base) if key.isupper()])
        hint = f" Did you mean {' or '.join(near)}?" if near else " lib/mrcnn/config.py has them."
        raise ValueError(f"The configuration has no key {', '.join(unknown)}.{hint}")
    chosen = {"GPU_COUNT": 1} | {key: v for key, v in overrides.items() if v is not None}
    return type(base.__name__, (base,), chosen | dict(settings))()
