"""Data of one's own brought into COCO's own layout, a part of it kept for the test.

What is written: annotations/instances_{train,val}2017.json, train2017/, val2017/, and import.json,
which says where it comes from.
"""

import os
import shutil
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from mrcnn.drawing.tables import Table
from mrcnn.files import atomic_path, in_hand
from mrcnn.images.picture_files import open_picture
from mrcnn.progress import track
from siamese_mrcnn.data.coco_writer import JPEG_QUALITY, claimed, write_json
from siamese_mrcnn.fingerprints import file_fingerprint, fingerprint
from siamese_mrcnn.own_data.image_files import has_many_bits

MARKER = "import.json"
PORTIONS = ("train", "val")
LEAST = 2  # test images of a category: one to search, one to take the reference from


class DataImportError(ValueError):
    """Data that cannot be divided or written as asked."""


class Imported(NamedTuple):
    """What was imported.

    Attributes:
        folder: in COCO's own layout.
        images: {"train": number of images, "val": number of images}.
        categories: {name: {"train": (images, instances), "val": ...}}, crowds apart.
        notes: sentences about what was left out, and what will not work.
    """

    folder: Path
    images: dict
    categories: dict
    notes: tuple[str, ...]


def import_data(data, folder, test=None, test_part=0.2, seed=0, link=False, value_range=None):
    """Write data in COCO's own layout. An interrupted call goes on when it is repeated.

    Args:
        data: `siamese_mrcnn.own_data.pictures.OwnData` to train on.
        folder: empty, missing, or written by this function from the same data.
        test: `OwnData` to test on. Without it, a part of `data` is kept for the test.
        test_part: about which part of the images of each category to keep, 0..1. Of every category
            two images at least are kept while one remains to train on: a test takes its references
            from images other than the one searched.
        seed: of the draw of these images.
        link: make symbolic links to the images and no copies, but for those that have to be
            turned or scaled.

        value_range: (low, high): the values that become black and white where pictures have more
            than 8 bits, as of cameras of 12 bits (0, 4095); None leaves them as they are.

    Returns:
        `Imported`.

    Raises:
        DataImportError: a number makes no sense, or there is nothing to import.
        siamese_mrcnn.data.coco_writer.DrawnFolderError: the folder holds something else.
    """
    if not 0 <= test_part <= 1:
        raise DataImportError(f"The part to test on must be 0 to 1, but is {test_part}.")
    if value_range is not None and not value_range[0] < value_range[1]:
        raise DataImportError(f"The range must be a lower and a higher value, not {value_range}.")
    folder = Path(folder)
    contents = dict(zip(PORTIONS, _divided(data, test, test_part, seed), strict=True))
    recipe = {
        "imported_from": [str(each.path.absolute()) for each in (data, test) if each is not None],
        "test_part": None if test else test_part,
        "seed": None if test else seed,
        "link": link,
        "content": fingerprint(contents),
    }
    recipe |= {"range": list(value_range)} if value_range is not None else {}
    with claimed(folder, MARKER, recipe):
        for portion, source in zip(PORTIONS, (data, test or data), strict=True):
            if contents[portion]["images"]:
                _write(folder, portion, contents[portion], source, link, value_range)
    notes = [note for each in (data, test) if each is not None for note in each.notes]
    notes += _unannotated(data, test) + _obstacles(contents)
    counts = {portion: len(content["images"]) for portion, content in contents.items()}
    return Imported(folder, counts, _counts_by_category(contents), tuple(notes))


def to_text(imported):
    """What was imported as a table, and the notes."""
    rows = [
        [name, *(str(number) for portion in PORTIONS for number in counts[portion])]
        for name, counts in imported.categories.items()
    ]
    head = ["category", "training images", "instances", "test images", "instances"]
    train, val = (imported.images[portion] for portion in PORTIONS)
    title = f"{imported.folder}: {train} images to train on, {val} to test on\n\n"
    return title + "\n".join([str(Table(head, rows)), *imported.notes])


# --- dividing -----------------------------------------------------------------------------------


def draw_test_images(images_of, part, seed=0):
    """Draw images to test on: about `part` of those of every category, `LEAST` if possible.

    Args:
        images_of: {category: set of image ids}.
        part: 0..1; 0 draws none, 1 all.
        seed: of the draw.

    Returns:
        set of image ids.
    """
    if part in (0, 1):
        return set().union(*images_of.values()) if part else set()
    rng = np.random.default_rng(seed)
    chosen = set()
    # The rarest first, which have the least choice.
    for shown in sorted(images_of.values(), key=lambda images: (len(images), min(images))):
        wanted = min(max(round(part * len(shown)), LEAST), len(shown) - 1)
        missing = wanted - len(chosen & shown)
        if missing > 0:
            left = sorted(shown - chosen)
            chosen |= {left[index] for index in rng.choice(len(left), missing, replace=False)}
    return chosen


def _divided(data, test, part, seed):
    """COCO contents to train and to test on, with the same categories, without empty images."""
    if test is not None:
        train, val = _annotated(data.content), _annotated(test.content)
        categories = _joined_categories(train, val)
        return [_renumbered(content, categories) for content in (train, val)]
    content = _annotated(data.content)
    first = _first_of_twins(content["images"])
    images_of = {
        category: {first[image_id] for image_id in shown}
        for category, shown in _images_of(content).items()
    }
    chosen = draw_test_images(images_of, part, seed)
    test_ids = {image_id for image_id, representative in first.items() if representative in chosen}
    return [_restricted(content, set(first) - test_ids), _restricted(content, test_ids)]


def _first_of_twins(images):
    """{image id: id of the first image with the same picture}, as pictures may be listed twice."""
    sizes = {}
    for image in images:
        sizes.setdefault(os.path.getsize(image["file_name"]), []).append(image)
    first = {}
    for alike in sizes.values():
        seen = {}
        for image in alike:
            key = file_fingerprint(image["file_name"]) if len(alike) > 1 else None
            first[image["id"]] = seen.setdefault(key, image["id"])
    return first


def _annotated(content):
    """The content without images that show no instance."""
    shown = set().union(*_images_of(content).values())
    if not shown:
        raise DataImportError("No image shows an instance, so there is nothing to import.")
    return _restricted(content, shown)


def _restricted(content, image_ids):
    return {
        "images": [image for image in content["images"] if image["id"] in image_ids],
        "annotations": [each for each in content["annotations"] if each["image_id"] in image_ids],
        "categories": content["categories"],
    }


def _images_of(content):
    """{category id: ids of the images that show an instance, crowds apart}."""
    found = {}
    for annotation in content["annotations"]:
        if not annotation.get("iscrowd"):
            found.setdefault(annotation["category_id"], set()).add(annotation["image_id"])
    return found


def _joined_categories(train, val):
    """The categories of two contents, each name once: those of the first keep their numbers."""
    joined = {category["name"]: category for category in reversed(train["categories"])}
    free = 1 + max(category["id"] for category in train["categories"])
    for category in val["categories"]:
        if category["name"] not in joined:
            joined[category["name"]] = {**category, "id": free}
            free += 1
    return sorted(joined.values(), key=lambda category: category["id"])


def _renumbered(content, categories):
    new = {category["name"]: category["id"] for category in categories}
    number_of = {category["id"]: new[category["name"]] for category in content["categories"]}
    annotations = [
        {**each, "category_id": number_of[each["category_id"]]} for each in content["annotations"]
    ]
    return {**content, "annotations": annotations, "categories": categories}


# --- writing ------------------------------------------------------------------------------------


def _write(folder, portion, content, source, link, value_range):
    """Copy the images of a portion, then write its annotations."""
    place, taken, images = folder / f"{portion}2017", set(), []
    place.mkdir(exist_ok=True)
    shown = f"Writing {place.name}"
    for image in track(content["images"], shown, "images"):
        path = Path(image["file_name"])
        turned = str(path) in source.turned
        name = source.names[str(path)]
        with in_hand(path):
            scaled = value_range if value_range is not None and has_many_bits(path) else None
            name = str(PurePosixPath(name).with_suffix(".png")) if scaled else name
            name = _own_name(name, taken, image["id"])
            _bring(path, place / name, link, turned, scaled)
        images.append({**image, "file_name": name})
    path = folder / "annotations" / f"instances_{portion}2017.json"
    write_json(path, {"info": {}, "licenses": [], **content, "images": images})


def _own_name(name, taken, number):
    """The name of an image in its portion's folder: its own, with a number where that is taken."""
    if name in taken:
        stem, dot, suffix = name.rpartition(".")
        name = f"{stem}_{number}{dot}{suffix}"
    taken.add(name)
    return name


def _bring(source, target, link, turned, value_range):
    """Copy, link or change a file; one that is there already and as large is left."""
    changed = turned or value_range is not None
    if target.is_file() and (changed or target.stat().st_size == source.stat().st_size):
        return
    with atomic_path(target, durable=False) as passing:
        if changed:
            _write_changed(source, passing, value_range)
        elif link:
            passing.symlink_to(source)
        else:
            shutil.copyfile(source, passing)


def _write_changed(source, target, value_range):
    """Write a picture as its mark (EXIF) asks to show it, in its own format, or scaled as PNG."""
    with open_picture(source) as picture:
        kind, upright = picture.format, ImageOps.exif_transpose(picture)
    if value_range is not None:
        low, high = value_range
        values = (np.asarray(upright, np.float64) - low) * (255 / (high - low))
        Image.fromarray(np.around(np.clip(values, 0, 255)).astype(np.uint8)).save(target, "PNG")
        return
    lossy = {"quality": JPEG_QUALITY, "subsampling": 0} if kind == "JPEG" else {}
    upright.save(target, format=kind, **lossy)


# --- telling ------------------------------------------------------------------------------------


def _counts_by_category(contents):
    """{name: {portion: (images, instances)}}."""
    counted = {}
    for category in contents["train"]["categories"]:
        counted[category["name"]] = {}
        for portion, content in contents.items():
            shown = [
                each["image_id"]
                for each in content["annotations"]
                if each["category_id"] == category["id"] and not each.get("iscrowd")
            ]
            counted[category["name"]][portion] = (len(set(shown)), len(shown))
    return counted


def _unannotated(*sources):
    everything = [each.content for each in sources if each is not None]
    count = sum(len(c["images"]) - len(_annotated(c)["images"]) for c in everything)
    return [f"{count} images show no instance and are left out."] if count else []


def _obstacles(contents):
    """What the portions are too small for."""
    notes = []
    if len(contents["train"]["images"]) < LEAST:
        notes.append("Too few images to train on: training needs two at least.")
    counted = _counts_by_category(contents)
    few = [name for name, counts in counted.items() if counts["val"][0] < LEAST]
    if few:
        notes.append(
            f"Not to be searched for in the test, which needs {LEAST} images of a category, one to "
            f"search and one to take the reference from: {', '.join(few)}."
        )
    unseen = [name for name, counts in counted.items() if not counts["train"][0]]
    if unseen and contents["train"]["images"]:
        notes.append(f"Not in the images to train on: {', '.join(unseen)}.")
    return notes
