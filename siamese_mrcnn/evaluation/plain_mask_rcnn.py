"""The plain Mask R-CNN, trained on all classes: what one-shot search is compared with.

It finds instances of its own classes without a reference, so that COCO's own evaluation applies:
every image is asked once, and every detection keeps the class that it was given.
"""

import functools
from collections import Counter
from itertools import starmap
from pathlib import Path

import numpy as np

import mrcnn.config
from mrcnn.data.prefetch import ahead
from mrcnn.locks import alone_in
from mrcnn.progress import track
from siamese_mrcnn.evaluation.coco_metrics import (
    coco_metrics,
    encode_detections,
    ground_truth,
    source_ids,
)
from siamese_mrcnn.evaluation.progress_log import EvaluationLog
from siamese_mrcnn.evaluation.queries import failure_of
from siamese_mrcnn.evaluation.reports import summarize_runs, write_report
from siamese_mrcnn.fingerprints import file_fingerprint, fingerprint

PROFILE = "coco"  # how reports call this evaluation, beside the profiles of one-shot search
MIN_CONFIDENCE = 0.0  # COCO's AP wants all detections


class BaselineError(ValueError):
    """A model or a data set that the plain evaluation cannot use."""


def plain_config(config, num_classes):
    """The settings of a plain Mask R-CNN of the same sizes, loss weights and optimiser.

    Args:
        config: `siamese_mrcnn.config.Config`; what it shares with the core is taken over.
        num_classes: of the data set, background included.
    """
    shared = {name: value for name, value in config.items() if hasattr(mrcnn.config.Config, name)}
    settings = shared | {"NUM_CLASSES": int(num_classes)}
    return type("PlainConfig", (mrcnn.config.Config,), settings)()


def evaluate_plain(model, dataset, limit=None, output="evaluation", workers=2, progress=True):
    """Evaluate a plain Mask R-CNN on all classes of a data set with COCO's metrics.

    An evaluation can be interrupted: the same call goes on where it stopped.

    Args:
        model: `mrcnn.model.MaskRCNN` in inference mode whose weights were loaded from a file.
        dataset: prepared data set with the classes that the model was trained on.
        limit: look at the first `limit` images only.
        output: folder for report.json, report.csv, report.md.
        workers: threads that load images.
        progress: show a progress bar with the time left.

    Returns:
        a report as of `siamese_mrcnn.evaluation.evaluate`: one run, no shots, a query an image.

    Raises:
        BaselineError: model and data set do not go together.
        mrcnn.locks.InUseError: another evaluation writes into the folder.
    """
    _check(model, dataset, limit)
    image_ids = [int(image_id) for image_id in dataset.image_ids[:limit]]
    categories = source_ids(dataset.class_info[1:], "class")
    sources = [source_ids(dataset.image_info, "image")[image_id] for image_id in image_ids]
    before = model.config.DETECTION_MIN_CONFIDENCE
    model.config.DETECTION_MIN_CONFIDENCE = MIN_CONFIDENCE
    images = list(zip(image_ids, sources, strict=True))
    try:
        with alone_in(output):
            log = EvaluationLog(_log_path(model, sources, output))
            _search(model, dataset, images, log, workers, progress)
    finally:
        model.config.DETECTION_MIN_CONFIDENCE = before
    results = [result for image in log for result in image["results"]]
    metrics = coco_metrics(ground_truth(dataset, image_ids), results, sources, categories)
    report = {"profile": PROFILE, "runs": 1, "shots": 0, "seed": None, "limit": limit}
    report |= {"random_boxes": False, "images": len(image_ids), "queries": len(image_ids)}
    failed = [image for image in log if "failure" in image]
    if len(failed) == len(image_ids):
        raise BaselineError(f"Not a single image could be read. The first: {failed[0]['detail']}")
    report |= {"failures": dict(Counter(image["failure"] for image in failed))}
    report |= summarize_runs([metrics], dict(zip(categories, dataset.class_names[1:], strict=True)))
    write_report(report, output)
    return report


def _search(model, dataset, images, log, workers, progress):
    """Detect in the images that the log does not have yet, and append each one to it."""
    categories = [None, *source_ids(dataset.class_info[1:], "class")]
    left = [(image_id, source) for image_id, source in images if source not in log.done]
    load = functools.partial(_load, dataset)
    pictures = ahead(load, [image_id for image_id, _ in left], workers)
    loaded = zip(left, pictures, strict=True)
    for (_, source), (picture, failure) in track(
        loaded, "Evaluating", "images", len(left), progress
    ):
        results = []
        if not failure:
            (found,) = model.detect([picture])
            results = _encode(found, source, categories)
        log.append(source, {"results": results, **failure})


def _load(dataset, image_id):
    """(image, {}), or (None, {"failure": why, "detail": a sentence})."""
    try:
        return dataset.load_image(image_id), {}
    except Exception as error:  # noqa: BLE001 - whatever a user's load_image() raises
        return None, failure_of(dataset, image_id, error)


def _encode(found, source, categories):
    """COCO results of one image, class by class."""
    parts = [
        (_of_class(found, class_id), source, categories[class_id])
        for class_id in np.unique(found["class_ids"]).tolist()
    ]
    return [result for part in starmap(encode_detections, parts) for result in part]


def _of_class(found, class_id):
    chosen = np.flatnonzero(found["class_ids"] == class_id)
    masks = found["masks"]
    return {
        "rois": found["rois"][chosen],
        "scores": found["scores"][chosen],
        "masks": None if masks is None else masks[..., chosen],
    }


def _log_path(model, sources, output):
    """The progress file of this evaluation: other weights, settings or images have another."""
    weights = file_fingerprint(model.checkpoint)
    identity = fingerprint([PROFILE, repr(model.config.items()), weights, sources])
    return Path(output) / f"progress-{identity}.jsonl"


def _check(model, dataset, limit):
    if model.config.NUM_CLASSES != dataset.num_classes:
        raise BaselineError(
            f"The data set has {dataset.num_classes} classes with the background, so it needs a "
            f"MaskRCNN with NUM_CLASSES = {dataset.num_classes}, but the model has "
            f"{model.config.NUM_CLASSES}."
        )
    if model.checkpoint is None:
        raise BaselineError(
            "The model's weights were not loaded from a file, so there is nothing to evaluate. "
            "Call load_weights first."
        )
    if limit is not None and limit < 1:
        raise BaselineError(f"limit must be at least 1 image, or None for all, but is {limit}.")
