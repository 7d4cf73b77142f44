"""A small data set that needs no download: scenes of drawn shapes, in COCO's own layout."""

from pathlib import Path

import numpy as np

from siamese_mrcnn.data.coco_writer import (
    annotation_entry,
    check_counts,
    claimed,
    image_entry,
    write_json,
    write_picture,
)
from siamese_mrcnn.synthetic.shape_outlines import OUTLINES
from siamese_mrcnn.synthetic.shape_scenes import draw_scene

MARKER = "shapes.json"  # says what the folder was drawn from
SIDES = (32, 4096)  # smallest and largest image, pixels


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
        DrawnFolderError: if the folder holds something else, or a number makes no sense.
    """
    folder = Path(folder)
    check_counts(train_images, val_images, image_size, SIDES, seed)
    recipe = {
        "drawn_by": "siamese_mrcnn.synthetic.shapes",
        "train_images": int(train_images),
        "val_images": int(val_images),
        "image_size": int(image_size),
        "seed": int(seed),
    }
    with claimed(folder, MARKER, recipe):
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
        images.append(image_entry(image_id, picture))
        write_picture(folder / f"{portion}2017" / images[-1]["file_name"], picture)
        for class_id, crowd, mask in instances:
            annotations.append(
                annotation_entry(len(annotations) + 1, image_id, class_id, crowd, mask)
            )
    write_json(
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
