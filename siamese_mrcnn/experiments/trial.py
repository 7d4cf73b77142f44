"""A trial: every notebook in minutes, with drawn shapes and hardly any steps instead of COCO.

The environment variable SIAMESE_MRCNN_TRIAL=1 asks for it. It shows that everything runs; its
numbers mean nothing.
"""

import os

from siamese_mrcnn.training.schedules import Phase

SWITCH = "SIAMESE_MRCNN_TRIAL"
FOLDER = "demo_output/trial"  # everything that a trial writes, below the repository

SHAPES = {"train_images": 100, "val_images": 12, "image_size": 128, "seed": 3}
# On top of `siamese_mrcnn.config.ShapesConfig`. For so few steps, compiling takes longest: hence
# none for training, and the backbone with the fewest layers.
SETTINGS = {
    "RUN_EAGERLY": True,
    "BACKBONE": "resnet18",
    "BACKBONE_WIDTH": 16,
    "RPN_CHANNELS": 32,
    "MASK_HEAD_CHANNELS": 16,
    "IMAGES_PER_GPU": 2,
    "STEPS_PER_EPOCH": 2,
    "VALIDATION_STEPS": 1,
    "FPN_FEATUREMAPS": 32,
    "FPN_CLASSIF_FC_LAYERS_SIZE": 32,
    "POST_NMS_ROIS_TRAINING": 30,
    "POST_NMS_ROIS_INFERENCE": 20,
    "TRAIN_ROIS_PER_IMAGE": 12,
    "RPN_TRAIN_ANCHORS_PER_IMAGE": 16,
    "DETECTION_MAX_INSTANCES": 4,
}
# One phase, since each is compiled anew; from random weights the paper's rate is too high.
SCHEDULE = (Phase(1, "all", 0.002),)
WATCHED = {"every": 1, "limit": None}
RUNS = 2
LIMIT = 6  # test images


class SwitchError(ValueError):
    """A value of the environment variable that says neither yes nor no."""


def is_trial():
    """Whether SIAMESE_MRCNN_TRIAL asks for a trial.

    Raises:
        SwitchError: it is set to something else than 0 or 1.
    """
    value = os.environ.get(SWITCH, "0").strip() or "0"
    if value not in ("0", "1"):
        raise SwitchError(
            f"{SWITCH} must be 1 (drawn shapes, a tiny model, few steps) or 0 (COCO and the "
            f"paper's schedules), but is {value!r}."
        )
    return value == "1"
