"""One program at a time in a folder: a lock that the system lifts when its holder ends or dies."""

import contextlib
import errno
import logging
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

logger = logging.getLogger(__name__)

LOCK = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)  # some network drives


class InUseError(OSError):
    """Another program writes into a folder."""


@contextlib.contextmanager
def alone_in(folder):
    """Keep other programs out of a folder while the block lasts.

    The folder is made if necessary, and removed again if nothing came into it.

    Args:
        folder: path; while the block lasts it holds a file `LOCK`.

    Raises:
        InUseError: another program, or another block of this one, is in there.
        OSError: the folder cannot be made or written to.
    """
    folder = Path(folder)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    file = _taken(folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder may be gone; Windows deletes no open file
            (folder / LOCK).unlink()  # while it is held, so that nobody can hold a deleted one
        file.close()
        if is_new:
            with contextlib.suppress(OSError):  # it holds something
                folder.rmdir()


def _taken(folder):
    """The open lock file, held."""
    path = folder / LOCK
    while True:
        file = open(path, "ab")
        try:
            _lock(file)
        except OSError as error:
            if error.errno in NO_LOCKS:
                logger.warning("%s cannot be locked: keep other programs out of it.", folder)
                return file
            file.close()
            raise InUseError(
                f"Another program is at work in {folder}. Wait until it ends, then try again, or "
                "choose another folder."
            ) from error
        if _is_there(file, path):
            return file
        file.close()  # its holder deleted it meanwhile


def _lock(file):
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)


def _is_there(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
