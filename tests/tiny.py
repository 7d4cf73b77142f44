"""Networks with the layers of the real ones, but hardly any weights, and a data set of boxes."""

import contextlib

import keras
import numpy as np
import pytest
from weight_rule import weight_value

import mrcnn.config
import siamese_mrcnn.config
from mrcnn import resnet
from mrcnn.dataset import Dataset
from mrcnn.model import MaskRCNN
from mrcnn.weights import named_variables, weight_array
from siamese_mrcnn.model import SiameseMaskRCNN
from small import FewOfAll


class _Sizes(FewOfAll):
    """What both models share."""

    BACKBONE = "resnet50"
    IMAGES_PER_GPU = 2
    FPN_CLASSIF_FC_LAYERS_SIZE = 16
    MASK_HEAD_CHANNELS = 16
    PRE_NMS_LIMIT = 200
    STEPS_PER_EPOCH = 2
    VALIDATION_STEPS = 1
    RUN_EAGERLY = keras.backend.backend() == "tensorflow"  # whose compiling takes far longer


class TinyConfig(_Sizes, mrcnn.config.Config):
    NAME = "tiny"
    NUM_CLASSES = 3
    TOP_DOWN_PYRAMID_SIZE = 16


class TinySiameseConfig(_Sizes, siamese_mrcnn.config.Config):
    NAME = "tiny_siamese"
    FPN_FEATUREMAPS = 16
    TARGET_MIN_DIM = 32
    TARGET_MAX_DIM = 32


@contextlib.contextmanager
def few_weights():
    """Networks that are built inside have one block a stage, and few channels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(resnet.BLOCKS, "resnet50", (1, 1, 1, 1))
        patch.setattr(resnet, "WIDTHS", (8, 8, 16, 16))
        yield


def tiny_model(mode, model_dir, **settings):
    """A plain `MaskRCNN` with random weights; `settings` replace those of `TinyConfig`."""
    config = type("Changed", (TinyConfig,), settings)()
    return _filled(lambda: MaskRCNN(mode, config, model_dir))


def tiny_siamese_model(mode, model_dir, **settings):
    """A `SiameseMaskRCNN` with random weights."""
    config = type("Changed", (TinySiameseConfig,), settings)()
    return _filled(lambda: SiameseMaskRCNN(mode, model_dir, config))


def _filled(make):
    with few_weights():
        model = make()
    fill(model.keras_model)
    return model


def fill(model):
    """Give a Keras model weights that keep activations in range, drawn from their names."""
    for name, variable in named_variables(model).items():
        variable.assign(weight_value(0, *name.split("/"), tuple(variable.shape)))
    return model


def arrays_of(model):
    """All weights of a Keras model by name."""
    return {name: weight_array(each) for name, each in named_variables(model).items()}


def assert_same_arrays(found, expected):
    """Two dicts of arrays are equal, bit by bit."""
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def picture(height, width, seed=0):
    """Noise, as coarse as things in pictures are: uint8 [height, width, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.repeat(np.repeat(coarse, 8, axis=0), 8, axis=1)[:height, :width]


def pictures_of_several_sizes():
    """Five pictures, in each of which the tiny models find something."""
    shapes = [(100, 90), (60, 128), (128, 128), (200, 150), (40, 37)]
    return [picture(*shape, seed) for seed, shape in enumerate(shapes)]


class BoxesDataset(Dataset):
    """Images with one bright box of each of two classes, of any number and size."""

    def __init__(self, images=6):
        super().__init__()
        for class_id, name in ((1, "wide"), (2, "high")):
            self.add_class("boxes", class_id, name)
        for image_id in range(images):
            self.add_image("boxes", image_id, f"box{image_id}.png")
        self.prepare()

    def load_image(self, image_id):
        masks, _ = self.load_mask(image_id)
        image = picture(100, 120, image_id) // 2
        image[masks.any(axis=-1)] += 100
        return image

    def load_mask(self, image_id):
        masks = np.zeros((100, 120, 2), bool)
        y, x = np.random.default_rng(image_id).integers(0, 30, 2)
        masks[y : y + 24, x : x + 60, 0] = True
        masks[y + 20 : y + 70, x + 40 : x + 70, 1] = True
        return masks, np.array([1, 2], np.int32)
