"""Detections as COCO results, and the COCO metrics of such results.

A result is a dictionary {image_id, category_id, bbox [x, y, width, height], score, segmentation}
with the ids of the data set's source and the mask as a compressed run-length code.
"""

import contextlib
import copy
import io
import json

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mrcnn.data.dataset import checked_instances
from mrcnn.data.exports import coco_results
from mrcnn.data.postprocessing import Detections
from mrcnn.images.run_lengths import encode_mask as encode_mask  # users code results by it
from siamese_mrcnn.data.coco_annotations import Annotations, decode_mask
from siamese_mrcnn.data.coco_writer import annotation_entry

METRICS = (
    "AP",
    "AP50",
    "AP75",
    "AP_small",
    "AP_medium",
    "AP_large",
    "AR1",
    "AR10",
    "AR100",
    "AR_small",
    "AR_medium",
    "AR_large",
)
IOU_TYPES = ("bbox", "segm")


def encode_detections(detections, image_id, category_id):
    """Code what was found in one image as COCO results of one category.

    Args:
        detections: `rois` [N, (y1, x1, y2, x2)] pixels, `scores` [N] and, unless the model knows
            boxes only, `masks` [height, width, N] bool.
        image_id, category_id: the ids of the data set's source.
    """
    return coco_results(detections, image_id, [category_id] * len(detections["rois"]))


def decode_results(results):
    """COCO results of one query as `Detections`; masks None if they are of boxes only."""
    count = len(results)
    corners = np.array([each["bbox"] for each in results], np.int32).reshape(count, 4)
    x, y, width, height = corners.T
    masks = None
    if results and all("segmentation" in each for each in results):
        size = dict(zip(("height", "width"), results[0]["segmentation"]["size"], strict=True))
        masks = np.stack([decode_mask(each, size) for each in results], axis=-1)
    return Detections(
        rois=np.stack([y, x, y + height, x + width], axis=1),
        class_ids=np.ones(count, np.int32),
        scores=np.array([each["score"] for each in results], np.float32),
        masks=masks,
    )


def source_ids(infos, name):
    """The ids that the source of a data set gives its images or classes, as COCO wants them.

    Raises:
        ValueError: an id is not a whole number, or two are equal.
    """
    ids = [info["id"] for info in infos]
    wrong = [i for i in ids if isinstance(i, bool) or not isinstance(i, int | np.integer)]
    if wrong:
        raise ValueError(
            f"COCO results need whole numbers as ids, but the data set has the {name} id "
            f"{wrong[0]!r}. Give it a number when adding it to the data set."
        )
    if len(set(ids)) != len(ids):
        raise ValueError(
            f"COCO results need another id for each {name}, but two entries of the data set share "
            "one. Evaluate one source at a time."
        )
    return [int(i) for i in ids]


def ground_truth(dataset, image_ids):
    """The annotations of some images as a pycocotools COCO object, crowds included.

    The object of a data set that was read from COCO is used as it is (attribute `coco`); for any
    other the masks are coded.
    """
    coco = getattr(dataset, "coco", None)
    if coco is not None:
        # pycocotools trusts what it is given, and ends the process where that is damaged.
        checked = isinstance(coco, Annotations)
        return coco if checked else Annotations(copy.deepcopy(coco.dataset), "The data set's coco")
    source_images = source_ids(dataset.image_info, "image")
    source_classes = [None, *source_ids(dataset.class_info[1:], "class")]
    images, annotations = [], []
    for image_id in image_ids:
        masks, class_ids = checked_instances(*dataset.load_mask(image_id))
        images.append({"id": source_images[image_id]} | _size(masks))
        for index, class_id in enumerate(class_ids.tolist()):
            category, number = source_classes[abs(class_id)], len(annotations) + 1
            mask = masks[:, :, index]
            entry = annotation_entry(number, images[-1]["id"], category, class_id < 0, mask)
            annotations.append(entry)
    categories = [
        {"id": source, "name": info["name"]}
        for source, info in zip(source_classes[1:], dataset.class_info[1:], strict=True)
    ]
    return _coco({"images": images, "annotations": annotations, "categories": categories})


def coco_metrics(truth, results, image_ids, category_ids):
    """Compute COCO's twelve metrics with pycocotools, for boxes and for masks.

    As in pycocotools' own reading of such a file, the area by which detections count as small,
    medium or large is that of the box, for masks too.

    Args:
        truth: pycocotools COCO object.
        results: list of COCO results, or the path of a JSON file of them.
        image_ids, category_ids: what to evaluate over, ids of the source.

    Returns:
        {"bbox": {"metrics": {name: value}, "AP_by_category": {category_id: value}}, "segm": ...},
        values in 0..1, or -1 where there is nothing to find. No "segm" without masks.
    """
    if not isinstance(results, list):
        with open(results, encoding="utf-8") as file:
            results = json.load(file)
    truth = _selected(truth, set(image_ids))
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it works
        found = truth.loadRes([dict(each) for each in results]) if results else _no_results(truth)
        has_masks = all("segmentation" in result for result in results)
        kinds = IOU_TYPES if has_masks else IOU_TYPES[:1]
        return {kind: _evaluate(truth, found, kind, image_ids, category_ids) for kind in kinds}


def _evaluate(truth, found, kind, image_ids, category_ids):
    evaluation = COCOeval(truth, found, kind)
    evaluation.params.imgIds = sorted(image_ids)
    evaluation.params.catIds = sorted(category_ids)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    # precision: [IoU threshold, recall, category, area range, detections per image]
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    by_category = {
        category_id: float(values[values > -1].mean()) if (values > -1).any() else -1.0
        for category_id, values in zip(
            evaluation.params.catIds, precision.transpose(2, 0, 1), strict=True
        )
    }
    return {
        "metrics": dict(zip(METRICS, map(float, evaluation.stats), strict=True)),
        "AP_by_category": by_category,
    }


def _selected(truth, image_ids):
    """The truth of some images, copied as far as pycocotools changes it in evaluating.

    Its annotations are numbered from 1: pycocotools takes a match with number 0 for none.
    """
    chosen = (each for each in truth.dataset["annotations"] if each["image_id"] in image_ids)
    return _coco(
        {
            "images": [image for image in truth.dataset["images"] if image["id"] in image_ids],
            "annotations": [each | {"id": number} for number, each in enumerate(chosen, start=1)],
            "categories": truth.dataset["categories"],
        }
    )


def _no_results(truth):
    """What loadRes should give for an empty list, which it refuses."""
    parts = {name: truth.dataset[name] for name in ("images", "categories")}
    return _coco(parts | {"annotations": []})


def _coco(content):
    coco = COCO()
    coco.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _size(masks):
    return {"height": int(masks.shape[0]), "width": int(masks.shape[1])}
