"""Weights files of four programs: recognised by content, read and written under our names."""

import numpy as np

from mrcnn.converters import detectron, pytorch
from mrcnn.converters.detectron import detectron_table, is_pyramid
from mrcnn.converters.pickled_arrays import read_arrays, write_arrays
from mrcnn.converters.pytorch import pytorch_table
from mrcnn.converters.torch_files import STREAM_START, ZIP_START, read_state_dict, write_state_dict
from mrcnn.converters.translate import to_ours, to_theirs
from mrcnn.weights.hdf5 import (
    KERAS_SUFFIX,
    LoadReport,
    WeightsError,
    layer_of,
    read_weights,
    save_original_weights,
)
from mrcnn.weights.hdf5_files import existing_file, open_hdf5
from mrcnn.weights.layout import architecture_of, mask_rcnn_groups

FORMATS = {  # and the endings of their files
    "original": ".h5",  # the originals', by Keras 2
    "keras": KERAS_SUFFIX,
    "pytorch": ".pth",  # pytorch-mask-rcnn
    "detectron": ".pkl",
}
HDF5_START = b"\x89HDF\r\n\x1a\n"
PICKLE_STARTS = (b"\x80", b"(", b"}", b"c", b"]")  # protocols from 2; texts of 0 and 1


def format_of(path):
    """The format of a file, a key of `FORMATS`, from its content.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: it is of none of the formats.
    """
    with open(existing_file(path), "rb") as file:
        start = file.read(len(STREAM_START))
    if start.startswith(HDF5_START):
        return "keras" if _has_keras_layout(path) else "original"
    if start.startswith(ZIP_START) or start == STREAM_START:
        return "pytorch"
    if start.startswith(PICKLE_STARTS):
        return "detectron"
    raise WeightsError(
        f"{path} is neither an HDF5 file, nor a file of PyTorch, nor a pickle. Expected weights "
        f"of one of these kinds: {', '.join(FORMATS)}."
    )


def format_for(path):
    """The format that a file to write should have, from its name.

    Raises:
        ValueError: the ending belongs to no format.
    """
    endings = {ending: name for name, ending in FORMATS.items()}
    for ending in sorted(endings, key=len, reverse=True):
        if str(path).endswith(ending):
            return endings[ending]
    raise ValueError(
        f"The name {path} says no format: expected it to end in {', '.join(endings)}, or a format "
        "to be named."
    )


def read_tensors(path, expected=None):
    """Tensors of a weights file under our names.

    Args:
        path: file of any of the formats.
        expected: the format that it must have; any by default.

    Returns:
        {"<layer>/<kind>": array}, `LoadReport` of the names in the file.

    Raises:
        FileNotFoundError, WeightsError: it cannot be read, is not complete, or of another format.
        UnsafePickleError: its pickle asks for more than weights.
    """
    found = format_of(path)
    if expected not in (None, found):
        raise WeightsError(f"{path} is a file of the format {found}, not {expected}.")
    if found == "pytorch":
        blobs = read_state_dict(path)
        backbone = _backbone(blobs, pytorch.DEEPER)
        return to_ours(blobs, pytorch_table(backbone), path)
    if found == "detectron":
        blobs = _detectron_blobs(path)
        backbone = _backbone(blobs, detectron.DEEPER)
        return to_ours(blobs, detectron_table(backbone, is_pyramid(blobs)), path)
    tensors = read_weights(path)
    return tensors, LoadReport(str(path), loaded=list(tensors))


def write_tensors(tensors, path, target_format):
    """Write tensors of ours in another format than Keras', atomically.

    Args:
        tensors: {"<layer>/<kind>": array} of Mask R-CNN or its backbone.
        path: file to write.
        target_format: "original", "pytorch" or "detectron".

    Raises:
        ConversionError, WeightsError: the format has no place for some tensor, or misses one.
    """
    backbone = architecture_of(tensors)
    if target_format == "pytorch":
        blobs, _ = to_theirs(tensors, pytorch_table(backbone), path)
        write_state_dict(blobs, path)
    elif target_format == "detectron":
        table = detectron_table(backbone, is_pyramid(tensors))
        blobs, _ = to_theirs(tensors, table, path)
        write_arrays({"blobs": blobs}, path)
    else:
        save_original_weights(tensors, path, _groups(tensors))


def _groups(tensors):
    """The groups of the original layout, without the layers that these weights lack."""
    layers = {layer_of(name) for name in tensors}
    groups = [
        (group, [layer for layer in members if layer in layers])
        for group, members in mask_rcnn_groups(architecture_of(layers))
    ]
    return [(group, members) for group, members in groups if members]


def _has_keras_layout(path):
    with open_hdf5(path) as file:
        return "layers" in file and "layer_names" not in file.attrs


def _detectron_blobs(path):
    """The named arrays of a Detectron file: those under "blobs", or all of an older one."""
    value = read_arrays(path)
    blobs = value.get("blobs", value)
    arrays = blobs if isinstance(blobs, dict) else {}
    arrays = {name: each for name, each in arrays.items() if isinstance(each, np.ndarray)}
    if "conv1_w" not in arrays:
        raise WeightsError(
            f"{path} is a pickle, but not of Detectron: expected arrays named conv1_w, "
            "res2_0_branch2a_w and so on, under the name blobs or at the top."
        )
    return arrays


def _backbone(names, deeper):
    return "resnet101" if deeper in names else "resnet50"
