"""NumPy's archives of strangers: what is whole is read, what is not is a sentence in no time."""

import io
import struct
import zipfile

import numpy as np
import pytest

from mrcnn.converters.formats import format_of
from mrcnn.converters.numpy_archives import read_archive
from mrcnn.weights.hdf5 import WeightsError

ARRAYS = {
    "stem/kernel": np.arange(24, dtype=np.float16).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "alone": np.array(7),
    "empty": np.zeros((0, 4), np.float32),
    "big endian": np.arange(3, dtype=">i4"),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read(save, tmp_path):
    save(tmp_path / "a.npz", **ARRAYS)
    found = read_archive(tmp_path / "a.npz")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def bytes_of(array):
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


def archive(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def header_of(shape, kind="<f4"):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def changed(path, old, new):
    """Change the headers of a zip archive, wherever they stand."""
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    return path


FLAGS, METHOD = (
    (b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"),
    (
        b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00",
        b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x0e\x00",
    ),
)


def encrypted(path):
    return changed(archive(path, {"a.npy": bytes_of(np.zeros(3))}), *FLAGS)


def unknown_method(path):
    return changed(archive(path, {"a.npy": bytes_of(np.zeros(3))}), *METHOD)


def bomb(path):
    zeros = bytes_of(np.zeros(10_000_000))
    return archive(path, {"a.npy": zeros}, compression=zipfile.ZIP_DEFLATED)


def declared(path):
    return archive(path, {"a.npy": header_of((10**12,))})


def objects(path):
    return archive(path, {"a.npy": header_of((1,), "|O") + b"12345678"})


def no_array(path):
    return archive(path, {"a.npy": b"some text"})


def cut(path):
    archive(path, {"a.npy": bytes_of(np.zeros(999))})
    path.write_bytes(path.read_bytes()[:-200])
    return path


def damaged_stream(path):
    data = bytes_of(np.random.default_rng(0).random(999))
    archive(path, {"a.npy": data}, compression=zipfile.ZIP_DEFLATED)
    whole = bytearray(path.read_bytes())
    whole[300:340] = bytes(40)
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (encrypted, "it is encrypted"),
        (unknown_method, "compressed in a way that NumPy does not use"),
        (bomb, "declares 80,000,128"),
        (declared, "0 bytes for an array of float32 and the shape"),
        (objects, "8 bytes for an array of object"),
        (no_array, "magic string is not correct"),
        (cut, "not a zip file"),
        (damaged_stream, ""),
    ],
)
def test_what_is_not_whole_is_a_sentence(make, words, tmp_path):
    path = make(tmp_path / "a.npz")
    with pytest.raises(
        WeightsError, match=rf"a\.npz is not a complete archive of NumPy \(.*{words}"
    ):
        read_archive(path)
    format_of(path)  # does not fail


def test_cut_within_the_table_of_contents_it_is_taken_for_pytorch(tmp_path):
    path = cut(tmp_path / "a.npz")
    assert format_of(path) == "pytorch"
