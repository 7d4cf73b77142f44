"""The methods of `MaskRCNN` that load, save and change its weights."""

import logging
from pathlib import Path

from mrcnn.modeling.conv_norm import normalized_convolutions
from mrcnn.weights import checkpoints, hdf5
from mrcnn.weights.layout import HEADS, is_backbone_only, write_original_layout
from mrcnn.weights.presets import PresetMethods, read_facts

logger = logging.getLogger(__name__)


class WeightsMethods(PresetMethods):
    """For `mrcnn.model.MaskRCNN`, whose attributes and methods these use."""

    def load_weights(self, filepath, by_name=False, exclude=None, may_be_missing=(), verbose=0):
        """Load weights by name from a file of the originals or of Keras 3; all or nothing.

        Args:
            filepath: the file. If its name ends like a checkpoint's (..._0012.h5), training goes
                on after that epoch, in the folder of the file if it is one of `model_dir`.
            by_name: weights are always loaded by name. True also takes a file that holds nothing
                but a backbone; pyramid and heads then stay as they are.
            exclude: layer names (regular expressions) that keep their weights.
            may_be_missing: layer names that need not be in the file.
            verbose: 1 prints what was loaded.

        Returns:
            `mrcnn.weights.hdf5.LoadReport`

        Raises:
            FileNotFoundError, mrcnn.weights.hdf5.WeightsError: see there; nothing was loaded.
        """
        if by_name and is_backbone_only(filepath):
            may_be_missing = HEADS
            logger.info("%s is a backbone; all else keeps its weights.", filepath)
        facts = read_facts(filepath)
        report = hdf5.load_weights(self.keras_model, filepath, may_be_missing, exclude or ())
        self.threshold = facts.get("threshold")
        if verbose:
            print(report)
        self.set_log_dir(filepath)
        return report

    def save_weights(self, path, layout=None):
        """Save the weights, atomically.

        Args:
            path: file to write.
            layout: "keras" (a .weights.h5 file) or "original" (readable by the original code);
                by default as the name of the file says.
        """
        layout = layout or ("keras" if str(path).endswith(hdf5.KERAS_SUFFIX) else "original")
        if layout not in ("keras", "original"):
            raise ValueError(f'layout must be "keras" or "original", but is {layout!r}.')
        if Path(path).suffix not in (".h5", ".hdf5"):
            raise ValueError(f"The name of a weights file must end in .h5, but is {path}.")
        if layout == "keras":
            hdf5.save_keras_weights(self.keras_model, path)
            return
        write_original_layout(self.keras_model, path, self.file_groups)

    def find_last(self):
        """Path of the latest checkpoint of the latest run of this NAME in `model_dir`.

        It is a `checkpoints.FoundCheckpoint`, for programs that expect (folder, path).
        """
        path = checkpoints.find_last(self.model_dir, self.config.NAME)
        return checkpoints.FoundCheckpoint(path)

    def load_latest_checkpoint(self, verbose=0):
        """Load `find_last()`, so that training goes on there. Returns the report."""
        return self.load_weights(self.find_last(), verbose=verbose)

    def fold_batch_norm(self):
        """Put batch norm into the convolutions, for faster detection of the same things.

        Kernels and biases change, and batch norm then changes nothing; to set a weight of it by
        hand has no effect any more. To load weights undoes it.
        """
        self._require("inference", "fold_batch_norm")
        for layer in normalized_convolutions(self.keras_model):
            layer.fold()
