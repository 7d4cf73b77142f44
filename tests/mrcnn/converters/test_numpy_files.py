"""NumPy's archives: read as NumPy does; what is damaged or declares too much is a sentence."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from foreign_weights import assert_same_bits
from mrcnn.converters.formats import format_of, read_tensors
from mrcnn.converters.numpy_files import read_numpy_arrays
from mrcnn.weights.hdf5 import WeightsError

RNG = np.random.default_rng(0)
ARRAYS = {
    "stem/kernel": RNG.normal(size=(3, 3, 3, 8)).astype(np.float16),
    "fortran": np.asfortranarray(RNG.normal(size=(4, 5))),
    "alone": np.array(3),
    "empty": np.zeros((0, 4), np.float32),
    "big endian": np.arange(3, dtype=">i4"),
}


def npz(save=np.savez, **arrays):
    file = io.BytesIO()
    save(file, **(arrays or ARRAYS))
    return file.getvalue()


def archive(content, packing=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as members:
        members.writestr("w.npy", content)
    return file.getvalue()


def header(shape, kind="<f4"):
    """The start of a member, without its numbers."""
    file = io.BytesIO()
    entries = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, entries)
    return file.getvalue()


def read(tmp_path, data):
    path = tmp_path / "W.npz"
    path.write_bytes(data)
    return read_numpy_arrays(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_read_as_numpy_reads_it(save, tmp_path):
    data = npz(save)
    assert_same_bits(read(tmp_path, data), dict(np.load(io.BytesIO(data))))
    assert format_of(tmp_path / "W.npz") == "numpy"


TRAPS = {
    "a shape of 4 TB": archive(header((2**40,)) + bytes(16)),
    "objects": npz(w=np.array([{}], object)),
    "texts": npz(w=np.array(["a"])),
    "another version": archive(b"\x93NUMPY\x07\x00" + bytes(100)),
    "no header": archive(b"no array at all"),
    "lzma": archive(header((1,)) + bytes(4), zipfile.ZIP_LZMA),
    "bzip2": archive(header((1,)) + bytes(4), zipfile.ZIP_BZIP2),
}


@pytest.mark.parametrize("data", TRAPS.values(), ids=TRAPS)
def test_traps_are_sentences(data, tmp_path):
    with pytest.raises(WeightsError, match=r"W\.npz is not a complete archive of NumPy \(.+\)"):
        read(tmp_path, data)


def test_a_bomb_takes_no_memory(tmp_path):
    data = archive(header((100_000_000,)) + bytes(400_000_000), zipfile.ZIP_DEFLATED)
    assert len(data) < 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match=r"declares 400,000,128 bytes, more than it can hol"):
            read(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_password_is_told(tmp_path):
    data = bytearray(npz())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag of the first member in the table
    with pytest.raises(WeightsError, match="it is encrypted: pack it again without a password"):
        read(tmp_path, bytes(data))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_whatever_byte_is_damaged_the_file_is_named(save, tmp_path):
    """Each byte of the headers and tables, and each cut: arrays as before, or a sentence."""
    data, path = npz(save, w=np.arange(4.0)), tmp_path / "W.npz"
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        for content in (bytes(damaged), data[:place]):
            path.write_bytes(content)
            with pytest.raises(WeightsError, match=r"W\.npz") as caught:
                read_tensors(path)  # of no backbone, if it can be read at all
            assert "Errno" not in str(caught.value)
