"""Writing files so that a killed process or a full disk leaves the old file as it was."""

import contextlib
import functools
import math
import os
import platform
import re
import shutil
import time
import zlib
from pathlib import Path

from rich.filesize import decimal

OVERHEAD = 4096  # bytes that HDF5 needs for a tensor at most, besides its numbers
LEFTOVER = re.compile(r"\..+\.(\d{1,9})(?:@(\w{8}))?\.partial(\.\w+)*")  # see `atomic_path`
A_DAY = 24 * 3600  # seconds


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
    temporary = path.with_name(f".{path.name}.{os.getpid()}@{_host()}.partial{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(path.parent)
        require_room(path.parent, size)
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


def require_room(folder, size):
    """Make sure that the disk of a folder has so many bytes left.

    Raises:
        OSError: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(
            f"The disk of {folder} has {decimal(free)} left, but {decimal(size)} are needed. Free "
            f"{decimal(size - free)}, or choose another folder."
        )


@contextlib.contextmanager
def disk_explained(path):
    """Say what to do when a disk fails in the middle of work that goes on where it stopped."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # a sentence already
            raise
        raise OSError(
            f"{error.filename or path}: {error.strerror}. What is there stays; free some space or "
            "choose another folder, then try again to go on."
        ) from error


@functools.cache  # one look at a folder is enough
def _clear_leftovers(folder):
    """Remove what processes that were killed while they wrote have left in a folder.

    Whether a process of another computer lives cannot be asked, so that what it writes is left
    when it was not touched for a day.
    """
    for path in folder.glob(".*.partial*"):
        name = LEFTOVER.fullmatch(path.name)
        with contextlib.suppress(OSError):  # gone meanwhile, another user's, or a folder
            if name and not _may_live(path, int(name[1]), name[2]):
                path.unlink()


def _may_live(path, process, host):
    if host != _host() or os.name != "posix":  # Windows would end the process that is asked
        return time.time() - path.stat().st_mtime < A_DAY
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


def _host():
    """This computer's name as eight digits, as file names must not become too long."""
    return f"{zlib.crc32(platform.node().encode()):08x}"
