"""Small COCO folders of squares, annotated in every way that COCO knows."""

import json

import cv2
import numpy as np
from pycocotools import mask as rle_tools

HEIGHT, WIDTH = 12, 16


def square(y, x, size):
    """Polygon of a square, and its mask."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + size, x : x + size] = True
    return [x, y, x + size, y, x + size, y + size, x, y + size], mask


def plain_run_lengths(mask):
    """Uncompressed run lengths the slow way: one pixel after the other, down the columns."""
    counts, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"counts": counts, "size": list(mask.shape)}


def compressed_run_lengths(mask):
    encoded = rle_tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"counts": encoded["counts"].decode(), "size": list(mask.shape)}


def annotation(number, image_id, category_id, segmentation, **other):
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": segmentation,
        "iscrowd": 0,
        **other,
    }


def write(folder, annotations, images=(11, 5, 8), categories=((7, "dog"), (3, "cat"))):
    """A COCO folder with a test portion; category ids neither ordered nor without gaps."""
    content = {
        "images": [
            {"id": n, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for n in images
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in categories],
    }
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").mkdir()
    (folder / "annotations/instances_val2017.json").write_text(json.dumps(content))
    for n in images:
        picture = np.full((HEIGHT, WIDTH, 3), n, np.uint8)
        cv2.imwrite(str(folder / f"val2017/{n}.png"), picture)
    return folder


def find(dataset, coco_id):
    return [info["id"] for info in dataset.image_info].index(coco_id)
