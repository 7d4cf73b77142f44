"""Backbones trained on ImageNet: the files to start training from, and how Keras' become ours.

Keras distributes ResNets of the same architecture (strides in the first 1x1 convolutions, biases
everywhere), under other names. They take BGR, minus a mean pixel that is ours within 0.05 of 255,
and normalise with a smaller epsilon. Converted, they compute the same maps; only, where conv1 has
an even number of rows or columns, the pooling windows of Keras begin one cell earlier than those
of the originals, hence ours.
"""

import re
import string
from pathlib import Path

import keras
import numpy as np

from mrcnn.backend_check import keras_home
from mrcnn.modeling.conv_norm import EPSILON
from mrcnn.resumable_download import fetch, progress
from mrcnn.weights.hdf5 import (
    layer_of,
    matches,
    named_variables,
    read_weights,
    save_original_weights,
    weight_array,
)
from mrcnn.weights.layout import flat, resnet_layers

# Files by the classes that the network was trained on: all 1000, those without PASCAL VOC's, or
# those without COCO's.
FILES = {
    "imagenet-1k": {"resnet50": "imagenet_1k.h5", "resnet101": "imagenet_1k_resnet101.h5"},
    "imagenet-771": {"resnet50": "imagenet_771.h5"},
    "imagenet-687": {"resnet50": "imagenet_687.h5"},
}
NOT_IN_A_BACKBONE = r"(mrcnn_.*)|(rpn_.*)|(fpn_.*)"

# Where `keras.applications` fetches its weights; their sizes in bytes and MD5 sums there.
KERAS_ADDRESS = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
KERAS_FILE = "{}_weights_tf_dim_ordering_tf_kernels_notop.h5"
KERAS_FILES = {
    "resnet50": (94_765_736, "4d473c1dd8becc155b73f8504c6f6626"),
    "resnet101": (171_446_536, "88cf7a10940856eca736dc7b7e228a21"),
}
KERAS_MODELS = {
    "resnet50": keras.applications.ResNet50,
    "resnet101": keras.applications.ResNet101,
}
KERAS_EPSILON = 1.001e-5
KERAS_STEM = {"conv1": "conv1_conv", "bn_conv1": "conv1_bn"}
KERAS_BRANCHES = {"1": 0, "2a": 1, "2b": 2, "2c": 3}
KERAS_KINDS = {"res": "conv", "bn": "bn"}


def imagenet_file(pretraining, backbone, folder="checkpoints"):
    """Path of the weights of a backbone trained on ImageNet.

    Where the file of all 1000 classes is missing, Keras' weights are fetched, converted and kept
    under its name.

    Args:
        pretraining: "imagenet-1k", "imagenet-771" or "imagenet-687".
        backbone: "resnet50" or "resnet101".
        folder: where the files are.

    Raises:
        ValueError: there are no such weights.
        FileNotFoundError: the file is missing, and cannot be made from Keras' weights.
        OSError: Keras' weights could not be fetched, or the converted ones not be written.
    """
    if pretraining not in FILES:
        raise ValueError(
            f"pretraining must be one of {', '.join(FILES)}, but is {pretraining!r}. To start "
            "from a file of your own, use load_weights()."
        )
    if backbone not in FILES[pretraining]:
        raise ValueError(
            f"{pretraining} was trained as {' or '.join(FILES[pretraining])}, but BACKBONE is "
            f"{backbone}. Choose that BACKBONE, or imagenet-1k."
        )
    path = Path(folder) / FILES[pretraining][backbone]
    if path.is_file():
        return path
    if pretraining != "imagenet-1k":
        raise FileNotFoundError(
            f"There are no weights {path}. They are published among the releases of the program "
            f"of arXiv 1811.11507 (github.com/bethgelab): fetch {path.name} and put it into "
            f"{Path(folder).resolve()}; checkpoints/README.md says more. Or start from other "
            "weights: imagenet-1k is fetched by itself, but has seen all categories."
        )
    tensors = converted_weights(fetch_keras_weights(backbone), backbone)
    save_original_weights(tensors, path, flat(resnet_layers(backbone)))
    return path


def fetch_keras_weights(backbone):
    """Path of the weights that Keras distributes, fetched into Keras' own cache unless there.

    Raises:
        OSError: they could not be fetched whole.
    """
    name = KERAS_FILE.format(backbone)
    path = keras_home() / "models" / name
    try:
        with progress() as bar:
            fetch(KERAS_ADDRESS + name, path, *KERAS_FILES[backbone], bar)
    except OSError as error:
        raise OSError(
            f"{error} Or fetch {KERAS_ADDRESS}{name} elsewhere and put it into {path.parent}."
        ) from error
    return path


def converted_weights(path, backbone):
    """Weights that Keras distributes as those of our ResNet: {"<layer>/<kind>": float32 array}.

    Args:
        path: HDF5 file of `keras.applications.ResNet50` or `ResNet101` without the top. Keras
            loads it, by the order of the layers, so that their names in the file do not matter.
        backbone: "resnet50" or "resnet101".
    """
    model = KERAS_MODELS[backbone](include_top=False, weights=str(path))
    tensors = {name: weight_array(each) for name, each in named_variables(model).items()}
    converted = {}
    for layer in resnet_layers(backbone):
        prefix = f"{keras_layer(layer)}/"
        converted |= {
            f"{layer}/{name.removeprefix(prefix)}": array
            for name, array in tensors.items()
            if name.startswith(prefix)
        }
        if layer.startswith("bn"):
            converted[f"{layer}/gamma"] = _gamma_for_our_epsilon(
                converted[f"{layer}/gamma"], converted[f"{layer}/moving_variance"]
            )
    converted["conv1/kernel"] = converted["conv1/kernel"][:, :, ::-1]  # BGR to RGB
    return converted


def keras_layer(layer):
    """What `keras.applications` calls a layer of ours: res2a_branch2a is conv2_block1_1_conv."""
    if layer in KERAS_STEM:
        return KERAS_STEM[layer]
    kind, stage, letter, branch = re.fullmatch(r"(res|bn)(\d)([a-z])_branch(\w+)", layer).groups()
    block = string.ascii_lowercase.index(letter) + 1
    return f"conv{stage}_block{block}_{KERAS_BRANCHES[branch]}_{KERAS_KINDS[kind]}"


def _gamma_for_our_epsilon(gamma, variance):
    """The gamma with which our larger epsilon gives the same scale, for these statistics."""
    variance = variance.astype(np.float64)
    scale = np.sqrt((variance + EPSILON) / (variance + KERAS_EPSILON))
    return (gamma * scale).astype(np.float32)


def is_backbone_only(path):
    """Whether a weights file holds nothing of pyramid and heads, as those of ImageNet."""
    return not any(matches(layer_of(name), [NOT_IN_A_BACKBONE]) for name in read_weights(path))
