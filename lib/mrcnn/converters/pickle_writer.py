"""Writes pickles (protocol 2) of objects whose classes need not be installed.

PyTorch's and Detectron's files name classes of PyTorch and of old numpy; here they are written as
names, without importing either. Instructions are those of the standard library's `pickle`.
"""

import pickle
import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Global:
    """A class or function by name."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """What a function returns for these arguments, given a state afterwards unless that is None."""

    function: Global
    arguments: tuple
    state: object = None


@dataclass(frozen=True)
class Persistent:
    """An object that is kept outside of the pickle, by what the reader must know to find it."""

    identity: object


@dataclass(frozen=True)
class ByteString:
    """A string of Python 2: text or bytes."""

    value: bytes


def write_pickle(file, value):
    """Write one pickle of None, numbers, texts, tuples, dicts and the classes above."""
    file.write(pickle.PROTO + b"\x02")
    file.writelines(_instructions(value))
    file.write(pickle.STOP)


def _instructions(value):
    """The bytes of a value, piece by piece."""
    writer = WRITERS.get(type(value))
    if writer is None:
        raise TypeError(f"There is no way to pickle a {type(value).__name__} here.")
    return writer(value)


def _none(_):
    yield pickle.NONE


def _bool(value):
    yield pickle.NEWTRUE if value else pickle.NEWFALSE


def _int(value):
    if -(2**31) <= value < 2**31:
        yield pickle.BININT + struct.pack("<i", value)
    else:
        encoded = pickle.encode_long(value)
        yield pickle.LONG1 + bytes([len(encoded)]) + encoded


def _text(value):
    encoded = value.encode("utf-8")
    yield pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _byte_string(string):
    yield pickle.BINSTRING + struct.pack("<i", len(string.value))
    yield string.value


def _tuple(values):
    yield pickle.MARK
    for value in values:
        yield from _instructions(value)
    yield pickle.TUPLE


def _dict(values):
    yield pickle.EMPTY_DICT
    yield from _items(values)


def _items(values):
    yield pickle.MARK
    for name, value in values.items():
        yield from _instructions(name)
        yield from _instructions(value)
    yield pickle.SETITEMS


def _global(each):
    yield pickle.GLOBAL + f"{each.module}\n{each.name}\n".encode("ascii")


def _call(call):
    yield from _instructions(call.function)
    yield from _tuple(call.arguments)
    yield pickle.REDUCE
    if call.state is not None:
        yield from _instructions(call.state)
        yield pickle.BUILD


def _persistent(each):
    yield from _instructions(each.identity)
    yield pickle.BINPERSID


WRITERS = {
    type(None): _none,
    bool: _bool,
    int: _int,
    str: _text,
    tuple: _tuple,
    dict: _dict,
    ByteString: _byte_string,
    Global: _global,
    Call: _call,
    Persistent: _persistent,
}
