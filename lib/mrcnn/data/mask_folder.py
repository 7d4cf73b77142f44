"""Images with a picture file for the mask of each instance, as Kaggle's Data Science Bowl 2018 has.

FOLDER/NAME/images/any.png      one picture
FOLDER/NAME/masks/*.png         the mask of an instance each, of the picture's size
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrcnn.images.image import read_image
from mrcnn.images.picture_files import PICTURE_ENDINGS


class MaskFileError(ValueError):
    """Masks or folders of them that cannot be used, with a sentence that says why."""


@dataclass(frozen=True)
class MaskedImage:
    """One image and its instances: the name of its folder, its file, the files of its masks."""

    name: str
    image: Path
    masks: tuple[Path, ...]


def find_masked_images(folder):
    """The images below a folder, by name: a list of `MaskedImage`. Masks may be missing.

    Raises:
        FileNotFoundError: there is no such folder.
        MaskFileError: a folder in it does not hold one image, or there is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder} of images and masks.")
    names = sorted(each for each in folder.iterdir() if each.is_dir() and _is_shown(each))
    if not names:
        raise MaskFileError(f"{folder} is expected to hold a folder for each image, but has none.")
    return [_masked_image(each) for each in names]


def read_masks(paths, shape):
    """Read mask pictures, in which an instance is bright: bool [H, W, N].

    A pixel belongs to the instance if it is brighter than half of the brightest one, so 0 and 1
    serve as well as black and white.

    Args:
        paths: N picture files.
        shape: (height, width, ...) of their image.

    Raises:
        mrcnn.images.image.ImageError: naming the file, if it cannot be read.
        MaskFileError: naming the file, if it has another size than the image, shows nothing, or
            numbers several instances by their grey level.
    """
    masks = np.zeros((len(paths), *shape[:2]), bool)
    for mask, path in zip(masks, paths, strict=True):
        mask[...] = _read_mask(path, mask.shape)
    return np.moveaxis(masks, 0, -1)


def _masked_image(folder):
    images = _pictures(folder / "images")
    if len(images) != 1:
        raise MaskFileError(
            f"{folder / 'images'} is expected to hold one picture, but has {len(images)}."
        )
    return MaskedImage(folder.name, images[0], tuple(_pictures(folder / "masks")))


def _pictures(folder):
    if not folder.is_dir():
        return []
    files = (each for each in folder.iterdir() if each.suffix.lower() in PICTURE_ENDINGS)
    return sorted(filter(_is_shown, files))


def _is_shown(path):
    return not path.name.startswith(".")


def _read_mask(path, shape):
    brightness = read_image(path).max(axis=-1)
    if brightness.shape != shape:
        raise MaskFileError(
            f"The mask {path} has {brightness.shape[0]} x {brightness.shape[1]} pixels, but its "
            f"image has {shape[0]} x {shape[1]} (height x width): they must be the same."
        )
    highest = brightness.max()
    if not highest:
        raise MaskFileError(
            f"The mask {path} is black all over (of 16 bits the upper 8 count): delete it, or "
            "save it again with the instance in white."
        )
    instance = brightness > highest // 2
    if _holds_several(brightness, instance):
        raise MaskFileError(
            f"The mask {path} is half dark, as a file that numbers several instances by their "
            "grey level is, but each instance needs a mask of its own: save it in white on black."
        )
    return instance


def _holds_several(brightness, instance):
    """Whether so much is dark but not black that it cannot be the edge of one instance."""
    dark = brightness[~instance]
    levels = np.bincount(dark[dark > brightness.max() // 8])  # what JPEG adds is darker
    size = np.count_nonzero(instance)
    return 2 * levels.sum() > size or 4 * levels.max(initial=0) > size
