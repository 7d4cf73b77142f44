"""Pictures whose instances are regions or mask files, as the lists of a COCO file."""

from pathlib import Path
from typing import NamedTuple

from mrcnn.data.via import draw_masks, read_via
from mrcnn.files import in_hand
from mrcnn.progress import track
from siamese_mrcnn.data.coco_writer import annotation_entry
from siamese_mrcnn.own_data.image_files import called, find_files, look_at, some
from siamese_mrcnn.own_data.mask_folders import list_mask_folder, load_masks


class OwnDataError(ValueError):
    """Data that cannot be used, with a sentence that says why."""


class OwnData(NamedTuple):
    """What a source of data holds.

    Attributes:
        path: of the annotation file, or of the folder with masks.
        images: folder of the images.
        content: images, annotations and categories as in a COCO file; the `file_name` of an image
            is its whole path.
        names: {whole path of an image: what it is called}.
        turned: whole paths of the images that have to be turned as their marks (EXIF) say, before
            the annotations fit.
        notes: sentences about what was left out.
    """

    path: Path
    images: Path
    content: dict
    names: dict
    turned: frozenset = frozenset()
    notes: tuple[str, ...] = ()


class Picture(NamedTuple):
    """A picture, its (height, width), and (category, mask, where it stands) on demand."""

    path: Path
    name: str
    shape: tuple[int, int]
    is_turned: bool
    instances: object  # iterable


def via_pictures(path, content, folder, attribute, category, skip_missing):
    """The images of a VIA file as a list of `Picture`s.

    Browsers turn photographs as their marks say, and VIA counts the pixels that they show.
    """
    images = read_via(path, content)
    label = _labeller(images, attribute, category, path)
    names = [image.filename for image in images]
    files = find_files(names, folder, path, skip_missing)
    return [
        _via_picture(files[image.filename], folder, image.regions, label)
        for image in images
        if image.filename in files
    ]


def _via_picture(path, folder, regions, label):
    file = look_at(path)
    labels = [label(region) for region in regions]
    masks = (draw_masks([region], file.shown)[..., 0] for region in regions)
    places = [region.place for region in regions]
    instances = zip(labels, masks, places, strict=True)
    return Picture(path, called(path, folder), file.shown, file.is_turned, instances)


def _labeller(images, attribute, category, path):
    """The function that tells the category of a region."""
    regions = [region for image in images for region in image.regions]
    names = sorted({name for region in regions for name in region.attributes})
    if attribute is not None and category is not None:
        raise OwnDataError(
            f"Either the attribute {attribute!r} names the category of a region, or all are of the "
            f"category {category!r}: give one of the two."
        )
    if attribute is None and category is not None:
        return lambda region: category
    if attribute is None and len(names) != 1:
        raise OwnDataError(
            f"The regions of {path} have {len(names)} attributes ({', '.join(names) or 'none'}). "
            "Say which one names the category (--attribute NAME), or what all of them are called "
            "(--category NAME)."
        )
    if attribute is not None and attribute not in names:
        raise OwnDataError(
            f"No region of {path} has the attribute {attribute!r}. There are: "
            f"{', '.join(names) or 'none'}."
        )
    return lambda region: region.label(attribute or names[0])


def masked_pictures(folder, category):
    """The pictures of a folder with masks as a list of `Picture`s.

    Raises:
        OwnDataError: a mark (EXIF) asks to turn a picture: were its masks painted on it turned?
    """
    pictures, turned = [], []
    for name, path, files in list_mask_folder(folder, category):
        file = look_at(path)
        masks = _masks_of(files, file.stored)
        pictures.append(Picture(path, name + path.suffix, file.stored, False, masks))
        turned += [path] if file.is_turned else []
    if turned:
        raise OwnDataError(
            f"{len(turned)} images are marked (EXIF) to be shown turned: {some(turned)}. Whether "
            "their masks were made for the picture as it is stored cannot be known. Turn them for "
            "good (`mogrify -auto-orient`) if the masks fit what is shown, else remove the mark."
        )
    return pictures


def _masks_of(files, shape):
    for file in files:
        yield from ((file.category, mask, str(file.path)) for mask in load_masks(file, shape))


def read_instances(path, folder, pictures):
    """What pictures show as `OwnData`; categories are numbered by name."""
    found, images, empty = [], [], []
    shown = track(pictures, "Reading masks", "pictures")
    for number, picture in enumerate(shown, start=1):
        height, width = picture.shape
        images.append(
            {"id": number, "file_name": str(picture.path), "height": height, "width": width}
        )
        with in_hand(picture.path):
            for category, mask, place in picture.instances:
                if not mask.any():
                    empty.append(place)
                else:
                    entry = annotation_entry(len(found) + 1, number, 0, False, mask)
                    found.append((category, entry))
    names = sorted({category for category, _ in found})
    number_of = {name: number for number, name in enumerate(names, start=1)}
    for category, entry in found:
        entry["category_id"] = number_of[category]
    content = {
        "images": images,
        "annotations": [entry for _, entry in found],
        "categories": [{"id": number, "name": name} for name, number in number_of.items()],
    }
    notes = (
        [f"{len(empty)} regions cover no pixel and are left out: {some(empty)}."] if empty else []
    )
    names = {str(picture.path): picture.name for picture in pictures}
    turned = frozenset(str(picture.path) for picture in pictures if picture.is_turned)
    return OwnData(path, folder, content, names, turned, tuple(notes))
