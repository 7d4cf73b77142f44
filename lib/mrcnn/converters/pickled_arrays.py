"""Arrays inside pickles: what stands in for numpy's own functions, and the files that hold them.

A pickled array is a call of numpy's `_reconstruct`, then a state (version, shape, type, whether
in Fortran's order, bytes). Arrays of numbers are all that is built; a shape must agree with the
bytes that are there, and a file's arrays together take no more memory than the file.
"""

import math
import mmap
import re
from pathlib import Path

import numpy as np

from mrcnn.converters.pickle_writer import ByteString, Call, Global, write_pickle
from mrcnn.converters.restricted_pickle import Builder, read_pickle
from mrcnn.files import atomic_path
from mrcnn.weights.hdf5 import WeightsError

ARRAY_CLASS = object()  # stands in for numpy.ndarray, which only `_reconstruct` asks for
TYPE_CODE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248])|\?")
BYTE_ORDERS = ("<", ">", "|", "=")
MOST_AXES = 32


class ArrayType:
    """A numpy type in the making: its byte order comes after it."""

    def __init__(self, code):
        self.dtype = np.dtype(code)


class PickledArrays:
    """Builders and states for `read_pickle`.

    Args:
        limit: bytes of all arrays together; the size of the file.
    """

    def __init__(self, limit):
        self.left = limit
        builders = {
            ("numpy", "ndarray"): ARRAY_CLASS,
            ("numpy", "dtype"): Builder("numpy.dtype", _array_type),
            ("_codecs", "encode"): Builder("_codecs.encode", self._encoded),
            ("__builtin__", "bytes"): Builder("bytes", _no_bytes),
            ("collections", "OrderedDict"): Builder("OrderedDict", _ordered),
        }
        for package in ("numpy.core", "numpy._core"):
            builders |= {
                (f"{package}.multiarray", "_reconstruct"): Builder("array", self._empty),
                (f"{package}.multiarray", "scalar"): Builder("scalar", self._scalar),
                (f"{package}.numeric", "_frombuffer"): Builder("array", self._from_buffer),
            }
        self.builders = builders
        self.states = {np.ndarray: self._fill, ArrayType: _set_byte_order, dict: _ignore}

    def _spend(self, count):
        self.left -= count
        if self.left < 0:
            raise ValueError("its arrays claim more bytes than the file has")

    def _encoded(self, text, encoding):
        if type(text) is not str or encoding not in ("latin1", "latin-1"):
            raise ValueError("bytes are expected as text in Latin-1")
        return text.encode("latin-1")

    def _empty(self, array_class, shape, code):
        if array_class is not ARRAY_CLASS:
            raise ValueError("an array is expected to be a numpy.ndarray")
        return np.ndarray((0,), np.uint8)

    def _fill(self, array, state):
        _, shape, kind, fortran, raw = state
        order = "F" if fortran else "C"
        filled = self._array(shape, kind, raw, order)
        array.__setstate__((1, filled.shape, filled.dtype, bool(fortran), filled.tobytes(order)))

    def _scalar(self, kind, raw):
        return self._array((), kind, raw, "C")[()]

    def _from_buffer(self, raw, kind, shape, order):
        if order not in ("C", "F"):
            raise ValueError("an array in an unknown order")
        return self._array(shape, kind, raw, order)

    def _array(self, shape, kind, raw, order):
        if not isinstance(kind, ArrayType):
            raise ValueError("an array without a type of numbers")
        raw = raw.encode("latin-1") if isinstance(raw, str) else raw
        if not is_shape(shape) or not isinstance(raw, bytes | bytearray):
            raise ValueError("an array without a shape or without bytes")
        if math.prod(shape) * kind.dtype.itemsize != len(raw):
            raise ValueError(
                f"an array of shape {shape} and type {kind.dtype} has {len(raw)} bytes"
            )
        self._spend(len(raw))
        return np.frombuffer(raw, kind.dtype).reshape(shape, order=order)


def is_shape(shape):
    """Whether this is a tuple of a few lengths, as a file may claim them."""
    return (
        isinstance(shape, tuple)
        and len(shape) <= MOST_AXES
        and all(type(length) is int and 0 <= length < 2**48 for length in shape)
    )


def _no_bytes():
    """How Python 3 writes b"" for Python 2."""
    return b""


def _array_type(code, align=False, copy=False):
    code = code.decode("latin-1") if isinstance(code, bytes) else code
    if type(code) is not str or not TYPE_CODE.fullmatch(code):
        raise ValueError("an array of other things than numbers")
    return ArrayType(code)


def _set_byte_order(kind, state):
    if type(state) is not tuple or len(state) < 5 or state[2:5] != (None, None, None):
        raise ValueError("an array of records")
    order = state[1].decode("latin-1") if isinstance(state[1], bytes) else state[1]
    if order not in BYTE_ORDERS:
        raise ValueError("an array in an unknown byte order")
    kind.dtype = kind.dtype.newbyteorder(order)


def _ordered(items=()):
    """A dict, from the pairs that Python 2 writes, or empty."""
    pairs = [pair for pair in items if isinstance(pair, list | tuple) and len(pair) == 2]
    if len(pairs) != len(items) or not all(isinstance(name, str) for name, _ in pairs):
        raise ValueError("an OrderedDict is expected to have names for keys")
    return dict(pairs)


def _ignore(target, state):
    """Attributes of a dict hold no weights (PyTorch notes its version there)."""


def read_arrays(path):
    """The pickled dict of a file: names to arrays, numbers, texts or dicts of these.

    Raises:
        FileNotFoundError: there is no such file.
        UnsafePickleError, WeightsError: as `read_pickle`; also if it holds no dict.
    """
    with mapped(path) as file:
        arrays = PickledArrays(limit=len(file))
        value = read_pickle(file, path, arrays.builders, arrays.states)
    if not isinstance(value, dict):
        raise WeightsError(
            f"{path} holds a pickled {type(value).__name__}; expected a dict of named arrays."
        )
    return value


def mapped(path):
    """A file as memory: its reads are never longer than the file.

    Raises:
        WeightsError: the file is empty.
    """
    with open(path, "rb") as file:
        if not Path(path).stat().st_size:
            raise WeightsError(f"{path} is empty. Fetch or copy it again.")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def write_arrays(value, path):
    """Write nested dicts of arrays as Python 2 and numpy 1 did, atomically.

    Such files are read by Python 2, and by Python 3 with encoding="latin1".
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        write_pickle(file, _as_in_python_2(value))


def _as_in_python_2(value):
    if isinstance(value, dict):
        return {
            ByteString(name.encode("latin-1")): _as_in_python_2(each)
            for name, each in value.items()
        }
    kind = value.dtype
    array_type = Call(
        Global("numpy", "dtype"),
        (ByteString(kind.str[1:].encode()), 0, 1),
        (3, ByteString(b"<"), None, None, None, -1, -1, 0),
    )
    raw = np.ascontiguousarray(value, kind.newbyteorder("<")).tobytes()
    return Call(
        Global("numpy.core.multiarray", "_reconstruct"),
        (Global("numpy", "ndarray"), (0,), ByteString(b"b")),
        (1, value.shape, array_type, False, ByteString(raw)),
    )
