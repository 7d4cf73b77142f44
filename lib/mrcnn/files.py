"""Writing files so that a killed process or a full disk leaves the old file as it was."""

import contextlib
import errno
import functools
import os
import platform
import re
import shutil
import time
import zlib
from pathlib import Path

from rich.filesize import decimal

from mrcnn.locks import LOCK, alone_in

LEFTOVER = re.compile(r"\..+\.(\d{1,9})(?:@(\w{8}))?\.partial(\.\w+)*")  # see `atomic_path`
A_DAY = 24 * 3600  # seconds
IN_HAND = "in hand: "  # how the notes of `in_hand` begin
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, or what a user may take of it


class UnwritableError(OSError):
    """A file that could not be written; what stood there before still does."""


@contextlib.contextmanager
def atomic_path(path, suffix="", size=0, durable=True):
    """A temporary path to write to, renamed to `path` when the block ends well.

    Args:
        path: the file to make; its folder is made if necessary.
        suffix: ending of the temporary name, for writers that insist on one.
        size: bytes that will be written, as far as that is known.
        durable: wait until the disk has it. Not worth it for one of thousands of small files that
            can be made again.

    Raises:
        UnwritableError: the file could not be written; what stood at `path` before still does.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}@{_host()}.partial{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(path.parent)
        require_room(path.parent, size)
        yield temporary
        if durable:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        # A copy would name the file that it read.
        reason = error.strerror if error.errno in DISK_FULL else error
        raise UnwritableError(
            f"{path} could not be written. Any earlier file of that name is unchanged; free some "
            f"space or choose another folder, and save again. The reason: {reason}"
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

    Raises:
        mrcnn.locks.InUseError: another program makes it.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.partial")
    with alone_in(unfinished):
        for left in unfinished.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            elif left.name != LOCK:
                left.unlink()
        yield unfinished
    os.replace(unfinished, path)


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


@contextlib.contextmanager
def in_hand(file):
    """Note a file on whatever error the block raises, for those who tell it."""
    try:
        yield
    except Exception as error:
        error.add_note(f"{IN_HAND}{file}")
        raise


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
