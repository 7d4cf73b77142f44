"""What commands say when something goes wrong: one sentence, whatever was raised."""

import os
import re
import sysconfig
from importlib.util import find_spec

from mrcnn.files import DISK_FULL, IN_HAND
from mrcnn.harmless_text import for_terminal

OURS = tuple(
    os.path.join(find_spec(name).submodule_search_locations[0], "")
    for name in ("mrcnn", "siamese_mrcnn")
)
LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
OUT_OF_MEMORY = re.compile("insufficient memory|out of memory|OOM when allocating", re.IGNORECASE)
REPORT = (
    "Nobody foresaw this. Please report it to those whom you have the program from, with what the "
    "same command says with --debug at its end"
)


def sentence_of(error):
    """What an error says, harmless for the terminal.

    Args:
        error: an exception. Those that this program raises are sentences; all others are told with
            their kind, the file in hand (`mrcnn.files.in_hand`), and where to report them.
    """
    text = _foreseen(error) or _unforeseen(error)
    return for_terminal(text, keep="\n")


def _foreseen(error):
    """The sentence of an error that somebody has thought of, "" of another."""
    if isinstance(error, OSError) and error.strerror and error.errno is not None:
        if error.filename is None:
            full = error.errno in DISK_FULL
            return (
                f"A file could not be written: {error.strerror}. Free some space." if full else ""
            )
        # A copy that finds the disk full blames the source.
        full = error.errno in DISK_FULL and error.filename2 is not None
        path = error.filename2 if full else error.filename
        return f"{os.fsdecode(path) if isinstance(path, bytes) else path}: {error.strerror}."
    if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)):
        files = "".join(f" ({note})" for note in _files_in_hand(error))
        return f"There is not enough memory{_more(error)}{files}. Take smaller pictures or batches."
    if isinstance(error, ValueError | OSError | ImportError) and not _is_of_a_library(error):
        return str(error)
    return ""


def _unforeseen(error):
    said = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return f"{type(error).__name__}: {said} ({'; '.join([*_files_in_hand(error), REPORT])})."


def _files_in_hand(error):
    """The innermost first, each once."""
    notes = getattr(error, "__notes__", [])
    return dict.fromkeys(note for note in notes if note.startswith(IN_HAND))


def _more(error):
    said = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return f": {said}" if said else ""


def _is_of_a_library(error):
    """Whether it was raised by a library, whose words say little to a user of this program."""
    place = _raised_in(error)
    return place.startswith(LIBRARIES) and not place.startswith(OURS)


def _raised_in(error):
    """The file of the program that raised an error, "" of one that was never raised."""
    remote = getattr(error.__cause__, "tb", None)  # of another process, which sends it as text
    if isinstance(remote, str):
        return (re.findall(r'File "(.+?)", line', remote) or [""])[-1]
    frames = error.__traceback__
    if frames is None:
        return ""
    while frames.tb_next is not None:
        frames = frames.tb_next
    return frames.tb_frame.f_code.co_filename
