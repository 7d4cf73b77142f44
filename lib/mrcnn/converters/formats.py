"""Weights files of four programs: recognised by content, read and, of three, written.

Backbones as others publish them, as an archive of NumPy or a file of PyTorch, are read only.
"""

from mrcnn.converters import detectron, pytorch
from mrcnn.converters.detectron import detectron_table, is_pyramid
from mrcnn.converters.numpy_files import NUMPY_SUFFIX, read_numpy_arrays
from mrcnn.converters.pickles import read_arrays
from mrcnn.converters.pytorch import pytorch_table, state_dict_of, write_state_dict
from mrcnn.converters.torch_files import STREAM_START, ZIP_START, read_state_dict
from mrcnn.converters.translate import to_ours
from mrcnn.modeling.backbones import architecture_of, translated
from mrcnn.weights.hdf5 import (
    KERAS_SUFFIX,
    LoadReport,
    WeightsError,
    layer_of,
    read_shapes,
    read_weights,
    save_original_weights,
)
from mrcnn.weights.hdf5_files import existing_file, open_hdf5
from mrcnn.weights.layout import mask_rcnn_groups

WRITTEN = {  # and the endings of their files
    "original": ".h5",  # the originals', by Keras 2
    "keras": KERAS_SUFFIX,
    "pytorch": ".pth",  # pytorch-mask-rcnn
}
HDF5_FORMATS = ("original", "keras")  # whole models of either kind change between these
FORMATS = (*WRITTEN, "detectron", "numpy")
HDF5_START = b"\x89HDF\r\n\x1a\n"
LONGEST_START = 1 << 17  # bytes: the first member's name in a zip archive takes 64 KB at most
PICKLE_STARTS = (b"\x80", b"(", b"}", b"c", b"]")  # protocols from 2; texts of 0 and 1


def format_of(path):
    """The format of a file, a key of `FORMATS`, from its content.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: it is of none of the formats.
    """
    with open(existing_file(path), "rb") as file:
        start = file.read(LONGEST_START)
    if start.startswith(HDF5_START):
        return "keras" if _has_keras_layout(path) else "original"
    if start.startswith(ZIP_START) and _first_member(start).endswith(NUMPY_SUFFIX):
        return "numpy"
    if start.startswith((ZIP_START, STREAM_START)):
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
    endings = {ending: name for name, ending in WRITTEN.items()}
    for ending in sorted(endings, key=len, reverse=True):
        if str(path).endswith(ending):
            return endings[ending]
    raise ValueError(
        f"The name {path} says no format to write: expected it to end in {', '.join(endings)}, or "
        "a format to be named. Detectron's .pkl files are read only."
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
    found = _expected_format(path, expected)
    if found == "numpy":
        return _published(read_numpy_arrays(path), path)
    if found == "pytorch":
        blobs = read_state_dict(path)
        if translated(blobs):
            return _published(blobs, path)
        backbone = _backbone(blobs, pytorch.DEEPER)
        return to_ours(blobs, pytorch_table(backbone), path)
    if found == "detectron":
        blobs = _detectron_blobs(path)
        backbone = _backbone(blobs, detectron.DEEPER)
        return to_ours(blobs, detectron_table(backbone, is_pyramid(blobs)), path)
    tensors = read_weights(path)
    return tensors, LoadReport(str(path), loaded=list(tensors))


def tensor_shapes(path, expected=None):
    """The shapes of what `read_tensors` reads: {"<layer>/<kind>": shape}.

    Of HDF5 files no values are read. Arguments and errors as of `read_tensors`.
    """
    if _expected_format(path, expected) in HDF5_FORMATS:
        return read_shapes(path)
    tensors, _ = read_tensors(path)
    return shapes_of(tensors)


def shapes_of(tensors):
    """{name: shape} of {name: array}."""
    return {name: tuple(array.shape) for name, array in tensors.items()}


def _expected_format(path, expected):
    found = format_of(path)
    if expected not in (None, found):
        raise WeightsError(f"{path} is a file of the format {found}, not {expected}.")
    return found


def write_tensors(tensors, path, target_format):
    """Write tensors of ours in another format than Keras', atomically.

    Args:
        tensors: {"<layer>/<kind>": array} of Mask R-CNN or its backbone.
        path: file to write.
        target_format: "original" or "pytorch".

    Raises:
        ConversionError, WeightsError: the format has no place for some tensor, or misses one.
        ImportError: it is PyTorch's, which is not installed.
    """
    if target_format == "pytorch":
        write_state_dict(state_dict_of(tensors, path), path)
    elif target_format == "original":
        save_original_weights(tensors, path, _groups(tensors))
    else:
        raise ValueError(f"There is no way to write the format {target_format} to {path}.")


def _groups(tensors):
    """The groups of the original layout, without the layers that these weights lack."""
    layers = {layer_of(name) for name in tensors}
    groups = [
        (group, [layer for layer in members if layer in layers])
        for group, members in mask_rcnn_groups(architecture_of(layers))
    ]
    return [(group, members) for group, members in groups if members]


def _published(arrays, path):
    tensors = translated(arrays)
    if tensors is None:
        raise WeightsError(
            f"{path} holds arrays, but under no names of a backbone that is known. Expected a "
            "backbone of mrcnn.modeling.backbones as it is published."
        )
    return tensors, LoadReport(str(path), loaded=list(tensors))


def _first_member(start):
    """The name of the first member of a zip archive, whose length is told before it."""
    return start[30 : 30 + int.from_bytes(start[26:28], "little")]


def _has_keras_layout(path):
    with open_hdf5(path) as file:
        return "layers" in file and "layer_names" not in file.attrs


def _detectron_blobs(path):
    blobs = read_arrays(path)
    if "conv1_w" not in blobs:
        raise WeightsError(
            f"{path} is a pickle, but not of Detectron: expected arrays named conv1_w, "
            "res2_0_branch2a_w and so on, under the name blobs or at the top."
        )
    return blobs


def _backbone(names, deeper):
    return "resnet101" if deeper in names else "resnet50"
