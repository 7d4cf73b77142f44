"""PyTorch's `.pth` files, read without PyTorch: zip archives, and the stream before 1.6."""

import io
import pickle
import zipfile

import numpy as np

from mrcnn.converters.archives import open_archive
from mrcnn.converters.pickles import Reader, Record, named_arrays, opened

ZIP_START = b"PK\x03\x04"
STREAM_START = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)  # kind and version


def read_state_dict(path):
    """The tensors of a `.pth` file: {name: array}.

    Raises:
        OSError: it cannot be opened.
        WeightsError: it is broken or has no named tensors; `UnsafePickleError`.
    """
    with opened(path, "file of PyTorch") as content:
        read = _read_archive if content[: len(ZIP_START)] == ZIP_START else _read_stream
        value, storages = read(content, path)
        tensors = named_arrays(value, lambda item: _tensor(item, storages), len(content))
        if not tensors:
            raise ValueError("no state_dict: save model.state_dict() alone")
        return tensors


def _read_archive(content, path):
    """What the pickle in an archive holds, and its storages, a member each: {key: array}."""
    with open_archive(path, (zipfile.ZIP_STORED,), len(content)) as archive:
        members = archive.namelist()
        pickled = [name for name in members if name.endswith("/data.pkl")]
        if len(pickled) != 1:
            raise ValueError("a zip archive without the file data.pkl")
        folder = pickled[0].removesuffix("data.pkl")
        reader = Reader(io.BytesIO(archive.read(pickled[0])), path)
        value = reader.load()
        order = f"{folder}byteorder"  # newer files have it
        order = ">" if order in members and archive.read(order) == b"big" else "<"
        return value, {
            key: _numbers(archive.read(f"{folder}data/{key}"), order, *claimed)
            for key, claimed in reader.storages.items()
        }


def _read_stream(content, path):
    """What the fourth of five pickles holds, and the storages behind them: {key: array}."""
    if content.read(len(STREAM_START)) != STREAM_START:
        raise ValueError("neither PyTorch's zip archive nor its stream")
    reader, storages = Reader(content, path), {}
    system, value, keys = (reader.load() for _ in range(3))
    order = "<" if system.get("little_endian", True) else ">"
    for key in keys:
        code, count = reader.storages[key]
        if _numbers(content.read(8), order, "i8", 1) != count:
            raise ValueError(f"a storage of {count} numbers says that it has another count")
        raw = content.read(count * np.dtype(code).itemsize)
        storages[key] = _numbers(raw, order, code, count)
    return value, storages


def _numbers(raw, order, code, count):
    numbers = np.frombuffer(raw, f"{order}{code}")
    if len(numbers) != count:
        raise ValueError(f"a storage of {count} numbers has {len(numbers)}")
    return numbers.astype(code, copy=False)  # in this machine's order


def _tensor(value, storages):
    """The array of the tensor that a record stands for, None if it stands for none."""
    match value:
        case Record("_rebuild_parameter", (tensor, *_)):
            return _tensor(tensor, storages)
        case Record(_, (Record("storage", (key,)), first, shape, strides, *_)):
            if any(type(each) is not int for each in (first, *shape, *strides)):
                raise ValueError("a tensor of a shape that is no whole numbers")  # texts multiply
            numbers = storages[key]
            last = first + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
            if min((first, *shape, *strides)) < 0 or (all(shape) and last >= len(numbers)):
                raise ValueError(f"a tensor of shape {shape} in a storage of {len(numbers)}")
            steps = [numbers.itemsize * step for step in strides]
            return np.ndarray(shape, numbers.dtype, numbers, numbers.itemsize * first, steps)
