"""Every number of the Mask R-CNN core, once, with its unit.

Subclass `Config` and override what differs; the upper-case names are those of Matterport's
Mask R-CNN. An override whose name nearly equals a known one leads to a warning that names it.
"""

import difflib
import functools
import logging
import reprlib
from numbers import Integral, Real

import numpy as np

from mrcnn.conventions import CONVENTIONS

logger = logging.getLogger(__name__)

# Settings that are whole numbers of at least 1.
POSITIVE = ("GPU_COUNT", "IMAGES_PER_GPU", "SUBDIVISIONS", "NUM_CLASSES", "STEPS_PER_EPOCH")

# The backbones of `mrcnn.modeling.backbones`, and what FEATURES each can give.
BACKBONES = {
    **dict.fromkeys(("resnet18", "resnet34"), ("fpn",)),
    **dict.fromkeys(("resnet50", "resnet101"), ("fpn", "c4")),
    **dict.fromkeys(("efficientnet-lite0", "efficientnet-lite2"), ("fpn",)),
}

# Settings of Matterport's that are not offered: the only value that they may have, what to do.
FIXED_SETTINGS = {
    "COMPUTE_BACKBONE_SHAPE": (None, "Add a backbone of your own to mrcnn.modeling.backbones."),
    "IMAGE_CHANNEL_COUNT": (3, "Make images of three channels in load_image()."),
    "IMAGE_PADDING": (True, 'Set IMAGE_RESIZE_MODE to "none" in place of it.'),
}

SIDES = {"square": "IMAGE_MAX_DIM", "crop": "IMAGE_MIN_DIM"}  # of prepared images, by mode


def _is_number(value):
    return isinstance(value, Real) and bool(np.isfinite(value))


def _are_numbers(value):
    return isinstance(value, list | tuple | np.ndarray) and all(map(_is_number, value))


KINDS = {  # of settings, by that of their defaults: in words, and whether a value is of it
    bool: ("True or False", lambda value: _is_number(value) and value in (0, 1)),
    int: ("a whole number of at least 0", lambda n: isinstance(n, Integral) and n >= 0),
    float: ("a number", _is_number),
    str: ("text", lambda value: isinstance(value, str)),
    dict: ("a dict of numbers", lambda d: isinstance(d, dict) and _are_numbers([*d.values()])),
    **dict.fromkeys((list, tuple, np.ndarray), ("a sequence of numbers", _are_numbers)),
}


class ConfigError(ValueError):
    """A configuration that cannot work, with a sentence that says what to change."""


class Config:
    """Settings of a Mask R-CNN: subclass it, override attributes, instantiate it."""

    NAME = "mask_rcnn"

    # --- hardware -----------------------------------------------------------------------------
    GPU_COUNT = 1
    IMAGES_PER_GPU = 2
    SUBDIVISIONS = 1  # parts that a device trains on one after another, to save memory

    # --- network ------------------------------------------------------------------------------
    # What proposals and heads look at: "fpn", the feature pyramid; or "c4", stage 4 of the
    # backbone, with stage 5 in the heads (`mrcnn.modeling.mask_rcnn_c4`).
    FEATURES = "fpn"
    CONVENTIONS = "matterport"  # or "detectron": whose weights fit, see `mrcnn.conventions`
    BACKBONE = "resnet101"  # or another of `BACKBONES`
    BACKBONE_WIDTH = 64  # usual; others make all stages narrower or wider
    BACKBONE_STRIDES = [4, 8, 16, 32, 64]  # pixels per cell of P2..P6; no others are possible
    TOP_DOWN_PYRAMID_SIZE = 256  # channels of P2..P6
    RPN_CHANNELS = 512
    FPN_CLASSIF_FC_LAYERS_SIZE = 1024
    MASK_HEAD_CHANNELS = 256
    NUM_CLASSES = 1  # background included
    MODEL = "mrcnn"  # or "frcnn": boxes only, no mask head
    TRAIN_BN = False  # False freezes the statistics only: gamma and beta still train
    RUN_EAGERLY = False  # True trains without compiling: quick to start, slow to go on

    # --- images -------------------------------------------------------------------------------
    IMAGE_RESIZE_MODE = "square"  # or "none", "pad64", "crop"
    IMAGE_MIN_DIM = 800  # pixels
    IMAGE_MAX_DIM = 1024  # pixels, divisible by 64
    IMAGE_MIN_SCALE = 0  # lower limit of the up-scaling; 0: none
    # RGB, of the ResNets; other backbones have their own mean, unless this is set.
    MEAN_PIXEL = np.array([123.7, 116.8, 103.9])

    # --- region proposals ---------------------------------------------------------------------
    RPN_ANCHOR_SCALES = (32, 64, 128, 256, 512)  # side of the square anchor per level, pixels
    RPN_ANCHOR_RATIOS = [0.5, 1, 2]  # width / height
    RPN_ANCHOR_STRIDE = 1  # cells between anchors
    RPN_NMS_THRESHOLD = 0.7  # intersection over union
    RPN_BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])
    RPN_TRAIN_ANCHORS_PER_IMAGE = 256
    PRE_NMS_LIMIT = 6000  # by Detectron's conventions, on each level of a pyramid
    POST_NMS_ROIS_TRAINING = 2000
    POST_NMS_ROIS_INFERENCE = 1000

    # --- training targets ---------------------------------------------------------------------
    USE_RPN_ROIS = True  # False: RoIs come with the batch
    TRAIN_ROIS_PER_IMAGE = 200
    ROI_POSITIVE_RATIO = 0.33
    ROIS_OF_BACKGROUND = False  # whether images without an instance give RoIs, all negative
    MAX_GT_INSTANCES = 100
    BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])
    USE_MINI_MASK = True
    MINI_MASK_SHAPE = (56, 56)  # height, width

    # --- heads --------------------------------------------------------------------------------
    ROI_POOLING = "align"  # or "max", only without a pyramid (arXiv 1504.08083)
    POOL_SIZE = 7  # cells per side of a RoI; 14 without a pyramid, where stage 5 halves them
    MASK_POOL_SIZE = 14
    MASK_SHAPE = [28, 28]  # twice MASK_POOL_SIZE; without a pyramid POOL_SIZE

    # --- detection ----------------------------------------------------------------------------
    DETECTION_MAX_INSTANCES = 100
    DETECTION_MIN_CONFIDENCE = 0.7
    DETECTION_NMS_THRESHOLD = 0.3
    DETECTION_MASK_THRESHOLD = 0.5  # probability from which on a pixel belongs to its mask

    # --- optimisation -------------------------------------------------------------------------
    STEPS_PER_EPOCH = 1000
    VALIDATION_STEPS = 50
    SNAPSHOT_STEPS = 0  # steps between checkpoints within an epoch; 0: only at its end
    LEARNING_RATE = 0.001
    OPTIMIZER = "sgd"  # or "adam"; either clips the gradients' norm
    LEARNING_MOMENTUM = 0.9  # for Adam that of the gradients (beta 1)
    WEIGHT_DECAY = 0.0001
    GRADIENT_CLIP_NORM = 5.0  # of all gradients together
    LOSS_WEIGHTS = {
        "rpn_class_loss": 1.0,
        "rpn_bbox_loss": 1.0,
        "mrcnn_class_loss": 1.0,
        "mrcnn_bbox_loss": 1.0,
        "mrcnn_mask_loss": 1.0,
    }
    ROI_LOSS_WEIGHING = 0.0  # alpha of `mrcnn.training.losses.weighed_class_loss`; 0: none
    SEED = 0  # of the samples of training; commands draw the first weights by it, too

    shares = ("ROI_LOSS_WEIGHING",)  # settings from 0 to 1

    def __init_subclass__(cls, **keywords):
        super().__init_subclass__(**keywords)
        known = {name for base in cls.__mro__[1:] for name in vars(base) if name.isupper()}
        for name in vars(cls):
            _say_near_miss(name, known)

    def __init__(self):
        self._require_kinds()
        self.computed("BATCH_SIZE", self.IMAGES_PER_GPU * self.GPU_COUNT, "IMAGES_PER_GPU")
        name = SIDES.get(self.IMAGE_RESIZE_MODE)
        side = getattr(self, name) if name else None
        self.computed("IMAGE_SHAPE", np.array([side, side, 3]), "IMAGE_MAX_DIM")
        # id (1), original shape (3), prepared shape (3), window (4), scale (1), active classes
        self.computed("IMAGE_META_SIZE", 12 + self.NUM_CLASSES, "NUM_CLASSES")
        self.validate()

    def _require_kinds(self):
        """Settings are of the kind of their defaults; 256.0 is a 256, as many programs write it."""
        for name, default in self.defaults().items():
            value, kind = getattr(self, name), type(default)
            kind = float if name == "IMAGE_MIN_SCALE" else kind  # 0 by chance
            if kind is int and isinstance(value, float) and value.is_integer():
                setattr(self, name, value := int(value))
            words, fits = KINDS.get(kind, ("", None))
            if name.isupper() and words and not fits(value):
                raise ConfigError(f"{name} must be {words}, but is {reprlib.repr(value)}.")

    @staticmethod
    def defaults():
        """{name: value} of the settings that this program has."""
        return dict(vars(Config))

    def computed(self, name, value, source):
        """Set what follows from other settings, with a warning where the class says another value.

        Args:
            name, value: of the setting.
            source: the setting to change for another value.
        """
        classes = (cls for cls in type(self).__mro__ if cls is not Config)
        said = [vars(cls)[name] for cls in classes if name in vars(cls)]
        if said and not np.array_equal(said[0], value):
            logger.warning(
                "%s follows from other settings and is %s: that the configuration sets it to %s "
                "changes nothing. Leave it out, and set %s as you need it.",
                name,
                value,
                said[0],
                source,
            )
        setattr(self, name, value)

    def __setattr__(self, name, value):
        _say_near_miss(name, {*dir(type(self)), *vars(self)})
        super().__setattr__(name, value)

    def __getattr__(self, name):
        if name == "BACKBONE_SHAPES":
            raise AttributeError(
                "BACKBONE_SHAPES is no setting any more: call mrcnn.model.compute_backbone_shapes("
                "config, config.IMAGE_SHAPE)."
            )
        raise AttributeError(f"{type(self).__name__} has no setting {name!r}.")

    def validate(self):
        """Check that the settings fit together.

        Raises:
            ConfigError: with the setting, its value and what would be allowed.
        """
        _one_of("BACKBONE", self.BACKBONE, tuple(BACKBONES))
        _one_of("OPTIMIZER", self.OPTIMIZER, ("sgd", "adam"))
        _one_of("MODEL", self.MODEL, ("mrcnn", "frcnn"))
        _one_of("FEATURES", self.FEATURES, ("fpn", "c4"))
        _one_of("CONVENTIONS", self.CONVENTIONS, tuple(CONVENTIONS))
        _one_of("ROI_POOLING", self.ROI_POOLING, ("align", "max"))
        _one_of("IMAGE_RESIZE_MODE", self.IMAGE_RESIZE_MODE, ("square", "none", "pad64", "crop"))
        name = SIDES.get(self.IMAGE_RESIZE_MODE)
        side = getattr(self, name) if name else 64  # is halved six times
        if side < 64 or side % 64:
            lower = max(64, side // 64 * 64)
            raise ConfigError(
                f"{name} is {side}, but the feature pyramid halves the image six times, so it must "
                f"be divisible by 64: try {lower} or {lower + 64}."
            )
        for name, (allowed, instead) in FIXED_SETTINGS.items():
            value = getattr(self, name, allowed)
            if value != allowed:
                raise ConfigError(f"{name} can only be {allowed!r}, but is {value!r}. {instead}")
        for name in POSITIVE:
            if (value := getattr(self, name)) < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1, but is {value!r}.")
        for name in self.shares:
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise ConfigError(f"{name} must be from 0 (none) to 1, but is {share!r}.")
        if self.IMAGES_PER_GPU % self.SUBDIVISIONS:
            raise ConfigError(
                f"IMAGES_PER_GPU ({self.IMAGES_PER_GPU}) must be divisible by SUBDIVISIONS "
                f"({self.SUBDIVISIONS}), the equal parts that a device trains on in turn."
            )
        if self.FEATURES == "c4":
            self._validate_c4()
        else:
            self._validate_pyramid()

    def _validate_pyramid(self):
        if not 1 <= len(self.RPN_ANCHOR_SCALES) <= 5:
            raise ConfigError(
                "RPN_ANCHOR_SCALES needs one number for each of the five levels P2..P6, or fewer "
                f"to propose from the lowest alone, but has {len(self.RPN_ANCHOR_SCALES)}."
            )
        strides = Config.BACKBONE_STRIDES
        if not np.array_equal(self.BACKBONE_STRIDES, strides):
            raise ConfigError(
                f"BACKBONE_STRIDES can only be {strides}, those of every backbone and of the "
                f"pyramid, but is {self.BACKBONE_STRIDES!r}. Leave it out; for other anchors, "
                "change RPN_ANCHOR_SCALES and RPN_ANCHOR_STRIDE."
            )
        if self.MODEL == "mrcnn" and list(self.MASK_SHAPE) != [2 * self.MASK_POOL_SIZE] * 2:
            raise ConfigError(
                "The mask head doubles the cells of a RoI, so MASK_SHAPE must be [2 * "
                f"MASK_POOL_SIZE, 2 * MASK_POOL_SIZE]: {[2 * self.MASK_POOL_SIZE] * 2}, but is "
                f"{self.MASK_SHAPE!r}. Change either."
            )
        if self.ROI_POOLING != "align":
            raise ConfigError(
                f"ROI_POOLING is {self.ROI_POOLING!r}, but RoIs are pooled from a pyramid by "
                '"align" only: use that, or FEATURES = "c4".'
            )

    def _validate_c4(self):
        able = tuple(name for name, features in BACKBONES.items() if "c4" in features)
        _one_of("BACKBONE without a pyramid", self.BACKBONE, able)
        if self.MODEL == "mrcnn" and list(self.MASK_SHAPE) != [self.POOL_SIZE] * 2:
            raise ConfigError(
                'With FEATURES = "c4", stage 5 halves the cells of a RoI and the masks have twice '
                f"as many again, so MASK_SHAPE must be [POOL_SIZE, POOL_SIZE]: "
                f"{[self.POOL_SIZE] * 2}, but is {list(self.MASK_SHAPE)}."
            )
        if self.POOL_SIZE < 2 or self.POOL_SIZE % 2:
            reason = "which stage 5 can halve"
            raise ConfigError(f"POOL_SIZE must be an even number, {reason}, not {self.POOL_SIZE}.")

    def items(self):
        """All settings as sorted (name, value) pairs."""
        names = (name for name in dir(self) if name.isupper() and not name.startswith("_"))
        return [(name, getattr(self, name)) for name in sorted(names)]

    def display(self):
        """Print all settings, a line each."""
        print("\nConfigurations:")
        for name, value in self.items():
            print(f"{name:30} {value}")
        print()


def _say_near_miss(name, known):
    """Warn of an upper-case name that is probably a slip of a known one."""
    if not name.isupper() or name in known:
        return
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
    if close:
        _warn_once(name, close[0])


@functools.cache
def _warn_once(name, close):
    logger.warning(
        "%s is no setting of this program and changes nothing in it, but %s is one: is that meant?",
        name,
        close,
    )


def _one_of(name, value, allowed):
    if value not in allowed:
        raise ConfigError(f"{name} must be one of {str(allowed)[1:-1]}, but is {value!r}.")


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
