"""Writing files so that a killed process or a full disk leaves the old file as it was."""

import contextlib
import os
import shutil
from pathlib import Path

from mrcnn.locks import LOCK, alone_in


class UnwritableError(OSError):
    """A file that could not be written; what stood there before still does."""


@contextlib.contextmanager
def atomic_path(path, suffix="", durable=True):
    """A temporary path to write to, renamed to `path` when the block ends well.

    Args:
        path: the file to make; its folder is made if necessary.
        suffix: ending of the temporary name, for writers that insist on one.
        durable: wait until the disk has it. Not worth it for one of thousands of small files that
            can be made again.

    Raises:
        UnwritableError: the file could not be written; what stood at `path` before still does.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UnwritableError(
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
