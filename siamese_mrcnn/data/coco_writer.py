"""What drawn data sets share: a folder of one's own, pictures, and entries in COCO's layout."""

import contextlib
import json

import cv2
import numpy as np
from pycocotools import mask as rle_tools

from mrcnn.files import disk_explained, written_whole
from mrcnn.images.run_lengths import run_lengths_of
from mrcnn.locks import LOCK, alone_in

JPEG_QUALITY = 95


class DrawnFolderError(ValueError):
    """A folder that cannot take a drawn data set, or numbers that cannot be drawn."""


@contextlib.contextmanager
def claimed(folder, marker, recipe):
    """Be alone in a folder that is empty, and then marked by a recipe, or already is so.

    Args:
        folder: pathlib.Path, empty, missing, or claimed before.
        marker: name of the file that holds the recipe.
        recipe: all that the drawing depends on, for JSON.

    Raises:
        DrawnFolderError: if the folder holds something else.
        mrcnn.locks.InUseError: another program writes into it.
    """
    if folder.exists() and not folder.is_dir():
        raise DrawnFolderError(f"{folder} is a file. Give an empty folder.")
    with alone_in(folder):
        if _read_json(folder / marker) != recipe:
            if {path.name for path in folder.iterdir()} - {LOCK}:
                raise DrawnFolderError(
                    f"{folder} already holds something else, which is not overwritten. Give an "
                    "empty folder, or delete this one if it is an older drawing or import."
                )
            write_json(folder / marker, recipe)
        yield


def check_counts(train_images, val_images, image_size, sides, seed):
    """Refuse numbers of which no data set can be drawn.

    Args:
        sides: smallest and largest `image_size`, pixels.

    Raises:
        DrawnFolderError: says which number.
    """
    if train_images < 2 or val_images < 1:
        raise DrawnFolderError(
            "The data set needs at least 2 training images and 1 image to test on, but got "
            f"train_images={train_images} and val_images={val_images}."
        )
    if not sides[0] <= image_size <= sides[1]:
        raise DrawnFolderError(
            f"image_size must be {sides[0]} to {sides[1]} pixels, not {image_size}."
        )
    if seed < 0:
        raise DrawnFolderError(f"seed must not be negative, but is {seed}.")


def image_entry(image_id, picture):
    """A COCO image entry, for a file named by its id as COCO's are."""
    height, width = picture.shape[:2]
    name = f"{image_id:012d}.jpg"
    return {"id": image_id, "file_name": name, "height": height, "width": width}


def annotation_entry(number, image_id, class_id, crowd, mask):
    """A COCO annotation of a mask: run lengths, in crowds uncompressed, as COCO has them.

    Args:
        mask: bool [height, width].
    """
    run_lengths = run_lengths_of(mask)
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


def write_picture(path, picture):
    """Write uint8 [H, W, 3] RGB as a JPEG file.

    One that is cut off by an interruption is drawn again: its annotations come last.
    """
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise DrawnFolderError(f"The picture {path} could not be encoded as JPEG.")
    with disk_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_json(path, content):
    """Write a JSON file, all at once."""
    with written_whole(path) as file:
        file.write(json.dumps(content))


def _plain_counts(mask):
    """Lengths of the runs of 0, 1, 0, ... down the columns."""
    column_order = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(column_order[1:] != column_order[:-1])
    return np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()


def _read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except ValueError:
        return None
