"""Folders of pictures and mask files of several categories, as drawing programs leave them.

    FOLDER/street/images/any.jpg     one picture
    FOLDER/street/masks/car/1.png    the mask of an instance each, in a folder named as what it is
    FOLDER/street/labels/dog.png     or one file for all dogs: each value but 0 is an instance

Masks that lie in masks/ itself, as in `mrcnn.data.mask_folder`, are of a category named by the
caller.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mrcnn.data.mask_folder import MaskFileError, find_masked_images, read_masks
from mrcnn.images.picture_files import PICTURE_ENDINGS, open_picture

LABELS = (".png", ".bmp", ".tif", ".tiff", ".gif")  # formats that keep values as they are
SOFT_VALUES = 16  # a label image with more values may be a soft-edged mask by mistake


class InstanceFile(NamedTuple):
    """A file of masks: of one instance, or of all instances of a category in a picture."""

    path: Path
    category: str
    holds_one: bool


def list_mask_folder(folder, category=None):
    """What lies in a folder of pictures and masks.

    Args:
        folder: see above.
        category: of the masks that lie in no folder of a category.

    Returns:
        [(name, whole path of the picture, list of `InstanceFile`, which may be empty)], by name.

    Raises:
        FileNotFoundError: there is no such folder.
        MaskFileError: there is not one picture for each name, or a file is of no category.
    """
    listed = []
    for image in find_masked_images(folder):
        if image.masks and category is None:
            raise MaskFileError(
                f"The mask {image.masks[0]} is of no category. Put masks into folders of their "
                "categories, as masks/car/1.png, or say what all of them are (--category NAME)."
            )
        place = Path(folder) / image.name
        files = [InstanceFile(path, category, True) for path in image.masks]
        for own in filter(Path.is_dir, _visible(place / "masks")):
            masks = (path for path in _visible(own) if path.suffix.lower() in PICTURE_ENDINGS)
            files += [InstanceFile(path, own.name, True) for path in masks]
        for path in _visible(place / "labels"):
            files.append(InstanceFile(_keeps_values(path), path.stem, False))
        listed.append((image.name, image.image.absolute(), files))
    return listed


def load_masks(file, shape):
    """The masks of an `InstanceFile` in a picture of (height, width): a list of bool [H, W].

    Raises:
        ImageError: the mask of an instance cannot be read.
        MaskFileError: a file has another size than the picture, shows nothing, or too much.
    """
    if file.holds_one:
        return [read_masks([file.path], shape)[..., 0]]
    values = _values(file.path)
    if values.shape != tuple(shape):
        raise MaskFileError(
            f"{file.path} is {values.shape[1]} x {values.shape[0]} pixels, but its picture is "
            f"{shape[1]} x {shape[0]}. Save it at the size of the picture."
        )
    levels = np.unique(values[values != 0])
    if len(levels) > SOFT_VALUES and _is_mostly(values, levels[-1]):
        raise MaskFileError(
            f"{file.path} has {len(levels)} values besides 0, each of which would be an instance, "
            f"but looks like one mask with soft edges. Put it into masks/{file.category}/."
        )
    return [values == level for level in levels]


def _is_mostly(values, brightest):
    """Whether most of what is not 0 is of the brightest value."""
    return 2 * np.count_nonzero(values == brightest) > np.count_nonzero(values)


def _visible(folder):
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _keeps_values(path):
    if path.suffix.lower() not in LABELS:
        raise MaskFileError(
            f"{path} is no picture whose values number instances: expected one of "
            f"{', '.join(LABELS)}, which keep values as they are."
        )
    return path


def _values(path):
    """One whole number for each pixel, 0 where it is black or transparent: int64 [H, W]."""
    with open_picture(path) as picture:
        if picture.mode in ("P", "PA"):  # which entry of a palette is black differs
            picture = picture.convert("RGBA")
        array = np.asarray(picture)
        has_alpha = picture.mode in ("LA", "RGBA")
    if array.dtype.kind not in "bui":
        raise MaskFileError(f"{path} must be of whole numbers, but is of {array.dtype}.")
    values = array.astype(np.int64).reshape(*array.shape[:2], -1)
    covered = values[..., -1] > 0 if has_alpha else True
    colours = values[..., :-1] if has_alpha else values
    is_grey = (colours == colours[..., :1]).all()
    packed = colours[..., 0] if is_grey else colours @ (256 ** np.arange(colours.shape[-1]))
    return np.where(covered, packed, 0)
