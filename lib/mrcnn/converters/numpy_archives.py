"""Archives of NumPy (`.npz`) of strangers, read once they are known to hold what they declare."""

import math
import zipfile

import numpy as np
from numpy.lib import format as npy

from mrcnn.converters.pickles import BROKEN, opened
from mrcnn.weights.hdf5_files import ALWAYS_ALLOWED, LARGEST_GROWTH

ENDING = ".npy"
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def holds_arrays(path):
    """Whether a zip archive has NumPy's arrays; of a broken one, no."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(ENDING) for name in archive.namelist())
    except BROKEN:
        return False


def read_archive(path):
    """The arrays of an archive: {name: array}.

    Raises:
        OSError: it cannot be opened.
        WeightsError: it is broken, or declares more than it can hold.
    """
    with opened(path, "archive of NumPy") as content, zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(each.flag_bits & 1 for each in members):
            raise ValueError("it is encrypted")
        if any(each.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
               for each in members):  # fmt: skip
            raise ValueError("it is compressed in a way that NumPy does not use")
        declared = sum(each.file_size for each in members)
        if declared > max(LARGEST_GROWTH * len(content), ALWAYS_ALLOWED):
            raise ValueError(f"it has {len(content):,} bytes, but declares {declared:,}")
        return {each.filename.removesuffix(ENDING): _array(archive, each) for each in members}


def _array(archive, member):
    with archive.open(member) as file:
        version = npy.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"an array of the unknown version {version}")
        shape, is_fortran, kind = HEADERS[version](file)
        held = member.file_size - file.tell()
        if kind.kind not in "biuf" or math.prod(shape) * kind.itemsize != held:
            raise ValueError(f"{held:,} bytes for an array of {kind} and the shape {shape}")
        numbers = np.frombuffer(file.read(), kind)
    return numbers.reshape(shape, order="F" if is_fortran else "C")
