"""A small data set that needs no download: scenes of drawn shapes, in COCO's own layout."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as rle_tools

from siamese_mrcnn.outlines import OUTLINES
from siamese_mrcnn.scenes import draw_scene

MARKER = "shapes.json"  # says what the folder was drawn from
JPEG_QUALITY = 95
SIDES = (32, 4096)  # smallest and largest image, pixels


class ShapesError(ValueError):
    """A folder that cannot take the drawn data set, or a size that cannot be drawn."""


def make_shapes(folder, train_images=200, val_images=40, image_size=256, seed=0):
    """Draw a data set of shapes; the same arguments give the same files.

    Writes train2017/, val2017/ and annotations/instances_{train,val}2017.json. A folder that
    already holds this very data set is left as it is; a half-drawn one is completed.

    Args:
        folder: where to draw; empty, missing, or drawn by this function with equal arguments.
        train_images, val_images: numbers of scenes.
        image_size: side of the square images, pixels.
        seed: of everything that is drawn at random.

    Returns:
        pathlib.Path of the folder.

    Raises:
        ShapesError: if the folder holds something else, or a number makes no sense.
    """
    folder = Path(folder)
    _check_numbers(train_images, val_images, image_size, seed)
    recipe = {
        "drawn_by": "siamese_mrcnn.shapes",
        "train_images": int(train_images),
        "val_images": int(val_images),
        "image_size": int(image_size),
        "seed": int(seed),
    }
    _claim(folder, recipe)
    for portion, count in (("train", train_images), ("val", val_images)):
        _draw_portion(folder, portion, count, recipe)
    return folder


def _draw_portion(folder, portion, count, recipe):
    annotation_file = folder / "annotations" / f"instances_{portion}2017.json"
    if annotation_file.is_file():
        return
    images, annotations = [], []
    first = 1 if portion == "train" else recipe["train_images"] + 1
    for image_id in range(first, first + count):
        rng = np.random.default_rng([recipe["seed"], portion == "val", image_id - first])
        picture, instances = draw_scene(rng, recipe["image_size"])
        images.append(_image_entry(image_id, picture))
        _write_picture(folder / f"{portion}2017" / images[-1]["file_name"], picture)
        for class_id, crowd, mask in instances:
            annotations.append(_annotation(len(annotations) + 1, image_id, class_id, crowd, mask))
    _write_json(
        annotation_file,
        {
            "info": recipe,
            "licenses": [],
            "images": images,
            "annotations": annotations,
            "categories": [
                {"supercategory": "shape", "id": number + 1, "name": name}
                for number, name in enumerate(OUTLINES)
            ],
        },
    )


def _image_entry(image_id, picture):
    height, width = picture.shape[:2]
    name = f"{image_id:012d}.jpg"
    return {"id": image_id, "file_name": name, "height": height, "width": width}


def _annotation(number, image_id, class_id, crowd, mask):
    """A COCO annotation: run lengths, in crowds uncompressed, as COCO has them."""
    run_lengths = rle_tools.encode(np.asfortranarray(mask.view(np.uint8)))
    area, box = float(rle_tools.area(run_lengths)), rle_tools.toBbox(run_lengths).tolist()
    outline = {"size": list(mask.shape), "counts": run_lengths["counts"].decode("ascii")}
    if crowd:
        outline["counts"] = _plain_counts(mask)
    return {
        "id": number,
        "image_id": image_id,
        "category_id": class_id,
        "segmentation": outline,
        "area": area,
        "bbox": box,
        "iscrowd": int(crowd),
    }


def _plain_counts(mask):
    """Lengths of the runs of 0, 1, 0, ... down the columns."""
    column_order = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(column_order[1:] != column_order[:-1])
    return np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()


def _check_numbers(train_images, val_images, image_size, seed):
    if train_images < 2 or val_images < 1:
        raise ShapesError(
            "The data set needs at least 2 training images and 1 image to test on, but got "
            f"train_images={train_images} and val_images={val_images}."
        )
    if not SIDES[0] <= image_size <= SIDES[1]:
        raise ShapesError(f"image_size must be {SIDES[0]} to {SIDES[1]} pixels, not {image_size}.")
    if seed < 0:
        raise ShapesError(f"seed must not be negative, but is {seed}.")


def _claim(folder, recipe):
    """Mark an empty folder as ours, or make sure that it already is."""
    marker = folder / MARKER
    if marker.is_file() and _read_recipe(marker) == recipe:
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ShapesError(
            f"{folder} already holds something else, which is not overwritten. Give an empty "
            "folder, or delete this one if it is an older drawing."
        )
    _write_json(marker, recipe)


def _read_recipe(marker):
    try:
        return json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        return None


def _write_picture(path, picture):
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ShapesError(f"The picture {path} could not be encoded as JPEG.")
    _write(path, data.tobytes())


def _write_json(path, content):
    _write(path, json.dumps(content).encode("utf-8"))


def _write(path, data):
    """Put a file in place all at once, so that an interruption leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    passing = path.with_name(path.name + ".part")
    passing.write_bytes(data)
    os.replace(passing, path)
