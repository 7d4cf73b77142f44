"""Pickles of strangers, read as records of what they ask for; of these only arrays are made.

A pickle is a program: Python's reader calls what it names. Here a name stands for a record that
does nothing, or ends the reading if weights do not need it. As that reader believes any length and
place in its memo, and hashes any tuple, the instructions are looked through first.
"""

import contextlib
import mmap
import pickle
import pickletools
import re

import numpy as np

from mrcnn.harmless_text import for_terminal
from mrcnn.weights.hdf5_files import WeightsError, told_if_broken

TYPES = {"Float": "f4", "Double": "f8", "Half": "f2", "Long": "i8", "Int": "i4", "Short": "i2"}
TYPES |= {"Char": "i1", "Byte": "u1", "Bool": "?"}  # PyTorch's names of numbers, numpy's codes
NAMES = re.compile(
    r"collections\.OrderedDict|_codecs\.encode|__builtin__\.bytes|numpy\.(dtype|ndarray)"
    r"|numpy\._?core\.(multiarray\.(_reconstruct|scalar)|numeric\._frombuffer)"
    r"|torch\.(_utils\._rebuild_(parameter|tensor|tensor_v2)|Size)"
    rf"|torch\.(cuda\.)?({'|'.join(TYPES)})Storage"
)
NUMBER_TYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])|\?")
MOST_INSTRUCTIONS = 500_000  # a ResNet-101 with the state of its optimiser takes 60,000
LARGEST_TUPLE = 1000  # values, with those of tuples in it, each as often as it is there
LARGEST_NUMBER = 2**63  # beyond, many numbers have the same hash
MOST_SHARING = 2  # bytes of arrays for a byte of the file: two names may share an array


class UnsafePickleError(WeightsError):
    """A pickle that asks for more than weights need; nothing of what it asks for is done."""


class Record(dict):
    """A name in a pickle, or what a call of it gives, with a state and the items of a dict."""

    __slots__ = __match_args__ = ("name", "arguments", "state")

    def __init__(self, name, arguments=None):
        self.name, self.arguments, self.state = name, arguments, None

    def __call__(self, *arguments):
        return Record(self.name, arguments)

    def __setstate__(self, state):
        self.state = state


class Reader(pickle.Unpickler):
    """Reads pickles one after another; `file` is in memory, `path` for sentences."""

    def __init__(self, file, path):
        super().__init__(file, encoding="latin1")  # keeps every byte of a string of Python 2
        self.file, self.path = file, path
        self.storages = {}  # PyTorch's numbers outside of pickles: {key: (numpy's code, count)}

    def load(self):
        start = self.file.tell()
        self._look_through()
        self.file.seek(start)
        return super().load()

    def _look_through(self):
        """Follow what the instructions do to the stack: of a tuple its size counts, a mark is 0."""
        stack, memo = [], {}
        for count, (instruction, argument, _) in enumerate(pickletools.genops(self.file)):
            if count > MOST_INSTRUCTIONS:
                raise ValueError("it has more parts than the weights of any network here")
            if isinstance(argument, int) and abs(argument) >= LARGEST_NUMBER:
                raise ValueError("it has a number of more than 64 bits")
            name, taken = instruction.name, instruction.stack_before
            if name.endswith("PUT") and argument > count:
                raise ValueError("it claims a place in its memo that is too far")
            if name.endswith("PUT") or name == "MEMOIZE":
                memo[len(memo) if argument is None else argument] = stack[-1]
            parts = [memo[argument]] if name.endswith("GET") else []
            if pickletools.markobject in taken:
                taken = taken[: taken.index(pickletools.markobject)]
                while size := stack.pop():
                    parts.append(size)
            parts += [stack.pop() for _ in taken]
            size = 1 + sum(parts) if name.startswith("TUPLE") else max(parts, default=1)
            if size > LARGEST_TUPLE:
                raise ValueError("it has tuples of more values than any shape has")
            stack += [0 if name == "MARK" else size] * len(instruction.stack_after)

    def find_class(self, module, name):
        if not NAMES.fullmatch(f"{module}.{name}"):
            self.refuse(f"{module}.{name}")
        return Record(name)

    def persistent_load(self, identity):
        match identity:
            case ("storage", Record(name), str(key), _, int(count), *view) if view in ([], [None]):
                self.storages[key] = TYPES[name.removesuffix("Storage")], count
                return Record("storage", (key,))
        self.refuse("an object outside of the pickle that is no storage")

    def refuse(self, request):
        raise UnsafePickleError(
            f"{self.path} asks for {for_terminal(request[:200])}, which no weights file needs. "
            "Nothing was executed. Open it with no other program; fetch it from a source you trust."
        )


@contextlib.contextmanager
def opened(path, kind):
    """A weights file in memory; a WeightsError says that it is broken, whatever notices it."""
    with open(path, "rb") as file, told_if_broken(path, kind):
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content


def read_arrays(path):
    """The numpy arrays in a pickled dict, or in its part "blobs": {name: array}.

    Raises:
        OSError: it cannot be opened.
        WeightsError: it is broken or has arrays of other things than numbers; `UnsafePickleError`.
    """
    with opened(path, "pickle") as content:
        items = items_of(Reader(content, path).load())
        return named_arrays(items.get("blobs", items), numpy_array, len(content))


def named_arrays(value, array_of, size):
    """{name: array} of a dict from a file of this size; `array_of` gives None for what is none."""
    arrays, left = {}, MOST_SHARING * size
    for name, item in items_of(value).items():
        if (array := array_of(item)) is not None:
            arrays[name], left = array, left - array.nbytes
        if left < 0:
            raise ValueError("it names arrays of more bytes than it has")
    return arrays


def items_of(value):
    """The items of a dict, {} of anything else."""
    match value:
        case Record("OrderedDict", ([*pairs],)):  # of Python 2
            return dict(pairs)
    return value if isinstance(value, dict) else {}


def numpy_array(value):
    """The array of numbers that a record stands for, None if it stands for none."""
    match value:
        case Record("_reconstruct", _, (_, shape, kind, fortran, raw)):
            order = "F" if fortran else "C"
        case Record("_frombuffer", (raw, kind, shape, order)):
            pass
        case _:
            return None
    code, sign, *fields = kind.arguments[0], *kind.state[1:5]
    if not NUMBER_TYPE.fullmatch(code) or fields != [None] * 3:
        raise ValueError("an array of other things than numbers")
    if isinstance(raw, Record):  # Python 3 writes bytes for Python 2 as Latin-1, none as bytes()
        raw = raw.arguments[0] if raw.arguments else ""
    raw = raw.encode("latin-1") if isinstance(raw, str) else raw
    return np.frombuffer(raw, np.dtype(code).newbyteorder(sign)).reshape(shape, order=order)
