"""Does the best find lie on what was asked for? The model beside untrained matching, and chance.

    siamese-mrcnn evaluate --data DATA --weights photos --split all --classes all --absent 1 \\
        --out OUT
    python experiments/photos/pointing.py --data DATA --evaluation OUT

Untrained matching is the cosine of each place of C4 with the mean of C4 over the reference, both
less the mean of C4 over the image: its highest place points, its value says whether the thing is
there, and the connected places above the middle between highest and mean are its one find. Chance
points anywhere.
"""

import argparse
import contextlib
import json
from pathlib import Path

import keras
import numpy as np
from scipy import ndimage

from mrcnn.drawing.tables import Table
from mrcnn.images.image import to_rgb
from mrcnn.images.run_lengths import encode_mask
from mrcnn.progress import track
from siamese_mrcnn.data.coco_annotations import decode_mask, is_crowd
from siamese_mrcnn.data.references import load_reference
from siamese_mrcnn.evaluation.coco_metrics import coco_metrics
from siamese_mrcnn.evaluation.presence import auroc
from siamese_mrcnn.model import SiameseMaskRCNN
from siamese_mrcnn.own_data.load import load_dataset

LARGE = 96  # square root of a thing's area in pixels
TABLE = "pointing.md"


class UntrainedMatching:
    """Cosines of C4 of an image with the mean of C4 of references."""

    def __init__(self, model):
        self.config = model.config
        network = model.network
        images = keras.Input((None, None, 3))
        self.maps = keras.Model(images, network.backbone_maps(images)[3])

    def cosines(self, image, pictures):
        """[height, width] at the size of an image uint8 [height, width, 3].

        Args:
            image: to search.
            pictures: prepared references.
        """
        height, width = image.shape[:2]
        scale = self.config.IMAGE_MAX_DIM / max(height, width)
        scaled = ndimage.zoom(image.astype(np.float32), (scale, scale, 1), order=1)
        places = self.maps.predict_on_batch(scaled[None])[0]
        usual = places.mean(axis=(0, 1))
        shown = np.mean([self._mean_of(picture) for picture in pictures], axis=0) - usual
        places = places - usual
        norms = np.linalg.norm(places, axis=2) * np.linalg.norm(shown)
        cosines = (places @ shown) / np.maximum(norms, 1e-9)
        zoomed = ndimage.zoom(cosines, np.array([height, width]) / cosines.shape, order=1)
        return zoomed[:height, :width]

    def _mean_of(self, picture):
        """Mean of C4 over what a prepared reference shows, without its black border."""
        maps = self.maps.predict_on_batch(picture[None].astype(np.float32))[0]
        shown = picture.any(axis=2)
        rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
        stride = len(picture) // len(maps)
        inside = maps[
            rows[0] // stride : rows[-1] // stride + 1,
            columns[0] // stride : columns[-1] // stride + 1,
        ]
        return inside.mean(axis=(0, 1))


def find_of(cosines, image_id, category_id):
    """The one find of a map of cosines, as a COCO result."""
    peak = np.unravel_index(np.argmax(cosines), cosines.shape)
    parts, _ = ndimage.label(cosines >= (cosines.max() + cosines.mean()) / 2)
    mask = parts == parts[peak]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return {
        "image_id": image_id,
        "category_id": category_id,
        "score": float(cosines.max()),
        "bbox": [
            *(int(columns[0]), int(rows[0])),
            *(int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1),
        ],
        "segmentation": encode_mask(mask),
        "peak": [int(place) for place in peak],
    }


def wanted(truth, image, category_id):
    """bool [height, width], where a category is; and the area of its largest instance."""
    own = [each for each in truth.imgToAnns[image["id"]] if each["category_id"] == category_id]
    mask = np.zeros((image["height"], image["width"]), bool)
    for each in own:
        mask |= decode_mask(each, image)
    return mask, max((each["area"] for each in own if not is_crowd(each)), default=0)


def best_of(results):
    """(row, column) of the middle of the best find, or None."""
    if not results:
        return None
    x, y, width, height = max(results, key=lambda each: each["score"])["bbox"]
    return y + height // 2, x + width // 2


def measure(dataset, folder, matching):
    """What both say of each question.

    Returns:
        float [asked, 4] (the model's best find is right, the untrained one is, share of the image
        that would be, whether there is a large thing); float [questions, 2] (whether it is there,
        highest cosine); finds of untrained matching as COCO results.
    """
    truth = dataset.coco
    record = json.loads((folder / "references.json").read_text())
    results = json.loads((folder / "results_run0.json").read_text())
    by_query = {}
    for each in results:
        by_query.setdefault((each["image_id"], each["category_id"]), []).append(each)
    number_of = {info["id"]: number for number, info in enumerate(dataset.image_info)}
    rows, peaks, finds = [], [], []
    for entry in track(record["images"], "Pointing", "images"):
        image = truth.imgs[entry["image_id"]]
        picture = to_rgb(dataset.load_image(number_of[image["id"]]))
        for query in entry["queries"]:
            if query["run"] or "references" not in query:
                continue
            pictures = [
                load_reference(
                    dataset, number_of[each["image_id"]], each["annotation_id"], matching.config
                ).picture
                for each in query["references"]
            ]
            find = find_of(matching.cosines(picture, pictures), image["id"], query["category_id"])
            peaks.append((not query.get("absent", False), find["score"]))
            if query.get("absent"):
                continue
            finds.append(find)
            mask, area = wanted(truth, image, query["category_id"])
            best = best_of(by_query.get((image["id"], query["category_id"]), []))
            hit = best is not None and bool(mask[best])
            rows.append((hit, bool(mask[tuple(find["peak"])]), mask.mean(), area > LARGE**2))
    return np.array(rows, float), np.array(peaks, float), finds


def table_of(rows, peaks, finds, dataset, folder):
    """The `Table`: model, untrained matching, chance."""
    report = json.loads((folder / "report.json").read_text())
    with contextlib.suppress(FileNotFoundError):  # of an evaluation without --absent
        report["presence"] = json.loads((folder / "presence.json").read_text())
    categories = sorted({find["category_id"] for find in finds})
    images = sorted({find["image_id"] for find in finds})
    plain = coco_metrics(dataset.coco, finds, images, categories)
    large = rows[:, 3] > 0

    def shares(column):
        return [f"{100 * each.mean():.1f}" for each in (rows[:, column], rows[large, column])]

    kinds = ("bbox", "segm")
    presence = report.get("presence", {}).get("auroc", {}).get("mean")
    lines = [
        [
            "the model",
            *(f"{100 * report[kind]['AP50']['mean']:.1f}" for kind in kinds),
            "-" if presence is None else f"{presence:.3f}",
            *shares(0),
        ],
        [
            "untrained matching",
            *(f"{100 * plain[kind]['metrics']['AP50']:.1f}" for kind in kinds),
            f"{auroc(peaks[:, 0] > 0, peaks[:, 1]):.3f}",
            *shares(1),
        ],
        ["chance", "", "", ".500", *shares(2)],
    ]
    head = ["", "boxes AP50", "masks AP50", "AUROC", "best find on it, %", "of large things, %"]
    return Table(head, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--evaluation", type=Path, required=True, help="what `evaluate` wrote")
    parser.add_argument("--weights", default="photos")
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.data, portion="test")
    matching = UntrainedMatching(SiameseMaskRCNN.from_preset(arguments.weights))
    table = table_of(
        *measure(dataset, arguments.evaluation, matching), dataset, arguments.evaluation
    )
    (arguments.evaluation / TABLE).write_text(table.to_markdown())
    print(table)


if __name__ == "__main__":
    main()
