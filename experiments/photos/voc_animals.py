"""Masks of single instances, as PNG, to a COCO file that import-data reads.

    python experiments/photos/voc_animals.py PHOTOS/voc_animals voc_animals.json

The folder holds images/NAME.jpg, instances/NAME.png, whose values are the numbers of instances, and
instances.json: {NAME: [{"id": number, "category": name}, ...]}.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from siamese_mrcnn.data.coco_writer import annotation_entry

# What VOC calls otherwise than COCO.
COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
LEAST = 64  # pixels of an instance


def coco_content(folder):
    """What the folder holds, as a COCO file has it; images' names are whole paths."""
    folder = Path(folder).resolve()
    listed = json.loads((folder / "instances.json").read_text())
    images, annotations, numbers = [], [], {}
    for name, instances in track(sorted(listed.items()), "Reading masks"):
        values = np.asarray(Image.open(folder / "instances" / f"{name}.png"))
        image = {"id": len(images) + 1, "file_name": f"{name}.jpg"}
        images.append(image | dict(zip(("height", "width"), values.shape, strict=True)))
        for instance in instances:
            mask = values == instance["id"]
            if np.count_nonzero(mask) < LEAST:
                continue
            category = COCO_NAMES.get(instance["category"], instance["category"])
            number = numbers.setdefault(category, len(numbers) + 1)
            annotations.append(
                annotation_entry(len(annotations) + 1, image["id"], number, False, mask)
            )
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, help="best in the folder itself, beside images/")
    arguments = parser.parse_args()
    arguments.out.write_text(json.dumps(coco_content(arguments.folder)))


if __name__ == "__main__":
    main()
