"""Data of one's own, however it was annotated, as one kind of data set.

- any COCO JSON with its folder of images,
- the JSON of the VGG Image Annotator (VIA), 1 or 2,
- a folder of pictures and mask files, see `siamese_mrcnn.own_data.mask_folders`,
- a folder in COCO's own layout.
"""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track

from mrcnn.data.via import draw_masks, read_via
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.data.coco_annotations import AnnotationError, index_annotations, read_annotations
from siamese_mrcnn.data.coco_writer import annotation_entry
from siamese_mrcnn.data.splits import seen_and_novel
from siamese_mrcnn.own_data.image_files import called, find_files, is_turned, some, stored_size
from siamese_mrcnn.own_data.mask_folders import list_mask_folder, load_masks

logger = logging.getLogger(__name__)

KEYS_OF_VIA = ("shape_attributes", "file_attributes", "_via_img_metadata")  # and of no COCO file


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
        notes: sentences about what was left out.
    """

    path: Path
    images: Path
    content: dict
    names: dict
    notes: tuple[str, ...] = ()


def load_dataset(path, images=None, attribute=None, category=None, portion="test", classes=None):
    """Open data of any kind.

    Args:
        path: a COCO or VIA JSON file, a folder of pictures and masks, or one in COCO's own layout.
        images: folder of the images of a file; by default the file's own.
        attribute: of a VIA file, the region attribute that names the class; by default the only
            one there is.
        category: what everything is, where a VIA file or the folders of masks name no category.
        portion: "train" or "validation", which cut the images as COCO's train2017 is cut, or
            "test": all of them, or val2017 of COCO's own layout.
        classes: class ids to draw from; all if None.

    Returns:
        `siamese_mrcnn.data.coco.CocoDataset`, prepared.

    Raises:
        FileNotFoundError: a file or folder is missing.
        ValueError: something cannot be used; a sentence says what and why.
    """
    path, kind = Path(path), kind_of(path)
    _refuse_needless(kind, images, attribute, category)
    if kind == "layout":
        return CocoDataset.from_folder(path, portion, classes)
    if kind == "coco":
        return CocoDataset.from_json(path, images or path.parent, portion, classes)
    data = read_own_data(path, images, attribute, category)
    for note in data.notes:
        logger.warning("%s: %s", path, note)
    coco = index_annotations(data.content, path)
    return CocoDataset.from_coco(coco, path, data.images, portion, classes)


def read_own_data(path, images=None, attribute=None, category=None):
    """Read data that is not in COCO's own layout: `OwnData`; arguments as of `load_dataset`.

    Masks are kept as run lengths; areas and boxes are those of the masks.
    """
    path, kind = Path(path), kind_of(path)
    _refuse_needless(kind, images, attribute, category)
    if kind == "layout":
        raise OwnDataError(f"{path} is in COCO's own layout already: give it as it is.")
    if kind == "coco":
        return _read_coco(path, Path(images or path.parent))
    if kind == "via":
        folder = Path(images or path.parent)
        return _read_instances(path, folder, _via_pictures(path, folder, attribute, category))
    return _read_instances(path, path, _masked_pictures(path, category))


def kind_of(path):
    """What a path leads to: "layout" (COCO's own), "coco", "via" or "masks".

    Raises:
        FileNotFoundError: to nothing.
        OwnDataError: to something else.
    """
    path = Path(path)
    if (path / "annotations").is_dir():
        return "layout"
    if any(path.glob("*/images")):
        return "masks"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no data in {path}. Expected a COCO or VIA file (JSON), a folder with "
            "NAME/images and NAME/masks for each picture, or a folder in COCO's own layout, with "
            "annotations/instances_train2017.json."
        )
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OwnDataError(f"{path} is no JSON file of annotations: {error}.") from error
    # Far cheaper than to parse it, which its reader does.
    return "via" if any(f'"{key}"' in text for key in KEYS_OF_VIA) else "coco"


def _refuse_needless(kind, images, attribute, category):
    """Refuse arguments that change nothing, since something else was meant."""
    given = {"images": images, "attribute": attribute, "category": category}
    useful = {"layout": (), "coco": ("images",), "masks": ("category",)}.get(kind, tuple(given))
    needless = [name for name, value in given.items() if value is not None and name not in useful]
    if needless:
        what = {"layout": "a folder in COCO's own layout", "coco": "a COCO file"}
        raise OwnDataError(
            f"--{' and --'.join(needless)} cannot be chosen for "
            f"{what.get(kind, 'a folder of masks')}, which says so itself."
        )


# --- COCO ---------------------------------------------------------------------------------------


def _read_coco(path, folder):
    """A COCO file whose images are all there, of the size that the file says."""
    content = read_annotations(path).dataset
    for annotation in content["annotations"]:
        outline = annotation.get("segmentation")
        if isinstance(outline, list):  # of arrays, since they were read
            annotation["segmentation"] = [
                part.tolist() if isinstance(part, np.ndarray) else part for part in outline
            ]
    files = find_files([image["file_name"] for image in content["images"]], folder, path)
    other = []
    for image in content["images"]:
        image["file_name"] = str(files[image["file_name"]])
        height, width = stored_size(image["file_name"])
        if (height, width) != (image["height"], image["width"]):
            said = f"not {image['width']} x {image['height']}"
            other.append(f"{image['file_name']} ({width} x {height}, {said})")
    if other:
        raise OwnDataError(
            f"{len(other)} images have another size than {path} says: {some(other)}. Its outlines "
            "would lie elsewhere; scale or turn the images to that size. (Many programs show "
            "photographs turned by their EXIF mark; annotations here count stored pixels.)"
        )
    names = {str(file): called(file, folder) for file in files.values()}
    return OwnData(path, folder, content, names)


# --- pictures with instances --------------------------------------------------------------------


class _Picture(NamedTuple):
    """A picture, its (height, width), and (category, mask, where it stands) on demand."""

    path: Path
    name: str
    shape: tuple[int, int]
    instances: object  # iterable


def _via_pictures(path, folder, attribute, category):
    """The images of a VIA file as a list of `_Picture`s."""
    images = read_via(path)
    label = _labeller(images, attribute, category, path)
    files = find_files([image.filename for image in images], folder, path)
    turned = [str(file) for file in files.values() if is_turned(file)]
    if turned:
        raise OwnDataError(
            f"{len(turned)} images are marked (EXIF) to be shown turned: {some(turned)}. Browsers "
            "do so, and VIA counts the pixels that they show, but here stored pixels count. "
            "Turn them for good (`mogrify -auto-orient`), or remove the mark if the outlines were "
            "made without it."
        )
    pictures = ((files[image.filename], image.regions) for image in images)
    return [_via_picture(file, called(file, folder), *rest, label) for file, *rest in pictures]


def _via_picture(file, name, regions, label):
    shape = stored_size(file)
    labels = [label(region) for region in regions]
    masks = (draw_masks([region], shape)[..., 0] for region in regions)
    places = [region.place for region in regions]
    return _Picture(file, name, shape, zip(labels, masks, places, strict=True))


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


def _masked_pictures(folder, category):
    """The pictures of a folder with masks as a list of `_Picture`s."""
    pictures = []
    for name, path, files in list_mask_folder(folder, category):
        shape = stored_size(path)
        pictures.append(_Picture(path, name + path.suffix, shape, _masks_of(files, shape)))
    return pictures


def _masks_of(files, shape):
    for file in files:
        yield from ((file.category, mask, str(file.path)) for mask in load_masks(file, shape))


def _read_instances(path, folder, pictures):
    """COCO's lists of what pictures show, categories by name."""
    found, images, empty, console = [], [], [], Console(stderr=True)
    shown = track(pictures, "reading masks", console=console, disable=not console.is_terminal)
    for number, picture in enumerate(shown, start=1):
        height, width = picture.shape
        images.append(
            {"id": number, "file_name": str(picture.path), "height": height, "width": width}
        )
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
    return OwnData(path, folder, content, names, tuple(notes))


def open_data(folder, split, **options):
    """Training and validation part of some data, limited to the split's seen classes.

    Args:
        folder: in COCO's own layout, or what else `load_dataset` opens.
        split: see `siamese_mrcnn.data.splits.seen_and_novel`.
        options: how to read it, as of `load_dataset`.

    Returns:
        training data; validation data, or None where it shows no seen class.
    """
    training, validation = (
        load_dataset(folder, portion=part, **options) for part in ("train", "validation")
    )
    training.active_classes = seen_and_novel(training, split)[0]
    try:
        validation.active_classes = training.active_classes
    except AnnotationError:
        logger.warning(
            "Training goes without validation: the %d images kept for it show none of the classes "
            "that are trained on.",
            validation.num_images,
        )
        validation = None
    return training, validation
