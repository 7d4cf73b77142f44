"""Cut-outs: single things with their outlines, of folders of pictures or of annotated photos.

    FOLDER/mug/1.png, FOLDER/mug__1.png      pictures that are transparent around the thing
    FOLDER/images/mug/1.jpg, FOLDER/masks/mug/1.png    or photos, and masks with the thing in white
    annotations in any form that `siamese_mrcnn.own_data.load` reads

Folders, or what stands before "__", are categories; without either the name is, but for a number at
its end. Every cut-out is a thing of its own, unless a second folder, or a second "__", says which
thing it is a view of: mug/mine/1.png and mug/mine/2.png.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import ImageOps

from mrcnn.data.mask_folder import read_masks
from mrcnn.images.image import read_image
from mrcnn.images.picture_files import PICTURE_ENDINGS, open_picture
from siamese_mrcnn.data.coco import files_of
from siamese_mrcnn.data.coco_annotations import decode_mask, is_crowd
from siamese_mrcnn.own_data.image_files import look_at, some
from siamese_mrcnn.own_data.load import read_own_data
from siamese_mrcnn.own_data.pictures import OwnDataError

SMALLEST = 24  # square root of a cut-out's area, pixels
OPAQUE = 128  # alpha from which on a pixel belongs to the thing
NUMBERING = " _-.()0123456789"  # what may follow a category in a name


class CutoutError(OwnDataError):
    """Cut-outs that cannot be used, with a sentence that says why."""


@dataclass(frozen=True)
class Cutout:
    """One view of a thing.

    Attributes:
        name: tells it from all others.
        category, thing: what kind of thing it shows, and which one.
        picture: path of the file.
        outline: path of a mask file, or a COCO annotation, or None: the picture's transparency.
        shape: (height, width) that an annotation is made for.
        is_turned: whether the picture has to be turned as its mark (EXIF) says.
    """

    name: str
    category: str
    thing: str
    picture: Path
    outline: Path | dict | None = None
    shape: tuple[int, int] | None = None
    is_turned: bool = False


def find_cutouts(sources, **options):
    """The cut-outs of several sources, by name; no picture of them is decoded yet.

    Args:
        sources: paths of folders and annotation files.
        options: how to read annotations, as of `siamese_mrcnn.own_data.load.read_own_data`.

    Returns:
        list of `Cutout`, and sentences about what was left out.

    Raises:
        FileNotFoundError: a source is not there.
        CutoutError: there are no cut-outs, or two have one name.
        OwnDataError: annotations cannot be used.
    """
    found, notes = {}, []
    given = {key: value for key, value in options.items() if value}
    for source in sources:
        if not os.path.exists(source):
            raise FileNotFoundError(f"There are no cut-outs in {source}: it does not exist.")
    if given and not any(map(_is_annotated, sources)):
        names = " and ".join(f"--{key.replace('_', '-')}" for key in given)
        raise CutoutError(
            f"{names} cannot be chosen for a folder of cut-outs: folders, or names before "
            '"__", are their categories.'
        )
    for source, prefix in zip(sources, _prefixes(sources), strict=True):
        cutouts, said = _of_source(Path(source), given)
        notes += said
        for each in cutouts:
            name = prefix + each.name
            if name in found:
                raise CutoutError(
                    f"{found[name].picture} and {each.picture} would both be the cut-out {name}. "
                    "Rename one of them."
                )
            found[name] = replace(each, name=name, thing=prefix + each.thing)
    if not found and notes:
        raise CutoutError(f"No cut-out can be used. {' '.join(notes)}")
    if not found:
        raise CutoutError(
            f"There are no cut-outs in {', '.join(map(str, sources))}. Expected pictures that are "
            "transparent around the thing (CATEGORY/any.png or CATEGORY__any.png), folders images "
            "and masks with files of the same names, or annotations as import-data reads them."
        )
    return [found[name] for name in sorted(found)], notes


def read_cutouts(cutouts):
    """Cut the things out, picture by picture.

    Args:
        cutouts: of `find_cutouts`.

    Yields:
        `Cutout`, and uint8 [h, w, 4] with the thing's bounds as its borders: RGB and how much of a
        pixel is the thing's; or the ValueError that says why it cannot be used.
    """
    path = pixels = None
    for cutout in sorted(cutouts, key=lambda each: (str(each.picture), each.name)):
        try:
            if cutout.outline is None:
                yield cutout, _checked(cutout, _transparent(cutout.picture))
                continue
            if cutout.picture != path:
                path, pixels = None, read_image(cutout.picture, cutout.is_turned)
                path = cutout.picture
            mask = _mask_of(cutout, pixels.shape[:2])
            yield cutout, _checked(cutout, np.dstack([pixels, 255 * mask.astype(np.uint8)]))
        except (ValueError, OSError) as error:
            yield cutout, error


def find_pictures(folders):
    """All picture files below folders, by name; files may be given as well.

    Raises:
        FileNotFoundError: a folder is not there.
        OwnDataError: it holds no picture.
    """
    found = []
    for folder in map(Path, folders):
        if not folder.exists():
            raise FileNotFoundError(f"There is no folder {folder} of pictures.")
        pictures = _pictures_below(folder) if folder.is_dir() else [folder]
        if not pictures:
            raise OwnDataError(
                f"{folder} holds no picture: none of its files ends like one (.jpg, .png, ...)."
            )
        found += pictures
    return found


# --- finding ------------------------------------------------------------------------------------


def _prefixes(sources):
    """What goes before the names of each source, if there are several."""
    if len(sources) == 1:
        return [""]
    stems = [Path(source).resolve().stem for source in sources]
    return [
        f"{stem}:" if stems.count(stem) == 1 else f"{stem} {number}:"
        for number, stem in enumerate(stems, start=1)
    ]


def _is_annotated(path):
    """Whether a source is annotated photos, not a folder of cut-outs."""
    path = Path(path)
    return not path.is_dir() or any(
        any(path.glob(pattern)) for pattern in ("annotations", "*/images", "*.json")
    )


def _of_source(path, options):
    """The cut-outs of one source, and sentences."""
    if (path / "annotations").is_dir():
        path, folder = files_of(path, "train")
        return _annotated(path, {"images": folder, **options})
    if _is_annotated(path):
        return _annotated(path, options)
    if (path / "images").is_dir() and (path / "masks").is_dir():
        return _with_masks(path)
    return [_named(path, path, each, None) for each in _pictures_below(path)], []


def _with_masks(source):
    """The photos of a folder `images` that have masks of the same names in `masks`."""
    masks = {
        each.relative_to(source / "masks").with_suffix(""): each
        for each in _pictures_below(source / "masks")
    }
    cutouts, without = [], []
    for picture in _pictures_below(source / "images"):
        mask = masks.get(picture.relative_to(source / "images").with_suffix(""))
        if mask is None:
            without.append(picture)
        else:
            cutouts.append(_named(source, source / "images", picture, mask))
    if not without:
        return cutouts, []
    return cutouts, [
        f"{len(without)} photos have no mask of their name and are left out: {some(without)}."
    ]


def _named(source, folder, picture, outline):
    """A cut-out that is called by its place."""
    relative = picture.relative_to(folder).with_suffix("")
    parts = [name for part in relative.parts for name in part.split("__") if name]
    category = parts[0]
    if len(parts) == 1:
        category = parts[0].rstrip(NUMBERING) or source.resolve().name
    thing = "/".join(parts[:-1] if len(parts) > 2 else parts)
    return Cutout("/".join(parts), category, thing, picture, outline)


def _annotated(path, options):
    """The instances of annotated photos, crowds and small ones left out."""
    data = read_own_data(path, **options)
    images = {image["id"]: image for image in data.content["images"]}
    names = {category["id"]: category["name"] for category in data.content["categories"]}
    annotations = [
        each for each in data.content["annotations"] if not is_crowd({"iscrowd": 0, **each})
    ]
    cutouts, notes = [], [f"{path}: {note}" for note in data.notes]
    small = sum(each["area"] < SMALLEST**2 for each in annotations)
    if small:
        notes.append(
            f"{path}: {small} instances of fewer than {SMALLEST} x {SMALLEST} pixels are left out."
        )
    for annotation in annotations:
        if annotation["area"] < SMALLEST**2:
            continue
        image, category = images[annotation["image_id"]], names[annotation["category_id"]]
        file = image["file_name"]
        name = f"{category}/{Path(data.names[file]).with_suffix('')}/{annotation['id']}"
        cutouts.append(
            Cutout(
                name,
                category,
                str(annotation.get("thing", name)),
                Path(file),
                annotation,
                (image["height"], image["width"]),
                file in data.turned,
            )
        )
    return cutouts, notes


def _pictures_below(folder):
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURE_ENDINGS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


# --- reading ------------------------------------------------------------------------------------


def _transparent(path):
    """The pixels of a picture file with transparency: uint8 [H, W, 4]."""
    with open_picture(path) as picture:
        if not picture.has_transparency_data:
            raise CutoutError(
                f"{path} is transparent nowhere: cut the thing out (as PNG), or put photos into a "
                "folder images and their masks into a folder masks beside it."
            )
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGBA"))


def _mask_of(cutout, shape):
    """The thing's pixels: bool [H, W]."""
    if isinstance(cutout.outline, dict):
        height, width = cutout.shape
        return decode_mask(cutout.outline, {"height": height, "width": width})
    if look_at(cutout.picture).is_turned:
        raise CutoutError(
            f"{cutout.picture} is marked (EXIF) to be shown turned, so that it cannot be known how "
            "its mask lies. Turn it for good (`mogrify -auto-orient`), or remove the mark."
        )
    return read_masks([cutout.outline], shape)[..., 0]


def _checked(cutout, pixels):
    """Pixels cut by the bounds of the thing.

    Raises:
        CutoutError: it is nowhere, everywhere, or too small.
    """
    where = cutout.picture if cutout.outline is None else f"{cutout.name} of {cutout.picture}"
    mask = pixels[..., 3] >= OPAQUE
    if not mask.any():
        raise CutoutError(f"{where} shows nothing: its mask is empty.")
    if mask.all() and not isinstance(cutout.outline, dict):
        raise CutoutError(f"{where} is the whole picture: nothing is cut out.")
    if np.count_nonzero(mask) < SMALLEST**2:
        raise CutoutError(
            f"{where} has {np.count_nonzero(mask)} pixels, but needs {SMALLEST} x {SMALLEST}."
        )
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
