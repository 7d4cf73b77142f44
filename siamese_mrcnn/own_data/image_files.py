"""Picture files that annotations name: where they are, and how they are stored."""

import os
from pathlib import Path, PurePath

from mrcnn.images.picture_files import ImageError, open_picture

NAMED = 5  # of many files, how many a sentence names
ORIENTATION = 0x0112  # the EXIF tag
AS_STORED = (0, 1)  # its values that turn nothing


def stored_size(path):
    """(height, width) of a picture file as it is stored, in pixels.

    Raises:
        ImageError: it cannot be read.
    """
    return _look_at(path, lambda picture: (picture.height, picture.width))


def is_turned(path):
    """Whether a mark (EXIF) asks to show a picture file turned or mirrored.

    Raises:
        ImageError: it cannot be read.
    """
    return _look_at(path, lambda picture: picture.getexif().get(ORIENTATION, 1)) not in AS_STORED


def find_files(names, folder, path):
    """Find the picture files that an annotation file names: {name: path}.

    Args:
        names: paths below the folder, of which the last part is enough, since other programs
            write whole paths.
        folder: of the pictures.
        path: of the annotation file, for messages.

    Raises:
        FileNotFoundError: some are not there.
        ImageError: two names lead to one file.
    """
    found = {name: _find(Path(folder), name) for name in names}
    missing = [name for name, file in found.items() if file is None]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} images of {path} are not in {folder}: {some(missing)}. Give the "
            "folder of images (--images FOLDER), or take these images out of the file."
        )
    name_of = {}
    for name, file in found.items():
        if name_of.setdefault(file, name) != name:
            raise ImageError(
                f"The images {name_of[file]} and {name} of {path} both lead to {file}. Keep images "
                "of one name in folders of their own, as the annotation file says."
            )
    return found


def called(path, folder):
    """The name of a picture below its folder; of one elsewhere, the last part of its path."""
    path, folder = Path(path), Path(os.path.abspath(folder))
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def some(texts):
    """The first few of some texts or paths, and how many more there are."""
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return ", ".join(map(str, texts[:NAMED])) + more


def _find(folder, name):
    for candidate in (folder / name, folder / PurePath(name.replace("\\", "/")).name):
        if candidate.is_file():
            return Path(os.path.abspath(candidate))
    return None


def _look_at(path, ask):
    """What is known of a picture file before it is decoded."""
    with open_picture(path) as picture:
        return ask(picture)
