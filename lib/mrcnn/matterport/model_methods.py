"""The methods of Matterport's `MaskRCNN` that are thin here, since other modules do the work."""

import contextlib
import os
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from mrcnn.converters.imagenet import imagenet_file
from mrcnn.locks import InUseError, alone_in
from mrcnn.matterport import inspection, molding
from mrcnn.matterport.layer_names import trainable_layers
from mrcnn.ops import anchors, boxes
from mrcnn.training import trainable_layers as layer_groups
from mrcnn.weights import checkpoints


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
        name = f"{self.checkpoint_name}_{{epoch:04d}}{checkpoints.KERAS_SUFFIX}"
        return os.path.join(self.log_dir, name)

    @property
    def checkpoint_name(self):
        """What the names of the run's checkpoints begin with: "mask_rcnn_shapes".

        A run that is gone on with keeps the name that its checkpoints have.
        """
        if self.checkpoint is not None and self.checkpoint.parent == self._run:
            return checkpoints.name_of(self.checkpoint)
        return f"{self.checkpoint_prefix}_{self.config.NAME.lower()}"

    @property
    def log_dir(self):
        """Folder of the current training run, as text."""
        return str(self.run_folder())

    @log_dir.setter
    def log_dir(self, folder):
        self._run, self._begins = (None if folder is None else Path(folder)), None
        self.latest = None if folder is None else checkpoints.latest_checkpoint(folder)

    def run_folder(self):
        """Folder of the current training run, named anew unless there is one."""
        if self._run is None:
            self._name_run(datetime.now())
        return self._run

    def _name_run(self, begins):
        """Name the run by the first second from `begins` on that no other has taken."""
        name = Path(self.model_dir) / self.config.NAME.lower()
        while (run := Path(f"{name}{begins:%Y%m%dT%H%M%S}")).exists():
            begins += timedelta(seconds=1)
        self._run, self._begins = run, begins

    @contextlib.contextmanager
    def alone_in_run_folder(self):
        """Keep other programs out of the folder of the run while the block lasts.

        Of runs that begin in the same second, the later ones are named by the next seconds.

        Raises:
            InUseError: another program trains there, or has trained on since the model was loaded.
        """
        with contextlib.ExitStack() as entered:
            while not self._enter_run_folder(entered):
                self._name_run(self._begins + timedelta(seconds=1))
            self._begins = None
            yield

    def _enter_run_folder(self, entered):
        """Whether the folder is this model's alone, or one is free to take another."""
        try:
            with contextlib.ExitStack() as lock:
                lock.enter_context(alone_in(self.run_folder()))
                latest = checkpoints.latest_checkpoint(self.log_dir)
                if latest != self.latest:
                    raise InUseError(
                        f"Another program has trained on in {self.log_dir}, up to {latest}, since "
                        "this model was loaded. Load the latest checkpoint again, or train in a "
                        "folder of its own."
                    )
                entered.push(lock.pop_all())
        except InUseError:
            if self._begins is None:
                raise
            return False
        return True

    def set_log_dir(self, model_path=None):
        """Begin a new run, or go on with the run and the epoch of a checkpoint.

        Args:
            model_path: path of the checkpoint, whose weights `load_weights` loads; it calls this.
        """
        if model_path is None:
            self.checkpoint, self.epoch, self.log_dir = None, 0, None
            self.run_folder()
            return
        path = Path(model_path)
        self.checkpoint, self.epoch = path, checkpoints.epoch_of(path) or 0
        own_run = path.resolve().parent.parent == Path(self.model_dir).resolve()
        self.log_dir = path.parent if own_run and checkpoints.position_of(path) else None

    def get_imagenet_weights(self):
        """Path of the weights of the backbone trained on ImageNet, fetched where it is missing.

        To be loaded with `load_weights(path, by_name=True)`; see `mrcnn.converters.imagenet`.
        """
        return str(imagenet_file("imagenet-1k", self.config.BACKBONE))

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
