"""NumPy's `.npz` archives, read without taking more memory than their bytes can fill."""

import io
import zipfile

import numpy as np

from mrcnn.converters.archives import open_archive
from mrcnn.converters.pickles import opened
from mrcnn.weights.hdf5_files import ALWAYS_ALLOWED, LARGEST_GROWTH

NUMPY_SUFFIX = b".npy"  # of a member
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_numpy_arrays(path):
    """The arrays of numbers in a `.npz` file: {name: array}.

    Raises:
        OSError: it cannot be opened.
        WeightsError: it is damaged, a trap, or has arrays of other things than numbers.
    """
    suffix, packings = NUMPY_SUFFIX.decode(), (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    with opened(path, "archive of NumPy") as content:
        most = max(LARGEST_GROWTH * len(content), ALWAYS_ALLOWED)
        with open_archive(path, packings, most) as archive:
            return {
                name.removesuffix(suffix): _array(archive.read(name))
                for name in archive.namelist()
                if name.endswith(suffix)
            }


def _array(data):
    """The array in a member. (NumPy's own reader takes the memory that a header asks for.)"""
    file = io.BytesIO(data)
    shape, fortran, kind = HEADERS[np.lib.format.read_magic(file)](file)
    if kind.kind not in "biuf":
        raise ValueError("it has an array of other things than numbers")
    numbers = np.frombuffer(memoryview(data)[file.tell() :], kind)
    return numbers.reshape(shape, order="F" if fortran else "C")
