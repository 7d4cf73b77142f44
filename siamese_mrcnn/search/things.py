"""What photos are searched for: one thing without a name, or several that have names."""

import os
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from siamese_mrcnn.search.library import ReferenceLibrary
from siamese_mrcnn.search.library_index import INDEX, LibraryError
from siamese_mrcnn.search.reference import references_of

LIBRARY = "references"  # folder where names are looked up unless another is named


@dataclass(eq=False)
class Thing:
    """Something to search for, or that must not be found."""

    name: str  # in the results; "" of a single thing without a library
    is_kept: bool = False  # in the library
    shown: list = field(default_factory=list)  # its files, or its name in the library
    crops: list = field(default_factory=list)  # uint8 [height, width, 3]


def library_for(values, folder=None):
    """The library in which names are looked up: `ReferenceLibrary`, or None.

    Args:
        values: files or names that the user gave.
        folder: of the library, if the user gave one; by default `LIBRARY`, if any value is no file.
    """
    if folder is not None:
        return ReferenceLibrary(folder)
    all_files = all(Path(value).exists() for value in values)
    return None if all_files or not Path(LIBRARY, INDEX).exists() else ReferenceLibrary(LIBRARY)


def things_of(values, boxes=None, library=None):
    """Files and names as a list of `Thing`.

    Args:
        values: paths, or names in the library, which come first. Without a library the files are
            shots of one thing that has no name; with one each file is a thing of its own, shots of
            it if it is given several times. No values: all that the library has.
        boxes: (y1, x1, y2, x2) for each file; None or empty: whole files.
        library: `ReferenceLibrary` or None.

    Raises:
        LibraryError: the library is empty.
        ImageError: a file is no picture, or a box does not fit it.
        ValueError: not one box for each file.
    """
    known = library.names() if library is not None else []
    if not values and not known:
        raise LibraryError(
            f"The library {library.folder} holds nothing to search for. Add something by "
            "siamese-mrcnn references add."
        )
    values = [_as_kept(value, known) for value in values or known]
    files = iter(references_of([value for value in values if value not in known], boxes))
    things = {}
    for value in values:
        name = "" if library is None else value
        thing = things.setdefault(name, Thing(name, value in known))
        if thing.is_kept:
            thing.shown, thing.crops = [value], library.crops(value)
            continue
        if library is not None and not os.path.exists(value) and os.path.basename(value) == value:
            library.entry(value)  # says which names there are
        thing.shown.append(value)
        thing.crops.append(next(files).crop())
    return list(things.values())


def _as_kept(value, known):
    """A name as the library writes it, any other value as a text."""
    composed = unicodedata.normalize("NFC", str(value)).strip()
    return composed if composed in known else str(value)


def negatives_of(values, library=None):
    """What must not be found, each file a thing of its own: list of `Thing`, see `things_of`."""
    things = [thing for value in values for thing in things_of([value], None, library)]
    for thing in things:
        thing.name = thing.name or thing.shown[0]
    return things


def encode(things, model, library=None):
    """Vectors of things, those of the library as it keeps them: {name: vectors}.

    Args:
        things: list of `Thing`.
        model: `siamese_mrcnn.model.SiameseMaskRCNN`.
        library: that they are kept in.
    """
    kept = [thing.name for thing in things if thing.is_kept]
    vectors = library.all_vectors(model, kept) if kept else {}
    vectors |= model.encode_things({each.name: each.crops for each in things if not each.is_kept})
    return {thing.name: vectors[thing.name] for thing in things}
