"""HDF5 files: opened only if they hold what they declare, made in memory and written as a whole."""

import contextlib
import io
import math
from pathlib import Path

import h5py

from mrcnn.files import atomic_path
from mrcnn.harmless_text import for_terminal

# Numbers that were learned hardly compress: a file that declares more than so many times its bytes,
# and more than this, is damaged or a trap.
LARGEST_GROWTH = 16
ALWAYS_ALLOWED = 16 << 20  # bytes


class WeightsError(ValueError):
    """A weights file that cannot be used, with a sentence that says why and what to do."""


@contextlib.contextmanager
def open_hdf5(path):
    """Open an HDF5 file to read, once it is known to hold what it declares, and nothing else.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: it is truncated or no HDF5 file, declares more than it can hold, or refers to
            other files; also for what goes wrong while the block reads it.
    """
    path = existing_file(path)
    with told_if_broken(path, "HDF5 file"), h5py.File(path, "r") as file:
        _refuse_traps(file, path)
        yield file


@contextlib.contextmanager
def told_if_broken(path, kind):
    """Whatever a block raises that reads a weights file says that the file is broken.

    Raises:
        WeightsError: the block raised one, or anything else but for lack of memory.
    """
    try:
        yield
    except (WeightsError, MemoryError):
        raise
    except Exception as error:  # what readers raise for damaged files has no common class
        reason = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
        raise WeightsError(
            f"{path} is not a complete {kind} ({for_terminal(reason.splitlines()[0][:200])}). It "
            "may be truncated or of another kind: fetch or copy it again."
        ) from error


def _refuse_traps(file, path):
    """Look at all that a file declares, before memory is taken for it."""
    declared = 0

    def visit(name, item):
        nonlocal declared
        _refuse_elsewhere(name, item, path)
        if isinstance(item, h5py.Dataset):
            declared += (item.size or 0) * item.dtype.itemsize
        for attribute in map(item.attrs.get_id, item.attrs):
            declared += math.prod(attribute.shape or ()) * attribute.dtype.itemsize

    visit("/", file)
    file.visititems(visit)  # each once, without what links lead to
    size = path.stat().st_size
    if declared > max(LARGEST_GROWTH * size, ALWAYS_ALLOWED):
        raise WeightsError(
            f"{path} has {size:,} bytes, but declares {declared:,} bytes of data, so it is damaged "
            "or no weights file: fetch or copy it again."
        )


def _refuse_elsewhere(name, item, path):
    """Refuse what is not stored here, and here alone: other files' content could be copied."""
    if isinstance(item, h5py.Group):
        elsewhere = [
            each for each in item if type(item.get(each, getlink=True)) is not h5py.HardLink
        ]
    else:
        elsewhere = [name] if item.external or item.is_virtual else []
    if elsewhere or h5py.h5o.get_info(item.id).rc > 1:
        raise WeightsError(
            f"{path} keeps {(elsewhere or [name])[0]!r} in another file or place, by a link that "
            "is not followed. Save these weights in one file, without links."
        )


@contextlib.contextmanager
def write_hdf5(path):
    """An HDF5 file to fill, which is made in memory and put to `path` when the block ends well.

    HDF5 itself may crash where writing fails, on a full disk or a network drive.

    Raises:
        mrcnn.files.UnwritableError: it could not be written; what stood there before still does.
    """
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        yield file
    put(content, path)


def put(content, path):
    """Write what an `io.BytesIO` holds to a file, atomically."""
    data = content.getbuffer()
    with atomic_path(path, size=len(data)) as temporary:
        temporary.write_bytes(data)


def existing_file(path):
    """The path of a weights file, or a sentence about it.

    Raises:
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no weights file {path}. Check the path; checkpoints/README.md says where "
            "published weights come from."
        )
    return path
