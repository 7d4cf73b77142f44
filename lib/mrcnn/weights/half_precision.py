"""Weights files of half the size: kernels as float16, everything else as it is.

Reading needs nothing special, since values are cast as they are loaded.
"""

import h5py
import numpy as np

from mrcnn.weights.hdf5 import KERAS_SUFFIX, WeightsError, read_shapes
from mrcnn.weights.hdf5_files import existing_file, open_hdf5, write_hdf5


def halve(source, target):
    """Copy an HDF5 weights file, of the originals or of Keras 3, with its kernels in float16.

    Biases and batch statistics, few and of any magnitude, stay in float32.

    Args:
        source: file to copy.
        target: file to write; the two names must agree in ending with .weights.h5 or not.

    Raises:
        FileNotFoundError, WeightsError: the source cannot be read, or a kernel has values that
            float16 cannot hold.
        ValueError: the target's name would claim another layout.
    """
    source = existing_file(source)
    if str(source).endswith(KERAS_SUFFIX) != str(target).endswith(KERAS_SUFFIX):
        raise ValueError(
            f"{source} and {target} must both end in {KERAS_SUFFIX} (the layout of Keras 3), or "
            "neither, since the layout stays. `weights convert` changes it."
        )
    read_shapes(source)  # refuses what is no complete weights file
    with write_hdf5(target) as half, open_hdf5(source) as whole:
        _copy_group(whole, half)


def _copy_group(source, target):
    for name, value in source.attrs.items():
        target.attrs[name] = value
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy_group(item, target.create_group(name))
        else:
            copy = target.create_dataset(name, data=_halved(item))
            for attribute, value in item.attrs.items():
                copy.attrs[attribute] = value


def _halved(dataset):
    array = np.asarray(dataset)
    if array.ndim < 2 or array.dtype != np.float32:
        return array
    largest = np.finfo(np.float16).max
    if not np.all(np.abs(array) <= largest):
        raise WeightsError(
            f"{dataset.name} has values beyond {largest:g}, which float16 cannot hold. Weights of "
            "that size come from a training that went wrong; keep this file as it is."
        )
    return array.astype(np.float16)
