"""Data of one's own, however it was annotated, as one kind of data set.

- any COCO JSON with its folder of images,
- the JSON or CSV of the VGG Image Annotator (VIA), 1 or 2,
- labelme's JSON files,
- a folder of pictures and mask files, see `siamese_mrcnn.own_data.mask_folders`,
- a folder in COCO's own layout.
"""

import functools
import logging
from pathlib import Path

import numpy as np

from mrcnn.data.via import PROJECT_IMAGES
from siamese_mrcnn.data.coco import CocoDataset, files_of
from siamese_mrcnn.data.coco_annotations import Annotations, read_annotations, read_json
from siamese_mrcnn.data.outlines import AnnotationError
from siamese_mrcnn.data.splits import seen_and_novel
from siamese_mrcnn.own_data.image_files import called, find_files, look_at, some
from siamese_mrcnn.own_data.labelme import is_labelme, labelme_content
from siamese_mrcnn.own_data.pictures import (
    OwnData,
    OwnDataError,
    masked_pictures,
    read_instances,
    via_pictures,
)

logger = logging.getLogger(__name__)

KINDS = {  # what each is called, and which options change something
    "layout": ("a folder in COCO's own layout", ("boxes_as_masks", "skip_missing")),
    "coco": ("a COCO file", ("images", "boxes_as_masks", "skip_missing")),
    "labelme": ("labelme's files", ("images", "skip_missing")),
    "masks": ("a folder of masks", ("category",)),
    "via": ("a VIA file", ("images", "attribute", "category", "skip_missing")),
    "csv": ("VIA's CSV", ("images", "attribute", "category", "skip_missing")),
}
ONLY_IMPORTED = ("labelme", "csv")


def load_dataset(
    path, images=None, attribute=None, category=None, portion="test", classes=None, **options
):
    """Open data of any kind.

    Args:
        path: a COCO or VIA JSON file, a folder of pictures and masks, or one in COCO's own layout.
        images, attribute, category, options: how to read it, as of `read_own_data`.
        portion: "train" or "validation", which cut the images as COCO's train2017 is cut, or
            "test": all of them, or val2017 of COCO's own layout.
        classes: class ids to draw from; all if None.

    Returns:
        `siamese_mrcnn.data.coco.CocoDataset`, prepared.

    Raises:
        FileNotFoundError: a file or folder is missing.
        ValueError: something cannot be used; a sentence says what and why.
    """
    options |= {"images": images, "attribute": attribute, "category": category}
    return load_portions(path, (portion,), classes, **options)[0]


def load_portions(path, portions, classes=None, **options):
    """Open several portions of data, read once: a list of data sets, see `load_dataset`."""
    path, (kind, content) = Path(path), _recognised(path)
    if kind in ONLY_IMPORTED:
        raise OwnDataError(
            f"{path} is {KINDS[kind][0]}: bring it into COCO's layout first, with `siamese-mrcnn "
            f"import-data {path} --out FOLDER`."
        )
    _refuse_needless(kind, options)
    boxes = options.get("boxes_as_masks", False)
    skip = options.get("skip_missing", False)
    if kind == "layout":
        read = functools.cache(lambda file: read_annotations(file, boxes))
        opened = []
        for portion in portions:
            file, folder = files_of(path, portion)
            opened.append(
                CocoDataset.from_annotations(
                    read(file), folder, portion, classes, skip_missing=skip
                )
            )
        return opened
    files = None
    if kind == "coco":
        annotations = Annotations(content, path, boxes)
        folder = options.get("images") or _pictures_of(path, content)
    else:
        data = _read(path, kind, content, **options)
        _refuse_turned(data)
        for note in data.notes:
            logger.warning("%s: %s", path, note)
        annotations, folder = Annotations(data.content, path), data.images
        files, skip = {name: Path(name) for name in data.names}, False
    folder = folder or path.parent
    return [
        CocoDataset.from_annotations(annotations, folder, portion, classes, files, skip)
        for portion in portions
    ]


def read_own_data(path, images=None, attribute=None, category=None, **options):
    """Read data of any kind, every outline and the size of every picture.

    Args:
        path: a COCO or VIA JSON file, a VIA CSV file, a labelme JSON file or a folder of them, a
            folder of pictures and masks, or one in COCO's own layout, of which its train2017.
        images: folder of the images of a file; by default the file's own, or `images` in that.
        attribute: of a VIA file, the region attribute that names the class; by default the only
            one there is.
        category: what everything is, where a VIA file or the folders of masks name no category.
        options: boxes_as_masks=True takes the boxes of a COCO file as outlines where it has none;
            skip_missing=True leaves out images whose files are not there.

    Returns:
        `siamese_mrcnn.own_data.pictures.OwnData`. Areas and boxes are those of the masks.
    """
    path, (kind, content) = Path(path), _recognised(path)
    options |= {"images": images, "attribute": attribute, "category": category}
    _refuse_needless(kind, options)
    if kind == "layout":
        path, options["images"] = files_of(path, "train")
        kind, content = "coco", read_json(path)
    return _read(path, kind, content, **options)


def _read(
    path,
    kind,
    content,
    images=None,
    attribute=None,
    category=None,
    boxes_as_masks=False,
    skip_missing=False,
):
    folder = Path(images or (path if path.is_dir() else path.parent))
    if kind == "masks":
        return read_instances(path, path, masked_pictures(path, category))
    if kind in ("via", "csv"):
        pictures = via_pictures(path, content, folder, attribute, category, skip_missing)
        return read_instances(path, folder, pictures)
    if kind == "labelme":
        content = labelme_content(content)
    elif images is None:
        folder = _pictures_of(path, content)
    return _read_coco(path, content, folder, boxes_as_masks, skip_missing, kind == "labelme")


def _recognised(path):
    """What a path leads to, a key of `KINDS`, and what was parsed of it already.

    Raises:
        FileNotFoundError: to nothing.
        AnnotationError: to something else.
    """
    path = Path(path)
    if (path / "annotations").is_dir():
        return "layout", None
    if any(path.glob("*/images")):
        return "masks", None
    if path.is_dir() and any(path.glob("*.json")):
        return "labelme", {file: read_json(file) for file in sorted(path.glob("*.json"))}
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no data in {path}. Expected a COCO or VIA file (JSON), a folder with "
            "NAME/images and NAME/masks for each picture, a folder of labelme's JSON files, or one "
            "in COCO's own layout, with annotations/instances_train2017.json."
        )
    if path.suffix.lower() == ".csv":
        return "csv", None
    content = read_json(path)
    if is_labelme(content):
        return "labelme", {path: content}
    return ("via" if _is_via(content) else "coco"), content


def _is_via(content):
    if not isinstance(content, dict) or "annotations" in content or "images" in content:
        return False
    entries = list(content.values())
    return PROJECT_IMAGES in content or (
        bool(entries) and all(isinstance(each, dict) and "filename" in each for each in entries)
    )


def _refuse_needless(kind, options):
    """Refuse options that change nothing, since something else was meant."""
    name, useful = KINDS[kind]
    needless = [key for key, value in options.items() if value and key not in useful]
    if needless:
        given = " and ".join(f"--{key.replace('_', '-')}" for key in needless)
        raise OwnDataError(f"{given} cannot be chosen for {name}, which says so itself.")


# --- COCO ---------------------------------------------------------------------------------------


def _read_coco(path, content, folder, boxes_as_masks, skip_missing, shows_turned):
    """COCO's lists with every outline drawn once, whose images are there and of the size they say.

    Args:
        shows_turned: whether the program that wrote them turns pictures as their marks say; else
            the sizes must tell.
    """
    listed = content.get("images") if isinstance(content, dict) else None
    files, turned, notes = {}, set(), []
    if shows_turned and listed:
        _fill_in_sizes(listed, folder, path)
    annotations = Annotations(content, path, boxes_as_masks, draws_all=True)
    images = annotations.dataset["images"]
    files = find_files([image["file_name"] for image in images], folder, path, skip_missing)
    left = [image for image in images if image["file_name"] in files]
    if len(left) < len(images):
        notes.append(f"{len(images) - len(left)} images are not there and are left out.")
    turned = _check_sizes(left, files, path, shows_turned)
    ids = set()
    for image in left:
        image["file_name"] = str(files[image["file_name"]])
        ids.add(image["id"])
    content = {
        "images": left,
        "annotations": [
            _with_lists(each)
            for each in annotations.dataset["annotations"]
            if each["image_id"] in ids
        ],
        "categories": annotations.dataset["categories"],
    }
    names = {str(file): called(file, folder) for file in files.values()}
    return OwnData(path, folder, content, names, frozenset(turned), tuple(notes))


def _pictures_of(path, content):
    """The folder of a COCO file's pictures: its own, or `images` in it where they lie there."""
    own, beside = path.parent, path.parent / "images"
    listed = content.get("images") if isinstance(content, dict) else None
    names = [image.get("file_name") for image in listed or () if isinstance(image, dict)]
    first = next((name for name in names if isinstance(name, str)), "")
    return beside if (beside / first).is_file() and not (own / first).is_file() else own


def _fill_in_sizes(images, folder, path):
    """Take from the pictures the sizes that old versions of labelme left out."""
    for image in images:
        if not image["height"] or not image["width"]:
            (file,) = find_files([image["file_name"]], folder, path).values()
            image["height"], image["width"] = look_at(file).shown


def _with_lists(annotation):
    """An annotation whose polygons are lists, as JSON has them."""
    outline = annotation["segmentation"]
    if isinstance(outline, list):
        outline = [np.asarray(part).tolist() for part in outline]
    return annotation | {"segmentation": outline}


def _check_sizes(images, files, path, shows_turned):
    """Whole paths of the pictures to turn, once all have the size that the file says.

    Raises:
        OwnDataError: some have another size, or it cannot be known whether to turn them.
    """
    other, unclear, turned = [], [], set()
    for image in images:
        place, said = files[image["file_name"]], (image["height"], image["width"])
        file = look_at(place)
        if said not in (file.stored, file.shown) or (shows_turned and said != file.shown):
            height, width = file.stored
            other.append(f"{place} ({width} x {height}, not {said[1]} x {said[0]})")
        elif file.is_turned and (shows_turned or said != file.stored):
            turned.add(str(place))
        elif file.is_turned and file.stored == file.shown:
            unclear.append(place)
    if other:
        raise OwnDataError(
            f"{len(other)} images have another size than {path} says: {some(other)}. Its outlines "
            "would lie elsewhere; scale the images, or correct height and width."
        )
    if unclear:
        raise OwnDataError(
            f"{len(unclear)} images are marked (EXIF) to be shown turned: {some(unclear)}. Whether "
            "their outlines were made for the picture as it is stored cannot be known. Turn them "
            "for good (`mogrify -auto-orient`) if the outlines fit what is shown, as browsers "
            "show it, else remove the mark."
        )
    return turned


def _refuse_turned(data):
    if data.turned:
        raise OwnDataError(
            f"{len(data.turned)} images are marked (EXIF) to be shown turned: "
            f"{some(sorted(data.turned))}. Their outlines fit the pictures as they are shown, but "
            "here stored pixels count: `siamese-mrcnn import-data` writes them turned."
        )


# --- for training -------------------------------------------------------------------------------


def open_data(folder, split, **options):
    """Training and validation part of some data, limited to the split's seen classes.

    Args:
        folder: in COCO's own layout, or what else `load_dataset` opens.
        split: see `siamese_mrcnn.data.splits.seen_and_novel`.
        options: how to read it, as of `read_own_data`.

    Returns:
        training data; validation data, or None where it shows no seen class.
    """
    training, validation = load_portions(folder, ("train", "validation"), **options)
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


def describe_parts(training, validation, split):
    """What is trained on and what is left out, and why: lines of text for `open_data`'s parts."""
    seen, novel = seen_and_novel(training, split)
    names = training.class_names
    lines = [f"Trained on {len(seen)} classes: {', '.join(names[number] for number in seen)}"]
    if novel:
        why = "as --novel says" if isinstance(split, tuple | list) else f"as split {split} says"
        hint = "" if isinstance(split, tuple | list) else "; --split all leaves out none"
        left_out = ", ".join(names[number] for number in novel)
        lines.append(f"Left out for the test {len(novel)} ({why}{hint}): {left_out}")
    without = [names[number] for number in seen if not training.images_with(number)]
    if without:
        lines.append(f"Without a training image: {', '.join(without)}")
    kept = validation.num_images if validation is not None else 0
    lines.append(f"Images: {training.num_images} to train on, {kept} for validation")
    return "\n".join(lines)
