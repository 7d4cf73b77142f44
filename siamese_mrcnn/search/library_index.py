"""The index of a library of references, library.json: which things there are, and where."""

import json
import re
import unicodedata
from dataclasses import asdict, dataclass
from pathlib import Path

from mrcnn.files import written_whole
from mrcnn.harmless_text import ACTING

INDEX = "library.json"
FORMAT = 1
LONGEST_NAME = 64  # characters
SAFE_ID = re.compile(r"[0-9a-f]{12}")  # names a folder


class LibraryError(ValueError):
    """A library of references that cannot do what was asked."""


@dataclass(frozen=True)
class Entry:
    """One thing of a library."""

    id: str  # of its folder
    shots: int
    added: str  # when the last shot was, ISO 8601
    weights: str | None = None  # fingerprint of the model that encoded it last


def checked_name(name):
    """A name as the library keeps it: without spaces around, one way of writing each character.

    Raises:
        LibraryError: it cannot serve as a name.
    """
    if not isinstance(name, str):
        raise LibraryError(f"The name of a thing must be a text, but is {name!r}.")
    name = unicodedata.normalize("NFC", name).strip()
    if not name:
        raise LibraryError("A thing needs a name, but it is empty.")
    if len(name) > LONGEST_NAME:
        raise LibraryError(
            f"The name of a thing may have {LONGEST_NAME} characters, but {name[:20]!r}... has "
            f"{len(name)}."
        )
    if name.startswith("."):
        raise LibraryError(f"The name {name!r} begins with a dot: leave it out.")
    if ACTING.search(name) or "/" in name or "\\" in name:
        raise LibraryError(
            f"The name {name!r} holds a slash, a backslash or a control character: leave it out."
        )
    return name


def read_index(folder):
    """The things of a library: {name: `Entry`}; none where there is no library yet.

    Raises:
        LibraryError: the index is damaged, or of a later version.
        OSError: it cannot be read.
    """
    path = Path(folder) / INDEX
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise LibraryError(
                f"{path} has the format {content['format']!r}, but this version reads {FORMAT}. "
                "Nothing was changed. Use the version that wrote it."
            )
        return {checked_name(name): _entry(**each) for name, each in content["things"].items()}
    except FileNotFoundError:
        return {}
    except LibraryError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise LibraryError(
            f"{path} is damaged. Nothing was changed: the pictures are still in the folders beside "
            "it. Put a copy of the file back; or choose another library, and add these pictures "
            "to it."
        ) from error


def write_index(folder, things):
    """Write {name: `Entry`} whole or not at all.

    Raises:
        mrcnn.files.UnwritableError: it could not be written; what stood there still does.
    """
    content = {name: asdict(things[name]) for name in sorted(things)}
    with written_whole(Path(folder) / INDEX) as file:
        json.dump({"format": FORMAT, "things": content}, file, indent=1, ensure_ascii=False)


def _entry(id, shots, added, weights=None):
    """An entry of the file; folders beside the library are none of its business."""
    sound = SAFE_ID.fullmatch(id) and type(shots) is int and shots > 0
    if not (sound and isinstance(added, str) and isinstance(weights, str | None)):
        raise ValueError(f"not an entry: {id!r}")
    return Entry(id, shots, added, weights)
