"""The methods of Matterport's `MaskRCNN` that are thin here, since other modules do the work."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from mrcnn.matterport import inspection, molding
from mrcnn.matterport.layer_names import trainable_layers
from mrcnn.ops import anchors, boxes
from mrcnn.training import trainable_layers as layer_groups
from mrcnn.weights import checkpoints, imagenet


class MatterportMethods:
    """For `mrcnn.model.MaskRCNN`, whose attributes and methods these use."""

    # --- detection ------------------------------------------------------------------------------

    def mold_inputs(self, images):
        """Molded images, metas and windows of images: `mrcnn.matterport.molding.mold_inputs`."""
        return molding.mold_inputs(images, self.config)

    def unmold_detections(self, detections, mrcnn_mask, original_image_shape, image_shape, window):
        """Boxes, class ids, scores and masks: `mrcnn.matterport.molding.unmold_detections`."""
        return molding.unmold_detections(
            detections,
            mrcnn_mask,
            original_image_shape,
            image_shape,
            window,
            self.config.DETECTION_MASK_THRESHOLD,
        )

    def detect_molded(self, molded_images, image_metas, verbose=0):
        """Find instances in molded images.

        Args:
            molded_images: [N, h, w, 3], prepared, minus the mean.
            image_metas: [N, 12 + classes], as of `mold_inputs`.
            verbose: 1 prints how many instances were found.

        Returns:
            a `Detections` per image, in the pixels of the molded image, as the truth that
            `mrcnn.model.load_image_gt` returns.
        """
        pixels = (np.asarray(molded_images) + self.config.MEAN_PIXEL).astype(np.float32)
        prepared = list(zip(pixels, molding.geometries_of(image_metas), strict=True))
        return self.detect_prepared(prepared, verbose, in_prepared=True)

    def get_anchors(self, image_shape):
        """Anchors of a prepared image [A, 4], normalised; `anchors` has them in pixels then."""
        self.anchor_shape = tuple(int(side) for side in image_shape[:2])
        return boxes.normalize(self.anchors, self.anchor_shape)

    @property
    def anchors(self):
        """Anchors [A, (y1, x1, y2, x2)] in pixels of the images that were last looked at."""
        shape = self.anchor_shape or self.keras_model.input["images"].shape[1:3]
        return anchors.pyramid_anchors(self.config, shape)

    # --- weights and training -------------------------------------------------------------------

    @property
    def checkpoint_path(self):
        """Path of the checkpoints of the current run, the epoch to be filled in by `format`."""
        name = f"{self.config.NAME.lower()}_{{epoch:04d}}{checkpoints.KERAS_SUFFIX}"
        return str(Path(self.run_folder()) / name)

    def run_folder(self):
        """Folder of the current training run, made anew unless there is one.

        Of runs that begin in the same second, the later ones are named by the next seconds.
        """
        started = datetime.now()
        while self.log_dir is None:
            folder = self.model_dir / f"{self.config.NAME.lower()}{started:%Y%m%dT%H%M%S}"
            try:
                folder.mkdir(parents=True)
                self.log_dir = folder
            except FileExistsError:
                started += timedelta(seconds=1)
        return self.log_dir

    def set_log_dir(self, model_path=None):
        """Begin a new run, or go on with the run and the epoch of a checkpoint.

        Args:
            model_path: path of the checkpoint, whose weights `load_weights` loads; it calls this.
        """
        if model_path is None:
            self.checkpoint, self.epoch, self.log_dir, self.latest = None, 0, None, None
            self.run_folder()
            return
        path = Path(model_path)
        self.checkpoint, self.epoch = path, checkpoints.epoch_of(path) or 0
        own_run = path.resolve().parent.parent == self.model_dir.resolve()
        self.log_dir = path.parent if own_run and checkpoints.position_of(path) else None
        self.latest = self.log_dir and checkpoints.latest_checkpoint(self.log_dir)

    def get_imagenet_weights(self):
        """Path of the weights of the backbone trained on ImageNet, fetched where it is missing.

        To be loaded with `load_weights(path, by_name=True)`; see `imagenet.imagenet_file`.
        """
        return str(imagenet.imagenet_file("imagenet-1k", self.config.BACKBONE))

    def set_trainable(self, layer_regex, keras_model=None, indent=0, verbose=1):
        """Let the layers train whose whole names a regular expression matches, and freeze others.

        `train` does so itself by its `layers`.

        Args:
            layer_regex: expression, or a group like "heads".
            keras_model: other than this model's.
            indent: not used any more.
            verbose: 1 prints the names.
        """
        del indent
        names = layer_groups.set_trainable(keras_model or self.keras_model, layer_regex)
        if verbose:
            print("\n".join(["Layers that train:", *names]))

    def find_trainable_layer(self, layer):
        """The layer that holds the weights of one that may wrap it."""
        while getattr(layer, "layer", None) is not None:
            layer = layer.layer
        return layer

    def get_trainable_layers(self):
        """All layers that hold weights: convolutions, normalisations, dense layers."""
        return trainable_layers(self.keras_model)

    # --- looking inside -------------------------------------------------------------------------

    def run_graph(self, images, outputs, image_metas=None):
        """Values of layers for some images: `mrcnn.matterport.inspection.run_graph`."""
        return inspection.run_graph(self, images, outputs, image_metas)

    def ancestor(self, tensor, name, checked=None):
        """A value on the way to a tensor by its old name, or None: `inspection.ancestor`."""
        del tensor, checked
        return inspection.ancestor(name)

    def compile(self, learning_rate, momentum):
        """Not offered: `train` compiles for each phase, with LEARNING_MOMENTUM and clipping."""
        raise NotImplementedError(
            "compile() is not needed any more: train() compiles by itself. Give the learning rate "
            f"({learning_rate}) to train() and set LEARNING_MOMENTUM ({momentum}) in the "
            "configuration."
        )
