"""Recorded outputs of the original programs, and the networks that must reproduce them.

Where a recording comes from and what it holds is said in recordings/README.md.
"""

from pathlib import Path

import numpy as np

import mrcnn.config
import siamese_mrcnn.config
from mrcnn.weights.hdf5 import named_variables, weight_array
from weight_rule import weight_value

FOLDER = Path(__file__).with_name("recordings")
MEAN_PIXEL = np.array([123.7, 116.8, 103.9])

# Float32 convolutions in another order of summation: 1e-4 relative (recordings/README.md); of
# values near zero, relative to the outputs' spread of about 1. Measured: 2.5e-5 with AVX2 alone.
ACTIVATIONS = {"rtol": 1e-4, "atol": 5e-5}
LOSSES = {"rtol": 1e-3}


class _Images:
    """What all recordings share: images of 256 pixels."""

    IMAGE_MIN_DIM = 200
    IMAGE_MAX_DIM = 256


class _Inference(_Images):
    IMAGES_PER_GPU = 1
    POST_NMS_ROIS_INFERENCE = 100


class _Training(_Images):
    IMAGES_PER_GPU = 2
    POST_NMS_ROIS_TRAINING = 24
    TRAIN_ROIS_PER_IMAGE = 40
    RPN_TRAIN_ANCHORS_PER_IMAGE = 64
    USE_RPN_ROIS = False


class SiameseInference(_Inference, siamese_mrcnn.config.Config):
    DETECTION_MIN_CONFIDENCE = 0.5
    SUBTRACT_MEAN_FROM_REFERENCE = False


class SiameseTraining(_Training, siamese_mrcnn.config.Config):
    pass


class MaskRCNNInference(_Inference, mrcnn.config.Config):
    BACKBONE = "resnet50"
    NUM_CLASSES = 81
    DETECTION_MIN_CONFIDENCE = 0.02
    DETECTION_MAX_INSTANCES = 50


class MaskRCNNTraining(_Training, mrcnn.config.Config):
    BACKBONE = "resnet50"
    NUM_CLASSES = 6
    MAX_GT_INSTANCES = 20


def read(name):
    """The arrays of a recording by name."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def set_recorded_weights(model, seed=0):
    """Give a Keras model the weights that the recordings were made with."""
    for name, variable in named_variables(model).items():
        variable.assign(weight_value(seed, *name.split("/"), tuple(variable.shape)))


def pixels(images):
    """Pictures as they were before the mean pixel was subtracted: uint8."""
    return np.around(images + MEAN_PIXEL).astype(np.uint8)


def recorded_masks(recording):
    """The masks that `detect` returned: bool [height, width, N]."""
    height, width, count = recording["result_masks_shape"]
    bits = np.unpackbits(recording["result_masks"], axis=1)[:, : height * width]
    return np.moveaxis(bits.reshape(count, height, width).astype(bool), 0, -1)


def weight_arrays(model):
    """All weights of a model by name, as float64 arrays."""
    return {
        name: weight_array(variable).astype(np.float64)
        for name, variable in named_variables(model).items()
    }
