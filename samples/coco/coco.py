"""Mask R-CNN on COCO: train it in three stages, measure it with COCO's own metrics.

    python samples/coco/coco.py train --dataset data/coco --model imagenet --download
    python samples/coco/coco.py train --dataset data/coco --model coco    # from published weights
    python samples/coco/coco.py train --dataset data/coco --model last    # go on
    python samples/coco/coco.py evaluate --dataset data/coco --model coco --limit 500

`STAGES` and `CocoConfig` hold the schedule, the learning rates and all other numbers.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import mrcnn.model as modellib
from mrcnn import utils
from mrcnn.config import Config
from mrcnn.data.augmentation import HorizontalFlip
from mrcnn.training.fit import run_schedule
from mrcnn.training.starting_weights import WORDS, load_starting_weights
from siamese_mrcnn.commands.common import positive
from siamese_mrcnn.data.coco_annotations import decode_mask, is_crowd, read_annotations
from siamese_mrcnn.data.image_places import places_of
from siamese_mrcnn.evaluation.plain_mask_rcnn import evaluate_plain
from siamese_mrcnn.evaluation.reports import to_markdown
from siamese_mrcnn.training.schedules import Phase

SOURCE = "coco"
CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
YEARS = ("2017", "2014")
# The validation images of 2014 are commonly divided: most of them are for training, too. Then both
# years train and evaluate on the same images.
TRAINING = {"2017": ("train",), "2014": ("train", "valminusminival")}
TEST = {"2017": "val", "2014": "minival"}
DIVIDED = ("minival", "valminusminival")
STAGES = (
    Phase(40, "heads", 0.001),
    Phase(120, "4+", 0.001),  # ResNet's stages 4 and 5, too
    Phase(160, "all", 0.0001),
)


class CocoConfig(Config):
    """The core's own numbers, which were chosen for COCO: a ResNet-101 of 81 classes."""

    NAME = "coco"
    NUM_CLASSES = 1 + 80
    IMAGES_PER_GPU = 2  # in 12 GB


class CocoDataset(utils.Dataset):
    """Images and instances of annotation files in COCO's format, beside which others may be added.

    Classes are numbered in the ascending order of COCO's ids, which have gaps.
    """

    def load_coco(
        self,
        dataset_dir,
        subset,
        year=YEARS[0],
        class_ids=None,
        return_coco=False,
        auto_download=False,
    ):
        """Add the images of one annotation file; to be followed by others, or by `prepare`.

        Args:
            dataset_dir: folder in COCO's own layout.
            subset: "train" or "val"; of 2014 also "minival" and "valminusminival".
            year: "2017" or "2014".
            class_ids: ids that COCO gives the categories to add, and with them the images that
                show one; None adds all categories and all images.
            return_coco: return the pycocotools object of the file.
            auto_download: fetch first what is missing, see `fetch`.

        Raises:
            FileNotFoundError: the annotation file or the folder of images is missing.
            siamese_mrcnn.data.coco_annotations.AnnotationError: the file is not of COCO's format.
            ValueError: there is no such category, or no such download.
        """
        folder = Path(dataset_dir)
        if auto_download:
            fetch(folder, (subset,), year)
        coco = read_annotations(_annotation_file(folder, subset, year))
        images = folder / f"{'val' if subset in DIVIDED else subset}{year}"
        if not images.is_dir():
            raise FileNotFoundError(
                f"There is no folder of images {images}. Unpack {images.name}.zip there, give "
                "another --dataset, or fetch COCO 2017 with --download."
            )
        for category_id in _chosen(coco, class_ids):
            self.add_class(SOURCE, category_id, coco.cats[category_id]["name"])
        shown = [coco.imgs[image_id] for image_id in _images_showing(coco, class_ids)]
        places = places_of([image["file_name"] for image in shown], images)
        for image in shown:
            self.add_image(
                SOURCE,
                image["id"],
                places[image["file_name"]],
                annotations=_annotations_of(coco, image["id"], class_ids),
                **{key: image[key] for key in ("file_name", "height", "width")},
            )
        return coco if return_coco else None

    def load_mask(self, image_id):
        """Instances of an image: bool [H, W, N] and class ids int32 [N], negative for crowds.

        Outlines that cover no pixel are left out.
        """
        info = self.image_info[image_id]
        if info["source"] != SOURCE:
            return super().load_mask(image_id)
        masks = [np.zeros((info["height"], info["width"], 0), bool)]
        class_ids = []
        for annotation in info["annotations"]:
            mask = decode_mask(annotation, info)
            if mask.any():
                class_id = self.map_source_class_id(f"{SOURCE}.{annotation['category_id']}")
                class_ids.append(-class_id if is_crowd(annotation) else class_id)
                masks.append(mask[..., None])
        return np.concatenate(masks, axis=-1), np.array(class_ids, np.int32)


def _annotation_file(folder, subset, year):
    path = folder / "annotations" / f"instances_{subset}{year}.json"
    if subset in DIVIDED and not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}. The division of COCO's validation images of 2014 was never "
            "published with COCO: find the file elsewhere, or use --year 2017, whose train and val "
            "are the same division of the same images."
        )
    return path


def _chosen(coco, class_ids):
    """Ascending ids of the categories to add."""
    known = coco.getCatIds()
    unknown = sorted(set(class_ids or ()) - set(known))
    if unknown:
        raise ValueError(
            f"class_ids holds {unknown[0]}, but the ids of the categories are {sorted(known)}."
        )
    return sorted(known if class_ids is None else class_ids)


def _annotations_of(coco, image_id, class_ids):
    found = coco.imgToAnns.get(image_id, [])
    return [each for each in found if class_ids is None or each["category_id"] in class_ids]


def _images_showing(coco, class_ids):
    return [
        image_id
        for image_id in sorted(coco.imgs)
        if class_ids is None or _annotations_of(coco, image_id, class_ids)
    ]


def fetch(folder, subsets, year):
    """Fetch images of some subsets and all annotations into a folder; what is there stays.

    Raises:
        ValueError: of this year nothing can be fetched.
        OSError: see `siamese_mrcnn.data.coco_download.download`.
    """
    if year != "2017":
        raise ValueError(
            f"Only COCO 2017 can be fetched, not {year}. Get train{year}.zip, val{year}.zip and "
            f"annotations_trainval{year}.zip from cocodataset.org and unpack them in {folder}, or "
            "use --year 2017, which has the same images."
        )
    from siamese_mrcnn.data.coco_download import download  # locks its folder as Windows cannot

    download(folder, ("annotations", *subsets))


def open_coco(folder, subsets, year=YEARS[0]):
    """Some subsets of one year as one prepared `CocoDataset`."""
    dataset = CocoDataset()
    for subset in subsets:
        dataset.load_coco(folder, subset, year)
    dataset.prepare()
    return dataset


def train(config, folder, logs, weights, year=YEARS[0]):
    """Train by `STAGES`; with "last", or another checkpoint, from where it stopped.

    Args:
        config: `CocoConfig`.
        folder: COCO's.
        logs: folder for checkpoints.
        weights: as of `mrcnn.training.starting_weights.load_starting_weights`.
        year: of the data.

    Returns:
        path of the latest checkpoint.
    """
    training = open_coco(folder, TRAINING[year], year)
    validation = open_coco(folder, (TEST[year],), year)
    if training.num_classes != config.NUM_CLASSES:
        raise ValueError(
            f"NUM_CLASSES is {config.NUM_CLASSES}, but {folder} has {training.num_classes} classes "
            "with the background. Change it in the configuration."
        )
    model = modellib.MaskRCNN(mode="training", config=config, model_dir=logs)
    load_starting_weights(model, weights, training, CHECKPOINTS)
    run_schedule(model, STAGES, training, validation, augmentation=HorizontalFlip(0.5))
    return model.find_last()


def evaluate(config, folder, logs, weights, year=YEARS[0], limit=None):
    """Measure boxes and masks with pycocotools, print and save the metrics.

    An interrupted evaluation goes on when it is called again.

    Args:
        config, folder, logs, weights, year: as of `train`.
        limit: look at so many images only; all by default.

    Returns:
        the report, as saved in report.json, see
        `siamese_mrcnn.evaluation.plain_mask_rcnn.evaluate_plain`.
    """
    dataset = CocoDataset()
    # With COCO's own annotations, whose areas are not those of the decoded masks.
    dataset.coco = dataset.load_coco(folder, TEST[year], year, return_coco=True)
    dataset.prepare()
    model = modellib.MaskRCNN(mode="inference", config=config, model_dir=logs)
    load_starting_weights(model, weights, folder=CHECKPOINTS)
    output = Path(logs) / f"evaluation_{config.NAME}_{TEST[year]}{year}"
    report = evaluate_plain(model, dataset, limit, output)
    print(to_markdown(report))
    print(f"Saved to {output / 'report.json'}")
    return report


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["train", "evaluate"])
    parser.add_argument("--dataset", required=True, metavar="DIR", help="folder of COCO")
    parser.add_argument("--model", required=True, metavar=WORDS, help="weights to begin with")
    parser.add_argument("--year", choices=YEARS, default=YEARS[0], help="(default: %(default)s)")
    parser.add_argument("--logs", default="logs", metavar="DIR", help="folder of checkpoints")
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="evaluate N images only (default: all)"
    )
    parser.add_argument("--download", action="store_true", help="fetch first what is missing")
    arguments = parser.parse_args(arguments)
    try:
        _run(arguments)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"coco.py: {error}")


def _run(arguments):
    is_training = arguments.command == "train"
    year, folder = arguments.year, Path(arguments.dataset)
    if arguments.download:
        fetch(folder, (*TRAINING[year], TEST[year]) if is_training else (TEST[year],), year)
    if is_training:
        print(f"Saved: {train(CocoConfig(), folder, arguments.logs, arguments.model, year)}")
    else:
        evaluate(CocoConfig(), folder, arguments.logs, arguments.model, year, arguments.limit)


if __name__ == "__main__":
    main()
