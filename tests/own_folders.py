"""The same small pictures of squares, annotated in COCO's way, in VIA's and by mask files."""

import json

import cv2
import numpy as np
from PIL import Image

HEIGHT, WIDTH = 40, 48
CATEGORIES = ("rose", "sea lily", "tulip")


def plan(count=10):
    """{name: [(category, y, x, size)]}: one or two squares a picture, of categories in turn."""
    scenes = {}
    for number in range(count):
        squares = [(CATEGORIES[number % 3], 3 + number, 2, 12)]
        if number % 2:
            squares.append((CATEGORIES[(number + 1) % 3], 5, 20 + number, 15))
        scenes[f"{number}.png"] = squares
    return scenes


def square(y, x, size):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + size, x : x + size] = True
    return mask


def write_pictures(folder, scenes, only=None):
    for number, (name, squares) in enumerate(scenes.items()):
        if only not in (None, name):
            continue
        picture = np.full((HEIGHT, WIDTH, 3), 10 * number, np.uint8)
        for category, *place in squares:
            picture[square(*place), CATEGORIES.index(category)] = 255
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), picture)
    return folder


def write_coco(folder, scenes, categories=CATEGORIES):
    """flowers.json, its categories numbered from 4 in threes, beside a folder of photos."""
    write_pictures(folder / "photos", scenes)
    number_of = {name: 4 + 3 * n for n, name in enumerate(categories)}
    annotations = [
        (image_id, number_of[category], (y, x, size))
        for image_id, squares in enumerate(scenes.values(), start=7)
        for category, y, x, size in squares
    ]
    content = {
        "images": [
            {"id": image_id, "file_name": name, "height": HEIGHT, "width": WIDTH}
            for image_id, name in enumerate(scenes, start=7)
        ],
        "annotations": [
            {
                "id": n,
                "image_id": image_id,
                "category_id": category_id,
                "segmentation": [[x, y, x + s, y, x + s, y + s, x, y + s]],
            }
            for n, (image_id, category_id, (y, x, s)) in enumerate(annotations)
        ],
        "categories": [{"id": number, "name": name} for name, number in number_of.items()],
    }
    return write_json(folder / "flowers.json", content)


def write_via(folder, scenes, attribute="kind"):
    """via.json beside the pictures; VIA's rectangles hold the pixels on their edges, too."""
    write_pictures(folder, scenes)
    content = {
        f"{name}123": {
            "filename": name,
            "size": 123,
            "file_attributes": {},
            "regions": [
                {
                    "shape_attributes": {
                        "name": "rect",
                        "x": x,
                        "y": y,
                        "width": size - 1,
                        "height": size - 1,
                    },
                    "region_attributes": {attribute: category} if attribute else {},
                }
                for category, y, x, size in squares
            ],
        }
        for name, squares in scenes.items()
    }
    return write_json(folder / "via.json", content)


def write_masks(folder, scenes):
    """A folder a picture: the first square in masks/, the others in labels/."""
    for name, squares in scenes.items():
        own = folder / name.removesuffix(".png")
        write_pictures(own / "images", scenes, only=name)
        (own / "images" / name).rename(own / "images" / "any.png")
        for number, (category, *place) in enumerate(squares):
            path = own / (f"labels/{category}.png" if number else f"masks/{category}/1.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(square(*place).astype(np.uint8) * (40 if number else 255)).save(path)
    return folder


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
