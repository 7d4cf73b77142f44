"""Pickles from strangers: plain data is read, anything else is refused and nothing is run."""

import io
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from mrcnn.converters.pickled_arrays import PickledArrays
from mrcnn.converters.restricted_pickle import UnsafePickleError, read_pickle
from mrcnn.weights.hdf5 import WeightsError

VALUES = {
    "none": None,
    "truth": [True, False],
    "numbers": (0, -1, 255, 65536, 2**31, -(2**70), 1.5),
    "texts": ["", "a", "é" * 300],
    "bytes": [b"", b"\x00\xff", b"x" * 300],
    "nested": {"a": {1: (1, 2, 3, 4), b"key": []}},
}


def read(data):
    arrays = PickledArrays(limit=len(data))
    return read_pickle(io.BytesIO(data), "W.pkl", arrays.builders, arrays.states)


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
    assert read(data.replace(b"]]", b"]](")) == {"a": 1}


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
    "a name that is not text": b"\x80\x04]\x8c\x06system\x93.",
    "a call of a str": b"\x80\x02X\x01\x00\x00\x00x)R.",
    "a call of a dict": b"\x80\x02})R.",
    "the pickle instruction OBJ": b"(cnumpy\nndarray\no.",
    "the pickle instruction NEWOBJ": b"\x80\x02cnumpy\nndarray\n)\x81.",
    "the pickle instruction EXT1": b"\x80\x02\x82\x01.",
    "a change of a Builder": b"\x80\x02cnumpy\ndtype\n}b.",
    "a change of a list": b"\x80\x02]}b.",
    "an object that is kept outside": b"\x80\x02X\x01\x00\x00\x00xQ.",
}


@pytest.mark.parametrize("request_, data", GADGETS.items(), ids=GADGETS)
def test_everything_else_is_refused_by_name(request_, data):
    with pytest.raises(UnsafePickleError) as caught:
        read(data)
    assert f"asks for {request_}" in str(caught.value)


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
    "left over": b"\x80\x02K\x01K\x02.",
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
    assert read(b"\x80\x02Nr\xff\xff\xff\xff.") is None  # number 2**32 - 1 of the memo


def test_nested_tuples_cannot_be_keys():
    """Their hash would recurse as deep as they nest."""
    data = b"\x80\x02})" + b"\x85" * 100_000 + b"K\x01s."
    with pytest.raises(WeightsError, match="not a complete pickle"):
        read(data)


def test_a_stream_of_pickles_is_read_one_by_one():
    file = io.BytesIO(pickle.dumps("a", 2) + pickle.dumps([1], 2) + b"rest")
    assert read_pickle(file, "W", {}) == "a"
    assert read_pickle(file, "W", {}) == [1]
    assert file.read() == b"rest"


def test_numpy_values_need_their_builders():
    with pytest.raises(UnsafePickleError, match=r"numpy.*(_reconstruct|_frombuffer)"):
        read_pickle(io.BytesIO(pickle.dumps(np.zeros(2), 4)), "W", {})
