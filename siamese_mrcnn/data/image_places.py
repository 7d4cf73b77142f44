"""Where the pictures are that an annotation file names: below the image folder and nowhere else.

Programs write names with the folders of another computer, of another system, or as addresses.
"""

import os
import re
from urllib.parse import unquote

OTHER_THAN_PLAIN = re.compile(r"[/\\:]")
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^/?#]*")  # of one letter it would be a drive


def places_of(names, folder):
    """The paths of pictures that an annotation file names, whether they are there or not.

    The longest end of a name that leads to a file below the folder counts: that of
    /data/a/1.jpg is FOLDER/a/1.jpg or, if there is none, FOLDER/1.jpg. Nothing outside of the
    folder is looked at.

    Args:
        names: each a `file_name` of the file.
        folder: of the images.

    Returns:
        {name: whole path as text; of a picture that is not there, FOLDER and the last part of its
        name}. (A `Path` of each takes longer than all the rest.)
    """
    folder = os.path.abspath(folder)
    return {name: _place(parts_of(name), folder) for name in names}


def _place(parts, folder):
    if len(parts) > 1:  # a plain name needs no look, which is slow on network drives
        for first in range(len(parts)):
            path = os.path.join(folder, *parts[first:])
            if os.path.isfile(path):
                return path
    return os.path.join(folder, *parts[-1:])


def parts_of(name):
    """The folders and the file of a name, without drive, root, "." and ".."."""
    name = name.strip()
    if OTHER_THAN_PLAIN.search(name):
        if address := ADDRESS.match(name):
            name = unquote(re.split("[?#]", name[address.end() :])[0])
        name = re.sub(r"^[A-Za-z]:", "", name.replace("\\", "/"))
    return tuple(part for part in name.split("/") if part not in ("", ".", ".."))
