"""PyTorch's `.pth` files without PyTorch: named tensors in and out.

Two layouts are read: the zip archive of PyTorch 1.6 and later (a pickle, and a member for each
storage), and the stream before it (five pickles, then the storages). Both are read by
`mrcnn.converters.restricted_pickle`; what the pickle claims about a storage must agree with the
bytes that are there. The zip archive is written, as `torch.load(..., weights_only=True)` reads it.
"""

import io
import math
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrcnn.converters.pickle_writer import Call, Global, Persistent, write_pickle
from mrcnn.converters.pickled_arrays import PickledArrays, is_shape, mapped
from mrcnn.converters.restricted_pickle import Builder, read_pickle
from mrcnn.files import atomic_path
from mrcnn.weights.hdf5 import WeightsError

ZIP_START = b"PK\x03\x04"
STREAM_MAGIC = 0x1950A86A20F9469CFC6C
STREAM_START = b"\x80\x02\x8a\x0a" + STREAM_MAGIC.to_bytes(10, "little")
STREAM_VERSION = 1001
STORAGE_TYPES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
ZIP_HEADER = 30  # bytes before a member's name
ALIGNMENT = 64  # bytes; PyTorch maps storages into memory where they lie
MOST_SHARING = 2  # bytes of tensors in a byte of the file: two names may share a storage
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    KeyError,
    EOFError,
    ValueError,
    RuntimeError,
)
ARCHIVE = "archive"  # the folder in a zip file, of any name


@dataclass(frozen=True)
class StorageType:
    """Stands in for torch.FloatStorage and the like."""

    code: str


@dataclass
class Storage:
    """Numbers one after another, which are read after the pickle that says what they mean."""

    kind: np.dtype
    count: int
    data: np.ndarray | None = None


@dataclass
class Tensor:
    """A view of a storage: first number, lengths and strides, in numbers."""

    storage: Storage
    first: int
    shape: tuple
    strides: tuple

    @property
    def size(self):
        """Bytes of the tensor."""
        return math.prod(self.shape) * self.storage.kind.itemsize

    def array(self):
        step = self.storage.kind.itemsize
        view = np.lib.stride_tricks.as_strided(
            self.storage.data[self.first :], self.shape, [step * each for each in self.strides]
        )
        return np.ascontiguousarray(view).reshape(self.shape)


class _Archive:
    """Builders for the pickles of one file, and the storages that they ask for."""

    def __init__(self, path):
        self.path = path
        self.size = Path(path).stat().st_size
        self.storages = {}
        arrays = PickledArrays(limit=self.size)
        types = {
            (module, name): StorageType(code)
            for module in ("torch", "torch.cuda")
            for name, code in STORAGE_TYPES.items()
        }
        functions = {
            ("torch", "Size"): Builder("torch.Size", tuple),
            ("torch._utils", "_rebuild_tensor"): Builder("tensor", _tensor),
            ("torch._utils", "_rebuild_tensor_v2"): Builder("tensor", _tensor),
            ("torch._utils", "_rebuild_parameter"): Builder("parameter", _parameter),
        }
        self.builders = arrays.builders | types | functions
        self.states = arrays.states

    def read(self, file):
        return read_pickle(file, self.path, self.builders, self.states, self.storage)

    def storage(self, identity):
        """The storage that a pickle means by ("storage", type, key, place, count, part)."""
        if not isinstance(identity, tuple) or len(identity) not in (5, 6):
            raise ValueError("a storage without type, key and length")
        word, kind, key, _, count, *part = identity
        if word != "storage" or not isinstance(kind, StorageType) or not isinstance(key, str):
            raise ValueError("a storage of unknown type or key")
        if not is_shape((count,)):
            raise ValueError("a storage without length")
        if part and part[0] is not None:
            raise ValueError("a storage that is part of another")
        return self.storages.setdefault(key, Storage(np.dtype(kind.code), count))

    def tensors(self, value):
        """The named tensors of what the pickle holds."""
        named = {}
        if isinstance(value, dict):
            named = {
                name: each
                for name, each in value.items()
                if isinstance(name, str) and isinstance(each, Tensor)
            }
        if sum(each.size for each in named.values()) > MOST_SHARING * self.size:
            raise WeightsError(f"{self.path} names tensors of more bytes than it has.")
        if not named:
            raise WeightsError(
                f"{self.path} is a file of PyTorch, but no state_dict: expected a dict of named "
                "tensors. Save model.state_dict() alone."
            )
        return {name: each.array() for name, each in named.items()}


def _tensor(storage, first, shape, strides, *_):
    lengths = (shape, strides) if isinstance(storage, Storage) else ()
    if not lengths or not is_shape((first,)) or not all(map(is_shape, lengths)):
        raise ValueError("a tensor without storage, shape or strides")
    last = first + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    count = math.prod(shape)
    if count > storage.count or (count and last >= storage.count):
        raise ValueError(f"a tensor of shape {shape} in a storage of {storage.count} numbers")
    return Tensor(storage, first, shape, strides)


def _parameter(data, *_):
    return data


def read_state_dict(path):
    """The tensors of a `.pth` file: {name: array}.

    Raises:
        UnsafePickleError: its pickle asks for more than tensors.
        WeightsError: it is truncated, no file of PyTorch, or holds no named tensors.
    """
    with open(path, "rb") as file:
        start = file.read(len(STREAM_START))
    if start.startswith(ZIP_START):
        return _read_zip(path)
    if start == STREAM_START:
        return _read_stream(path)
    raise WeightsError(f"{path} is no file of PyTorch: neither its zip archive nor its stream.")


def _read_zip(path):
    archive = _Archive(path)
    try:
        with zipfile.ZipFile(path) as members:
            folder = _folder(members, path)
            value = archive.read(io.BytesIO(members.read(f"{folder}data.pkl")))
            order = ">" if _byte_order(members, folder) == b"big" else "<"
            for key, storage in archive.storages.items():
                size = members.getinfo(f"{folder}data/{key}").file_size
                _check_size(storage, key, size)
                storage.data = _numbers(members.read(f"{folder}data/{key}"), storage, order)
    except BROKEN as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(
            f"{path} is not a complete file of PyTorch ({error}). It may be truncated: fetch or "
            "copy it again."
        ) from error
    return archive.tensors(value)


def _folder(members, path):
    """The folder of the archive that holds its pickle.

    Also sees to it that the members take no more room than the file: PyTorch compresses none.
    """
    infos = members.infolist()
    if sum(info.file_size for info in infos) > Path(path).stat().st_size:
        raise ValueError("it is compressed, as PyTorch's are not")
    folders = [
        info.filename.removesuffix("data.pkl")
        for info in infos
        if info.filename.split("/")[-1] == "data.pkl"
    ]
    if len(folders) != 1:
        raise ValueError("a zip archive without the file data.pkl")
    return folders[0]


def _byte_order(members, folder):
    name = f"{folder}byteorder"
    return members.read(name) if name in members.namelist() else b"little"


def _check_size(storage, key, size):
    expected = storage.count * storage.kind.itemsize
    if size != expected:
        raise ValueError(f"storage {key} has {size} bytes, but should have {expected}")


def _numbers(raw, storage, order):
    stored = np.frombuffer(raw, storage.kind.newbyteorder(order))
    return stored.astype(storage.kind, copy=False)


def _read_stream(path):
    archive = _Archive(path)
    with mapped(path) as file:
        magic, version, system = (archive.read(file) for _ in range(3))
        if magic != STREAM_MAGIC or version != STREAM_VERSION or not isinstance(system, dict):
            raise WeightsError(
                f"{path} is a file of PyTorch of an unknown version; save it anew with a current "
                "one."
            )
        value, keys = archive.read(file), archive.read(file)
        order = "<" if system.get("little_endian", True) else ">"
        try:
            _read_storages(file, archive.storages, keys, order)
        except ValueError as error:
            raise WeightsError(
                f"{path} is not a complete file of PyTorch ({error}). It may be truncated: fetch "
                "or copy it again."
            ) from error
    return archive.tensors(value)


def _read_storages(file, storages, keys, order):
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
        raise ValueError("its storages are not those of its tensors")
    for key in keys:
        storage, count = storages[key], file.read(8)
        if count != struct.pack(f"{order}q", storage.count):
            raise ValueError(f"storage {key} is not {storage.count} numbers long")
        raw = file.read(storage.count * storage.kind.itemsize)
        _check_size(storage, key, len(raw))
        storage.data = _numbers(raw, storage, order)


def write_state_dict(tensors, path):
    """Write {name: float32 array} as a `.pth` file (zip archive), atomically."""
    pickled = io.BytesIO()
    shapes = {name: array.shape for name, array in tensors.items()}
    calls = {name: _rebuilding(number, shapes[name]) for number, name in enumerate(shapes)}
    write_pickle(pickled, calls)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        with zipfile.ZipFile(file, "w") as members:
            _write_member(file, members, "data.pkl", pickled.getvalue())
            _write_member(file, members, "byteorder", b"little")
            for number, array in enumerate(tensors.values()):
                _write_member(file, members, f"data/{number}", array.astype("<f4").tobytes())
            _write_member(file, members, "version", b"3\n")


def _rebuilding(number, shape):
    """The call by which PyTorch makes a tensor of a storage."""
    count = math.prod(shape)
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    kind = Global("torch", "FloatStorage")
    storage = Persistent(("storage", kind, str(number), "cpu", count))
    hooks = Call(Global("collections", "OrderedDict"), ())
    return Call(
        Global("torch._utils", "_rebuild_tensor_v2"), (storage, 0, shape, strides, False, hooks)
    )


def _write_member(file, members, name, data):
    """Append a member whose data begin at a multiple of the alignment, as PyTorch's do."""
    info = zipfile.ZipInfo(f"{ARCHIVE}/{name}")
    padding = -(file.tell() + ZIP_HEADER + len(info.filename) + 4) % ALIGNMENT
    info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
    members.writestr(info, data)
