"""Keras models whose layers answer to the names that they had in Matterport's."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from mrcnn.modeling.conv_norm import (
    NormalizedConvolution,
    no_longer_folded,
    normalized_convolutions,
)
from mrcnn.training.losses import TrainableModel
from mrcnn.weights.hdf5 import (
    KERAS_SUFFIX,
    load_weights,
)
from mrcnn.weights.layout import write_original_layout

# Inputs of Matterport's network that ours computes by itself: `inspection.run_graph` knows their
# values.
OLD_INPUTS = ("input_image", "input_image_meta", "input_anchors")


@dataclass(frozen=True)
class Intermediate:
    """A value that `inspection.run_graph` computes, beside the tensors of the model.

    TensorFlow's functions see its name: `tf.identity` makes of it a tensor that `run_graph`
    knows again.
    """

    name: str

    def __tf_tensor__(self, dtype=None, name=None):
        import tensorflow as tf

        return tf.constant(self.name, dtype, name=name)

    @classmethod
    def from_tensor(cls, tensor):
        """What `__tf_tensor__` made a tensor of; anything else is returned as it is."""
        is_name = getattr(tensor, "dtype", None) == "string" and hasattr(tensor, "numpy")
        return cls(tensor.numpy().decode()) if is_name else tensor


class NamedOutput:
    """Stands for a layer of Matterport's: its output; all else is that of the layer beside it."""

    def __init__(self, name, output, layer=None):
        self.name, self.output, self._layer = name, output, layer

    def __getattr__(self, attribute):
        layer = self.__dict__.get("_layer")
        if layer is None:
            raise AttributeError(
                f"{self.name} is no layer of its own here: it has a name and an output, but no "
                f"{attribute!r}."
            )
        return getattr(layer, attribute)


class OldLayerNames:
    """For Keras models: `get_layer` by Matterport's names; files of Keras 2's layout.

    Attributes:
        file_groups: function of an architecture, see `mrcnn.weights.layout`; to be set before
            `save_weights` writes the original layout.
    """

    file_groups = None

    def get_layer(self, name=None, index=None):
        """A layer by its name or index, with its `output`.

        Convolutions and normalisations are found within the layers that unite them, the former
        with their own output, before the normalisation;
        "mrcnn_class", "mrcnn_bbox" and "mrcnn_mask" are the outputs of the heads.

        Raises:
            ValueError: there is none.
        """
        if index is None and name in OLD_INPUTS:
            return NamedOutput(name, Intermediate(name))
        layers = {layer.name: layer for layer in self.layers}
        if index is None and name in self.head_outputs():
            return NamedOutput(name, self.head_outputs()[name], layers.get(name))
        if index is None and name not in layers:
            for layer in normalized_convolutions(self):
                if name == layer.norm.name:
                    return NamedOutput(name, layer.output, layer.norm)
                if name == layer.convolution.name:
                    return NamedOutput(name, convolved(layer), layer.convolution)
        return super().get_layer(name, index)

    def head_outputs(self):
        """What the heads answer by the names of Matterport's layers: {name: symbolic tensor}."""
        outputs = dict(self.output)
        if "mrcnn_mask" not in outputs and "mrcnn_mask_logits" in outputs:
            outputs["mrcnn_mask"] = ops.sigmoid(outputs["mrcnn_mask_logits"])
        names = ("mrcnn_class", "mrcnn_bbox", "mrcnn_mask")
        return {name: outputs[name] for name in names if name in outputs}

    def save_weights(self, filepath, overwrite=True, **keywords):
        """Save the weights: as Keras 3 to a .weights.h5 file, else in the originals' layout."""
        if str(filepath).endswith(KERAS_SUFFIX):
            super().save_weights(filepath, overwrite=overwrite, **keywords)
            return
        write_original_layout(self, filepath, self.file_groups)

    def load_weights(self, filepath, by_name=False, skip_mismatch=False, **keywords):
        """Load weights by name from a file of the originals or of Keras 3: a `LoadReport`.

        See `mrcnn.weights.hdf5.load_weights`, which has ways to leave something out.
        """
        del by_name
        if skip_mismatch or keywords:
            raise ValueError(
                "Weights are loaded by name, all or nothing. To keep those of some layers, use "
                "load_weights(filepath, exclude=[...]) of the MaskRCNN."
            )
        return load_weights(self, filepath)

    def set_weights(self, weights):
        """Set all weights, from a list of arrays in the order of `weights`."""
        super().set_weights(weights)
        no_longer_folded(self)


class NamedModel(OldLayerNames, keras.Model):
    """A model that detects, from the inputs and outputs of another."""


class NamedTrainableModel(OldLayerNames, TrainableModel):
    """A `TrainableModel` with Matterport's layer names."""


def convolved(layer):
    """What the convolution of a `NormalizedConvolution` answers by itself: a symbolic tensor."""
    try:
        return layer.convolution.output
    except AttributeError:  # nobody has asked for it yet
        return layer.convolution(layer.input)


def trainable_layers(model):
    """The layers of a Keras model that hold weights, those within other layers by themselves."""
    found: list[Any] = []
    for layer in model.layers:
        parts = [layer]
        if isinstance(layer, NormalizedConvolution):
            parts = [layer.convolution, layer.norm]
        found += [part for part in parts if part.weights]
    return found
