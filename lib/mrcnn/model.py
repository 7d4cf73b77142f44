"""Mask R-CNN for users: train it, load and save its weights, detect with it."""

import logging
import os

import keras
import numpy as np

from mrcnn.config import Config, ConfigError
from mrcnn.converters.imagenet import imagenet_file
from mrcnn.data.postprocessing import restore_detections
from mrcnn.data.preprocessing import as_list, prepare_inputs, same_shape_chunks, windows_of
from mrcnn.data.training_samples import load_sample
from mrcnn.images.image import Geometry
from mrcnn.matterport import functions
from mrcnn.matterport.functions import *  # noqa: F403  its functions beside the class, by their old place
from mrcnn.matterport.ignored_changes import say_what_is_ignored
from mrcnn.matterport.layer_names import NamedModel, NamedTrainableModel
from mrcnn.matterport.model_methods import MatterportMethods
from mrcnn.matterport.molding import without_molding
from mrcnn.matterport.retired_names import retired as __getattr__  # noqa: F401
from mrcnn.modeling.compiled_functions import CompiledFunctions
from mrcnn.modeling.conv_norm import is_folded
from mrcnn.modeling.mask_rcnn import MaskRCNNNetwork
from mrcnn.modeling.mask_rcnn_c4 import C4Network
from mrcnn.training.distribution import devices_scope
from mrcnn.training.fit import TrainingMethods
from mrcnn.weights.layout import HEADS, mask_rcnn_groups
from mrcnn.weights.model_methods import WeightsMethods

__all__ = [*functions.__all__, "MaskRCNN"]

logger = logging.getLogger(__name__)

# Settings that are built into the compiled functions: a change of one builds them anew.
COMPILED_SETTINGS = (
    "DETECTION_MAX_INSTANCES",
    "DETECTION_MIN_CONFIDENCE",
    "DETECTION_NMS_THRESHOLD",
    "PRE_NMS_LIMIT",
    "POST_NMS_ROIS_INFERENCE",
    "RPN_NMS_THRESHOLD",
)
# The mask head runs on as many rows as there are detections, rounded up to one of these numbers,
# since each number of rows compiles once.
MASK_ROWS = (4, 16, 64)


class MaskRCNN(TrainingMethods, WeightsMethods, MatterportMethods):
    """Mask R-CNN, by FEATURES of the configuration with a feature pyramid or none.

    Args:
        mode: "training" or "inference".
        config: `Config`.
        model_dir: folder that training runs are saved below.

    Attributes:
        keras_model: the `keras.Model` of this mode; it holds the weights.
        epoch: epochs that the weights have been trained for.
        threshold: score from which on enough detections were right when it was measured, as
            the file of the weights says; None: it does not.
        keep_mask: function of a mask bool [height, width] to what is kept of it, so that no more
            than one is whole at a time; `Detections.masks` is then a list. None keeps them whole.
        latest: checkpoint in that folder when the model was loaded or trained last.
        log_dir, checkpoint_path: folder of the current training run, and the path of its
            checkpoints with {epoch:04d} in it; texts.
    """

    compiled_settings = COMPILED_SETTINGS
    checkpoint_prefix = "mask_rcnn"  # of the files' names, as programs search for them
    config_class = Config

    def __init__(self, mode, config, model_dir="logs"):
        if mode not in ("training", "inference"):
            raise ValueError(f'mode must be "training" or "inference", but is {mode!r}.')
        if not isinstance(config, self.config_class):
            expected = f"{self.config_class.__module__}.{self.config_class.__name__}"
            raise ConfigError(
                f"config must be an object of a subclass of {expected}, but is {config!r}. Make "
                "one with MyConfig(), and give config= and model_dir= by name."
            )
        self.mode, self.config, self.model_dir = mode, config, os.fspath(model_dir)
        self.epoch, self.log_dir, self.checkpoint, self.anchor_shape = 0, None, None, None
        self.threshold, self.keep_mask = None, None
        self._functions = CompiledFunctions()
        with self._scope():
            self.network = self.make_network(config)
            self.keras_model = self._build()
        self.keras_model.file_groups, self.keras_model.facts = self.file_groups, self.facts

    # --- what a model of another network replaces -----------------------------------------------

    @staticmethod
    def make_network(config):
        """The network of this model."""
        return C4Network(config) if config.FEATURES == "c4" else MaskRCNNNetwork(config)

    @staticmethod
    def file_groups(architecture):
        """Groups of the original's checkpoint files, see `mrcnn.weights.layout`."""
        return mask_rcnn_groups(architecture)

    sample_loader = staticmethod(load_sample)

    def load_imagenet_weights(self, pretraining="imagenet-1k", folder="checkpoints", verbose=0):
        """Load a backbone trained on ImageNet, to start training from; the rest stays random.

        Args:
            pretraining: "imagenet-1k" (fetched where the file is missing), "imagenet-771" (without
                PASCAL VOC's classes) or "imagenet-687" (without COCO's); or the path of a file as
                others publish it (.npz, .pth).
            folder: where the files are, see checkpoints/README.md.
            verbose: 1 prints what was loaded.

        Returns, raises: as `load_weights`, see also `mrcnn.converters.imagenet.imagenet_file`.
        """
        path = imagenet_file(pretraining, self.config.BACKBONE, folder)
        return self.load_weights(path, may_be_missing=HEADS, verbose=verbose)

    # --- detection ------------------------------------------------------------------------------

    def detect(self, images, verbose=0):
        """Find instances in any number of images of any size.

        Args:
            images: list of arrays [height, width(, channels)] or paths; grey and alpha work.
            verbose: 1 prints how many instances were found.

        Returns:
            a `mrcnn.data.postprocessing.Detections` per image.
        """
        say_what_is_ignored(type(self), MaskRCNN)
        return self.detect_prepared(self.prepare(images), verbose)

    def detect_prepared(self, prepared, verbose=0, in_prepared=False):
        """As `detect`, for [(prepared image [h, w, 3], `mrcnn.images.image.Geometry`)].

        With `in_prepared`, boxes and masks are in the pixels of the prepared images.
        """
        detections = []
        for chunk in same_shape_chunks(prepared, self.config.BATCH_SIZE):
            geometries = [geometry for _, geometry in chunk]
            shape = self.anchor_shape = geometries[0].prepared_shape
            find = self.function("boxes", shape, lambda: self.network.boxes_model(shape))  # noqa: B023
            found = find(
                {
                    "images": np.stack([image for image, _ in chunk]),
                    "windows": windows_of(geometries, self.network.edges),
                }
            )
            whole = [Geometry(shape, shape, (0, 0, *shape))] * len(chunk)
            detections += self.restore(found, whole if in_prepared else geometries)
        if verbose:
            print(f"Found {[len(each) for each in detections]} instances.")
        return detections

    def prepare(self, images):
        """Images (arrays or paths) as [(prepared uint8 image, `Geometry`)]."""
        images = [without_molding(image, self.config) for image in as_list(images)]
        return prepare_inputs(images, self.config)

    def restore(self, found, geometries):
        """Outputs of a boxes model as a `Detections` per image, masks included.

        Args:
            found: {"detections": [batch, D, 6], "pyramid": P2..P5, or C4 in a list}
            geometries: of the prepared images, all of one shape.
        """
        detections = keras.ops.convert_to_numpy(found["detections"])
        masks = [None] * len(geometries)
        if self.network.mask_head is not None:
            masks = self._masks(detections, found["pyramid"], geometries[0].prepared_shape)
        rows = zip(detections, masks, geometries, strict=True)
        how = (self.config.DETECTION_MASK_THRESHOLD, self.network.edges, self.keep_mask)
        return [restore_detections(*each, *how) for each in rows]

    def _masks(self, detections, pyramid, shape):
        """Masks of the rows that are no padding, or of a few more: the work grows with the rows."""
        rows = int(np.count_nonzero(detections[..., 4], axis=1).max())
        steps = [step for step in MASK_ROWS if step < detections.shape[1]]
        count = next((step for step in steps if step >= rows), detections.shape[1])
        if not rows:
            return np.zeros((len(detections), 0, *self.config.MASK_SHAPE, 1), dtype=np.float32)
        find = self.function(
            "masks", (shape, count), lambda: self.network.masks_model(shape, count)
        )
        masks = find({"pyramid": pyramid, "boxes": detections[:, :count, :4]})
        return keras.ops.convert_to_numpy(masks)

    def function(self, name, key, make_model):
        """A compiled function, see `mrcnn.modeling.compiled_functions.CompiledFunctions`."""
        settings = [getattr(self.config, setting) for setting in self.compiled_settings]
        settings.append(is_folded(self.keras_model))
        return self._functions.get(name, key, make_model, settings)

    # --- building -------------------------------------------------------------------------------

    def _scope(self):
        return devices_scope(self.config.GPU_COUNT if self.mode == "training" else 1)

    def _build(self):
        side = self.config.IMAGE_SHAPE[0]
        if self.mode == "inference":
            side = side or self.config.IMAGE_MAX_DIM // 64 * 64
            model = self.network.detection_model((side, side))
            return NamedModel(inputs=model.input, outputs=model.output, name=model.name)
        if side is None:
            raise ConfigError(
                f'IMAGE_RESIZE_MODE is "{self.config.IMAGE_RESIZE_MODE}", but training needs '
                'images of one size: use "square" or "crop".'
            )
        return NamedTrainableModel(self.network, (side, side), name="training")

    def _require(self, mode, method):
        say_what_is_ignored(type(self), MaskRCNN)
        if self.mode != mode:
            raise RuntimeError(
                f'{method}() needs a model in mode "{mode}", but this one was made in mode '
                f'"{self.mode}".'
            )
