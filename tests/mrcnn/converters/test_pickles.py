"""Pickles from strangers: plain data and arrays are read, anything else refused, nothing is run."""

import os
import pickle
import tempfile
from collections import OrderedDict

import numpy as np
import pytest

from foreign_weights import assert_same_bits, byte_string, python_2_array, python_2_pickle
from mrcnn.converters.pickles import Reader, UnsafePickleError, items_of, opened, read_arrays
from mrcnn.weights.hdf5 import WeightsError

VALUES = {
    "none": None,
    "truth": [True, False],
    "numbers": (0, -1, 255, 65536, 2**31, -(2**62), 1.5),
    "texts": ["", "a", "é" * 300],
    "nested": {"a": {1: (1, 2, 3, 4), "key": []}},
}


def read(data):
    with tempfile.NamedTemporaryFile(suffix="W.pkl") as file:
        file.write(data)
        file.flush()
        with opened(file.name, "pickle") as content:
            return Reader(content, file.name).load()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_are_read(protocol):
    assert read(pickle.dumps(VALUES, protocol)) == VALUES


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_shared_and_ordered_values_are_read(protocol):
    shared = ["once"]
    ordered = OrderedDict(a=shared, b=shared)
    found = read(pickle.dumps(ordered, protocol))
    assert found == {"a": ["once"], "b": ["once"]} and found["a"] is found["b"]


def test_ordered_dicts_of_python_2_are_read():
    data = b"\x80\x02ccollections\nOrderedDict\n]]U\x01aK\x01e" + b"a\x85R."
    assert items_of(read(data.replace(b"]]", b"]]("))) == {"a": 1}


class Poison:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_os_system_is_refused_and_not_run(protocol, tmp_path):
    made = tmp_path / "made"
    data = pickle.dumps({"conv1_w": Poison(os.system, f"touch {made}")}, protocol)
    pickle.loads(data)  # the poison works
    assert made.exists()
    made.unlink()
    with pytest.raises(UnsafePickleError, match=r"W\.pkl asks for posix\.system.*Nothing was exec"):
        read(data)
    assert not made.exists()


GADGETS = {
    "os.system": b"cos\nsystem\n(S'true'\ntR.",
    "__builtin__.eval": b"c__builtin__\neval\n(S'1'\ntR.",
    "builtins.exec": b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c\x011\x85R.",
    "builtins.getattr": b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.",
    "numpy.f2py.diagnose.run": b"\x80\x02cnumpy.f2py.diagnose\nrun\n)R.",
    "numpy.load": b"\x80\x02cnumpy\nload\nX\x01\x00\x00\x00x\x85R.",
    "numpy.testing._private.utils.runstring": (
        b"\x80\x02cnumpy.testing._private.utils\nrunstring\n(S'1'\n}tR."
    ),
    # Dots within a name, by which protocol 4 reaches into modules.
    "numpy.core.records.os.system": b"\x80\x04\x8c\x05numpy\x8c\x16core.records.os.system\x93.",
    "numpy.ndarray.dumps": b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.dumps\x93.",
    "torch.hub.load": b"\x80\x02ctorch.hub\nload\n)R.",
    # Old-style classes are called by their own instruction.
    "subprocess.Popen": b"(S'true'\nisubprocess\nPopen\n.",
    "an object outside of the pickle that is no storage": b"\x80\x02X\x01\x00\x00\x00xQ.",
}


@pytest.mark.parametrize("request_, data", GADGETS.items(), ids=GADGETS)
def test_everything_else_is_refused_by_name(request_, data):
    with pytest.raises(UnsafePickleError) as caught:
        read(data)
    assert f"asks for {request_}" in str(caught.value)


ODD = {
    "a name that is not text": b"\x80\x04]\x8c\x06system\x93.",
    "a call of a str": b"\x80\x02X\x01\x00\x00\x00x)R.",
    "a call of a dict": b"\x80\x02})R.",
    "the pickle instruction OBJ": b"(cnumpy\nndarray\no.",
    "the pickle instruction NEWOBJ": b"\x80\x02cnumpy\nndarray\n)\x81.",
    "the pickle instruction EXT1": b"\x80\x02\x82\x01.",
    "a change of a Builder": b"\x80\x02cnumpy\ndtype\n}b.",
    "a change of a list": b"\x80\x02]}b.",
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_odd_instructions_are_sentences_or_do_nothing(data):
    try:
        read(data)
    except WeightsError as error:
        assert "not a complete pickle" in str(error)


def test_names_of_strangers_cannot_steer_a_terminal():
    with pytest.raises(UnsafePickleError) as caught:
        read(b"\x80\x02c\x1b[2Jos\n" + b"x" * 5000 + b"\n.")
    assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 600


BROKEN = {
    "empty": b"",
    "text": b"no pickle at all",
    "truncated": pickle.dumps(VALUES, 4)[:-20],
    "nothing to pop": b"\x80\x02s.",
    "no mark": b"\x80\x02t.",
    "unknown memo": b"\x80\x02h\x07.",
    "odd pairs": b"\x80\x02}(K\x01u.",
    "list for a key": b"\x80\x02}(]K\x01u.",
    "appended to a tuple": b"\x80\x02)K\x01a.",
    "unknown instruction": b"\x80\x02\xff.",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_broken_pickles_are_told(data):
    with pytest.raises(WeightsError, match=r"W\.pkl is not a complete pickle \(.*truncated or of"):
        read(data)


def test_a_claim_of_four_gigabytes_takes_no_memory():
    with pytest.raises(WeightsError, match="not a complete pickle"):
        read(b"\x80\x04B\xff\xff\xff\xff" + b"x" * 50)  # bytes
    with pytest.raises(WeightsError, match="not a complete pickle"):
        read(b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f" + b"x" * 50)  # bytes, of 2**63
    with pytest.raises(WeightsError, match="a place in its memo that is too far"):
        read(b"\x80\x02Nr\xff\xff\xff\xff.")


def test_nested_tuples_cannot_be_keys():
    """Their hash would recurse as deep as they nest."""
    data = b"\x80\x02})" + b"\x85" * 100_000 + b"K\x01s."
    with pytest.raises(WeightsError, match="not a complete pickle"):
        read(data)


DOUBLED = {
    "memo": b"\x80\x02}N\x85q\x00" + b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60)),
    "memoize": b"\x80\x04}N\x85\x94" + b"".join(b"h%ch%c\x86\x94" % (n, n) for n in range(60)),
    "dup": b"\x80\x02}N\x85" + b"2\x86" * 60,
    "mark": b"\x80\x02}N\x85q\x00" + b"".join(b"(h%ch%ctq%c" % (n, n, n + 1) for n in range(60)),
    "of lists": b"\x80\x02}]" + b"2\x86" * 60,
    "nothing built": b"\x80\x02}N\x85" + b"2\x86Nb" * 60,
}


@pytest.mark.parametrize("data", DOUBLED.values(), ids=DOUBLED)
def test_doubled_tuples_cannot_be_keys(data):
    """t = (t, t), sixty times: their hash would take years."""
    with pytest.raises(WeightsError, match="tuples of more values than any shape has"):
        read(data + b"K\x01s.")


def test_tuples_that_are_shared_are_read():
    beta = (0.9, 0.999)
    groups = [{"betas": beta, "names": tuple(map(str, range(90)))} for _ in range(100)]
    for protocol in range(6):
        assert read(pickle.dumps(groups, protocol)) == groups


# --- arrays ---------------------------------------------------------------------------------------

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
    path.write_bytes(pickle.dumps({**ARRAYS, "epoch": 3}, protocol))
    assert_same_bits(native(read_arrays(path)), native(ARRAYS))


def test_pickles_of_python_2(tmp_path):
    arrays = {name: ARRAYS[name] for name in ("vector", "kernel", "empty")}
    path = tmp_path / "W.pkl"
    path.write_bytes(python_2_pickle(arrays))
    # Python itself reads the same; so the pickle is one.
    assert_same_bits(pickle.loads(path.read_bytes(), encoding="latin1")["blobs"], arrays)
    assert_same_bits(read_arrays(path), arrays)


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
    with pytest.raises(WeightsError, match="cannot reshape array of size 6"):
        read_arrays(path)


def test_bytes_that_are_used_again_and_again_do_not_grow(tmp_path):
    array = np.zeros(1000, np.float32)
    raw = byte_string(array.tobytes())
    pickled = python_2_array(array)
    first, again = pickled.replace(raw, raw + b"q\x01"), pickled.replace(raw, b"h\x01")
    path = tmp_path / "W.pkl"
    path.write_bytes(b"\x80\x02}(U\x01a" + first + b"u.")
    assert list(read_arrays(path)) == ["a"]
    path.write_bytes(
        b"\x80\x02}(U\x01a"
        + first
        + b"".join(b"U\x02b%c" % n + again for n in range(65, 90))
        + b"u."
    )
    with pytest.raises(WeightsError, match="names arrays of more bytes than it has"):
        read_arrays(path)


STRANGE = {
    "no class of arrays": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n)U\x01btR",
    "too few arguments": b"cnumpy.core.multiarray\n_reconstruct\n)R",
    "type of a deep list": b"cnumpy\ndtype\n" + b"]" + b"\x85" * 50_000 + b"\x85R",
    "scalar without bytes": b"cnumpy.core.multiarray\nscalar\nK\x01K\x02\x86R",
    "state of another kind": python_2_array(np.zeros(1)).split(b"(K\x01(")[0] + b"K\x01b",
    "text in another coding": b"c_codecs\nencode\nU\x01xU\x05rot13\x86R",
}


@pytest.mark.parametrize("data", STRANGE.values(), ids=STRANGE)
def test_strange_calls_are_sentences_or_no_arrays(data, tmp_path):
    path = tmp_path / "W.pkl"
    path.write_bytes(b"\x80\x02}(U\x01w" + data + b"u.")
    try:
        assert read_arrays(path) == {}
    except WeightsError as error:
        assert "not a complete pickle" in str(error)


def test_a_file_without_arrays(tmp_path):
    path = tmp_path / "W.pkl"
    path.write_bytes(pickle.dumps([1, 2]))
    assert read_arrays(path) == {}
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"not a complete pickle \(.*empty"):
        read_arrays(path)
