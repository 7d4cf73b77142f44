"""Arrays in pickles: of every number type and protocol, of Python 2, and never more than a file."""

import io
import pickle

import numpy as np
import pytest

from foreign_weights import assert_same_bits, byte_string, python_2_array, python_2_pickle
from mrcnn.converters.pickled_arrays import PickledArrays, read_arrays, write_arrays
from mrcnn.converters.restricted_pickle import read_pickle
from mrcnn.weights.hdf5 import WeightsError

RNG = np.random.default_rng(0)
ARRAYS = {
    "vector": RNG.normal(size=5).astype(np.float32),
    "kernel": RNG.normal(size=(2, 3, 4, 5)).astype(np.float32),
    "fortran": np.asfortranarray(RNG.normal(size=(3, 4)).astype(np.float32)),
    "double": RNG.normal(size=3),
    "half": RNG.normal(size=3).astype(np.float16),
    "big endian": RNG.normal(size=3).astype(">f4"),
    "integers": np.arange(-3, 3),
    "truth": np.array([True, False]),
    "empty": np.zeros((0, 4), np.float32),
    "alone": np.array(2.5, np.float32),
}


def native(arrays):
    """Arrays in this machine's byte order."""
    return {name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol(protocol, tmp_path):
    path = tmp_path / "W.pkl"
    path.write_bytes(pickle.dumps({**ARRAYS, "scalar": np.float32(1.5)}, protocol))
    found = read_arrays(path)
    assert found.pop("scalar") == np.float32(1.5)
    assert_same_bits(native(found), native(ARRAYS))


def test_pickles_of_python_2(tmp_path):
    arrays = {name: ARRAYS[name] for name in ("vector", "kernel", "empty")}
    path = tmp_path / "W.pkl"
    path.write_bytes(python_2_pickle(arrays))
    # Python itself reads the same; so the pickle is one.
    assert_same_bits(pickle.loads(path.read_bytes(), encoding="latin1")["blobs"], arrays)
    found = read_arrays(path)
    assert_same_bits(found["blobs"], arrays)
    assert found["cfg"] == "A: 1"


@pytest.mark.filterwarnings("ignore:numpy.core:DeprecationWarning")
def test_what_is_written_is_read_by_python_too(tmp_path):
    path = tmp_path / "W.pkl"
    write_arrays({"blobs": ARRAYS}, path)
    assert_same_bits(read_arrays(path)["blobs"], native(ARRAYS))
    found = pickle.loads(path.read_bytes(), encoding="latin1")["blobs"]
    assert_same_bits(found, native(ARRAYS))


@pytest.mark.parametrize(
    "array", [np.array(["text"]), np.array([{}], object), np.zeros(2, "f4,i4"), np.zeros(2, "c16")]
)
def test_arrays_of_other_things_are_refused(array, tmp_path):
    path = tmp_path / "W.pkl"
    path.write_bytes(pickle.dumps({"w": array}, 2))
    with pytest.raises(WeightsError, match=r"an array of other things than numbers"):
        read_arrays(path)


def test_a_shape_must_agree_with_the_bytes(tmp_path):
    path = tmp_path / "W.pkl"
    honest = python_2_pickle({"w": np.zeros((2, 3), np.float32)})
    path.write_bytes(honest.replace(b"M\x02\x00M\x03\x00", b"M\xff\xffM\xff\xff"))
    with pytest.raises(WeightsError, match=r"shape \(65535, 65535\) and type float32 has 24 bytes"):
        read_arrays(path)


def test_bytes_that_are_used_again_and_again_do_not_grow(tmp_path):
    array = np.zeros(1000, np.float32)
    raw = byte_string(array.tobytes())
    pickled = python_2_array(array)
    first, again = pickled.replace(raw, raw + b"q\x01"), pickled.replace(raw, b"h\x01")
    path = tmp_path / "W.pkl"
    path.write_bytes(b"\x80\x02}(U\x01a" + first + b"u.")
    assert list(read_arrays(path)) == ["a"]
    path.write_bytes(b"\x80\x02}(U\x01a" + first + (b"U\x01b" + again) * 100 + b"u.")
    with pytest.raises(WeightsError, match="claim more bytes than the file has"):
        read_arrays(path)


STRANGE = {
    "no class of arrays": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n)U\x01btR.",
    "too few arguments": b"cnumpy.core.multiarray\n_reconstruct\n)R.",
    "type of a deep list": b"cnumpy\ndtype\n" + b"]" + b"\x85" * 50_000 + b"\x85R.",
    "scalar without bytes": b"cnumpy.core.multiarray\nscalar\nK\x01K\x02\x86R.",
    "state of another kind": python_2_array(np.zeros(1)).split(b"(K\x01(")[0] + b"K\x01b.",
    "text in another coding": b"c_codecs\nencode\nU\x01xU\x05rot13\x86R.",
}


@pytest.mark.parametrize("data", STRANGE.values(), ids=STRANGE)
def test_strange_calls_are_sentences(data):
    arrays = PickledArrays(limit=len(data))
    with pytest.raises(WeightsError, match="not a complete pickle"):
        read_pickle(io.BytesIO(b"\x80\x02" + data), "W", arrays.builders, arrays.states)


def test_a_file_without_arrays(tmp_path):
    path = tmp_path / "W.pkl"
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(WeightsError, match="a pickled list; expected a dict of named arrays"):
        read_arrays(path)
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match="is empty"):
        read_arrays(path)
