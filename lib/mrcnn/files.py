"""Writing files so that a killed process or a full disk leaves the old file as it was."""

import contextlib
import math
import os
import shutil
from pathlib import Path

OVERHEAD = 4096  # bytes that HDF5 needs for a tensor at most, besides its numbers


@contextlib.contextmanager
def atomic_path(path, suffix="", size=0):
    """A temporary path to write to, renamed to `path` when the block ends well.

    Args:
        path: the file to make; its folder is made if necessary.
        suffix: ending of the temporary name, for writers that insist on one.
        size: bytes that must be free. HDF5 may crash where a disk fills up while it writes, so
            writers of HDF5 files state what they need.

    Raises:
        OSError: the file could not be written; what stood at `path` before still does.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _require_room(path.parent, size)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # h5py reports a full disk as either
        raise OSError(
            f"{path} could not be written. Any earlier file of that name is unchanged; free some "
            f"space or choose another folder, and save again. The reason: {error}"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # it is gone, or could not even be made
            temporary.unlink()


@contextlib.contextmanager
def written_whole(path):
    """Open a text file for writing that appears under its name only when it is complete."""
    with atomic_path(path) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            yield file


@contextlib.contextmanager
def new_folder(path):
    """An empty folder to fill, renamed to `path` when the block ends well.

    What an interrupted block leaves beside `path` is removed by the next one.

    Args:
        path: of the folder to make; there must be none.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    yield unfinished
    os.replace(unfinished, path)


def hdf5_size(tensors):
    """Bytes that an HDF5 file of these float32 tensors (or variables) needs at most."""
    return sum(4 * math.prod(tensor.shape) + OVERHEAD for tensor in tensors)


def _require_room(folder, size):
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(
            f"{size / 2**20:.1f} MiB are needed, but the disk has {free / 2**20:.1f} MiB left."
        )
