"""Where the pictures are that an annotation file names: below the image folder and nowhere else.

Programs write names with the folders of another computer, of another system, or as addresses.
"""

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlparse


def place_of(name, folder):
    """The path of a picture that an annotation file names, whether it is there or not.

    The longest end of the name that leads to a file below the folder counts: that of
    /data/a/1.jpg is FOLDER/a/1.jpg or, if there is none, FOLDER/1.jpg. Nothing outside of the
    folder is looked at.

    Args:
        name: `file_name` of the file.
        folder: of the images.

    Returns:
        whole path; of a picture that is not there, FOLDER and the last part of its name.
    """
    folder = os.path.abspath(folder)
    parts = parts_of(name)
    if len(parts) > 1:  # a plain name needs no look, which is slow on network drives
        for first in range(len(parts)):
            path = os.path.join(folder, *parts[first:])
            if os.path.isfile(path):
                return Path(path)
    return Path(folder, *parts[-1:])


def parts_of(name):
    """The folders and the file of a name, without drive, root, "." and ".."."""
    name = name.strip()
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name):  # one letter would be a drive
        name = unquote(urlparse(name).path)
    parts = re.sub(r"^[A-Za-z]:", "", name.replace("\\", "/")).split("/")
    return tuple(part for part in parts if part not in ("", ".", ".."))
