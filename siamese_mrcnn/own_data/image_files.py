"""Picture files that annotations name: where they are, and how they are stored and shown."""

import os
from pathlib import Path
from typing import NamedTuple

from mrcnn.images.picture_files import ImageError, open_picture
from siamese_mrcnn.data.image_places import places_of

NAMED = 5  # of many files, how many a sentence names
ORIENTATION = 0x0112  # the EXIF tag
AS_STORED = (0, 1)  # its values that turn nothing
ON_ITS_SIDE = (5, 6, 7, 8)  # its values that exchange height and width


class PictureFile(NamedTuple):
    """What is known of a picture file before it is decoded.

    Attributes:
        stored: (height, width) in pixels as it is stored.
        shown: (height, width) as programs show it that turn it as its mark (EXIF) says.
        is_turned: whether the mark turns or mirrors it.
    """

    stored: tuple[int, int]
    shown: tuple[int, int]
    is_turned: bool


def look_at(path):
    """A `PictureFile`.

    Raises:
        ImageError: it cannot be read.
    """
    with open_picture(path) as picture:
        stored, mark = (picture.height, picture.width), picture.getexif().get(ORIENTATION, 1)
    return PictureFile(
        stored,
        stored[::-1] if mark in ON_ITS_SIDE else stored,
        mark in range(2, 9),
    )


def has_many_bits(path):
    """Whether the values of a grey picture file have more than 8 bits."""
    with open_picture(path) as picture:
        return picture.mode.startswith(("I", "F"))


def find_files(names, folder, path, skip_missing=False):
    """Find the picture files that an annotation file names: {name: path}.

    Args:
        names: as in the file, see `siamese_mrcnn.data.image_places`.
        folder: of the pictures.
        path: of the annotation file, for messages.
        skip_missing: leave out what is not there; otherwise it is an error.

    Raises:
        FileNotFoundError: some are not there, or all of them.
        ImageError: two names lead to one file.
    """
    places = places_of(names, folder)
    found = {name: Path(place) for name, place in places.items() if os.path.isfile(place)}
    missing = [name for name in places if name not in found]
    if missing and not (skip_missing and found):
        raise FileNotFoundError(
            f"{len(missing)} images of {path} are not in {folder}: {some(missing)}. Give the "
            "folder of images (--images FOLDER), take these images out of the file, or leave them "
            "out (--skip-missing)."
        )
    name_of = {}
    for name, file in found.items():
        other = name_of.setdefault(file, name)
        if _plain(other) != _plain(name):
            raise ImageError(
                f"The images {other} and {name} of {path} both lead to {file}. Keep images of one "
                "name in folders of their own, as the annotation file says."
            )
    return found


def _plain(name):
    return os.path.normpath(name.strip().replace("\\", "/"))


def called(path, folder):
    """The name of a picture below its folder; of one elsewhere, the last part of its path."""
    path, folder = Path(path), Path(os.path.abspath(folder))
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def some(texts):
    """The first few of some texts or paths, and how many more there are."""
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return ", ".join(map(str, texts[:NAMED])) + more
