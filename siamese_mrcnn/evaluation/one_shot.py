"""One-shot evaluation as in the paper: ask for every category that an image shows.

For each image and each evaluated class in it, draw references, search, and call what is found by
that class; then COCO's metrics over all images (paper, section 5.2). Two profiles:

- "clean": references are fed as in training and never come from the image searched; all
  detections count, whatever their score.
- "official": as in the published results: references without the mean subtracted, possibly from
  the image searched, and only detections of a score of at least 0.7. Chance moves boxes without
  their masks.
"""

import contextlib
import functools
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from mrcnn.files import written_whole
from mrcnn.locks import alone_in
from siamese_mrcnn.evaluation.absent import (
    AbsentQueryLoader,
    near_classes,
    presence_report,
)
from siamese_mrcnn.evaluation.coco_metrics import coco_metrics, ground_truth
from siamese_mrcnn.evaluation.detect_queries import scattered, search_images
from siamese_mrcnn.evaluation.progress_log import EvaluationLog
from siamese_mrcnn.evaluation.queries import QueryLoader, read_record
from siamese_mrcnn.evaluation.reports import summarize_runs, write_report
from siamese_mrcnn.evaluation.sameness import require_things, things_asked_for
from siamese_mrcnn.fingerprints import fingerprint, model_fingerprint

# What differs between the profiles: two settings of the model (in capitals), where references come
# from, and whether the masks of the chance level move.
PROFILES = {
    "clean": {
        "SUBTRACT_MEAN_FROM_REFERENCE": True,
        "DETECTION_MIN_CONFIDENCE": 0.0,
        "same_image": False,
        "move_masks": True,
    },
    "official": {
        "SUBTRACT_MEAN_FROM_REFERENCE": False,
        "DETECTION_MIN_CONFIDENCE": 0.7,
        "same_image": True,
        "move_masks": False,
    },
}
MOST_REPEATS = 1000  # runs, and shots


class EvaluationError(ValueError):
    """An evaluation that cannot be done as asked."""


def evaluate(
    model,
    dataset,
    classes=None,
    runs=1,
    shots=1,
    profile="clean",
    limit=None,
    seed=0,
    output=None,
    references=None,
    random_boxes=False,
    workers=2,
    progress=True,
    split=None,
    absent=0,
    threshold=None,
    same=None,
):
    """Evaluate a model on all images of a data set.

    An evaluation into a folder can be interrupted: the same call goes on where it stopped.

    Args:
        model: `SiameseMaskRCNN` in inference mode.
        dataset: prepared data set, of queries and of references.
        classes: class ids to evaluate over; all by default.
        runs: how often to evaluate, each time with other references.
        shots: references a query.
        profile: "clean" or "official", see above.
        limit: look at the first `limit` images only.
        seed: of all draws; a draw depends on seed, run, image and class alone.
        output: folder for report.json, report.csv, report.md, the COCO results of each run and
            references.json, which records every reference; None writes nothing.
        references: a references.json to use again; its runs and shots replace the given ones.
        random_boxes: measure chance: move every detection to a random place first.
        workers: threads that load images and references.
        progress: show a progress bar with the time left.
        split: to record in the report: a number, "all", or the names of the novel classes.
        absent: categories to ask every image for that it does not show, beside those it does: for
            "presence" in the report and its files, see `siamese_mrcnn.evaluation.absent`.
        threshold: score from which on an answer counts there; None: where its precision is .9.
        same: "thing", "category" or None, see `siamese_mrcnn.evaluation.sameness`.

    Returns:
        the report: "bbox" and "segm" {metric: {"mean", "interval", "runs"}}, "classes" with AP by
        class, "images", "queries" of a run, "failures" {reason: count} and the arguments.

    Raises:
        EvaluationError: an argument makes no sense, or nothing could be evaluated.
        mrcnn.locks.InUseError: another evaluation writes into the folder.
    """
    loader, replayed = _loader(
        dataset, model, classes, runs, shots, profile, limit, seed, references, absent, same
    )
    arguments = {
        "profile": profile,
        "runs": loader.runs,
        "shots": loader.shots,
        "seed": seed,
        "limit": limit,
        "random_boxes": random_boxes,
        "replayed": replayed,
    } | {name: value for name, value in (("absent", absent), ("same", same)) if value}
    image_ids = [int(image_id) for image_id in dataset.image_ids[:limit]]
    change = _chance(loader, profile) if random_boxes else None
    with _settings(model.config, PROFILES[profile]), _folder(output) as folder:
        log = _log(model, loader, arguments, folder)
        search_images(model, loader, image_ids, log, change, workers, progress)
        report = _report(loader, image_ids, arguments, split, log, folder)
        if absent:
            truth = ground_truth(dataset, image_ids)
            categories = list(_class_names(loader))
            report["presence"] = presence_report(
                log, loader.runs, truth, categories, threshold, folder
            )
        return report


def _loader(dataset, model, classes, runs, shots, profile, limit, seed, references, absent, same):
    """A `QueryLoader`, once the arguments make sense, and a replayed record's fingerprint."""
    recorded = replayed = None
    if references is not None:
        record, recorded = read_record(references)
        runs, shots, replayed = record["runs"], record["shots"], fingerprint(record)
    classes = _check(dataset, classes, runs, shots, profile, limit, seed)
    if same is not None:
        require_things(dataset, classes, same)
    same_image = PROFILES[profile]["same_image"]
    asked = (dataset, classes, model.config, runs, shots, seed, same_image, recorded, same)
    if not absent:
        return QueryLoader(*asked), replayed
    near = near_classes(model, dataset, classes, seed)
    return AbsentQueryLoader(near, absent, *asked), replayed


def _chance(loader, profile):
    """What moves the detections of a query to random places."""
    return functools.partial(scattered, loader, PROFILES[profile]["move_masks"])


def _log(model, loader, arguments, folder):
    """The log of this very evaluation: other arguments, weights or images have another."""
    identity = [
        arguments,
        _class_names(loader),
        model_fingerprint(model),
        _identity_of_images(loader),
    ]
    return EvaluationLog(folder / f"progress-{fingerprint(identity)}.jsonl")


def _report(loader, image_ids, arguments, split, log, folder):
    """Make the report of what the log holds, and write all files."""
    report = {**arguments, "images": len(image_ids), **_count(log, loader.runs)}
    if split is not None:  # tells what was measured, changes nothing in it
        report["split"] = list(split) if isinstance(split, tuple | list) else str(split)
    report |= _measure(loader, image_ids, log, folder)
    _write_references(log, report, folder)
    write_report(report, folder)
    return report


def _class_names(loader):
    """{category_id: name} of the evaluated classes."""
    names = loader.dataset.class_names
    return {loader.source_classes[class_id]: names[class_id] for class_id in sorted(loader.classes)}


def _measure(loader, image_ids, log, folder):
    """Write the COCO results of each run, compute their metrics, and summarise them."""
    class_names = _class_names(loader)
    truth = ground_truth(loader.dataset, image_ids)
    source_images = [loader.source_images[image_id] for image_id in image_ids]
    metrics = []
    for run in range(loader.runs):
        results = _write_results(log, run, folder / f"results_run{run}.json", absent=False)
        if isinstance(loader, AbsentQueryLoader):
            _write_results(log, run, folder / f"absent_run{run}.json", absent=True)
        wanted = things_asked_for(truth, log, run, loader.same) if loader.same else truth
        metrics.append(coco_metrics(wanted, results, source_images, list(class_names)))
    return summarize_runs(metrics, class_names)


def _write_results(log, run, path, absent):
    """Write the COCO results of one run, of what images show or of what they do not."""
    results = [
        result
        for query in _queries(log)
        if query["run"] == run and bool(query.get("absent")) == absent
        for result in query.get("results", ())
    ]
    with written_whole(path) as file:
        json.dump(results, file)
    return results


def _count(log, runs):
    """Queries of each run, and failures of all runs by reason.

    Raises:
        EvaluationError: not a single query could be evaluated.
    """
    reasons = [query.get("failure") for query in _queries(log) if not query.get("absent")]
    failures = Counter(filter(None, reasons))
    if not reasons:
        raise EvaluationError(
            "None of the images shows any of the classes, so there is nothing to evaluate. Choose "
            "other classes or a higher limit."
        )
    if failures.total() == len(reasons):
        detail = next(query["detail"] for query in _queries(log))
        raise EvaluationError(f"Not a single query could be evaluated. The first: {detail}")
    return {"queries": len(reasons) // runs, "failures": dict(sorted(failures.items()))}


def _queries(log):
    return (query for image in log for query in image["queries"])


def _write_references(log, report, folder):
    """Record the references of every query, to be looked at or used again."""
    record = {name: report[name] for name in ("profile", "runs", "shots", "seed")}
    record["images"] = [
        {
            "image_id": image["image_id"],
            "queries": [
                {name: value for name, value in query.items() if name != "results"}
                for query in image["queries"]
            ],
        }
        for image in log
    ]
    with written_whole(folder / "references.json") as file:
        json.dump(record, file)


def _check(dataset, classes, runs, shots, profile, limit, seed):
    """The class ids to evaluate, ascending, once every argument makes sense."""
    if profile not in PROFILES:
        raise EvaluationError(f"The profile must be one of {list(PROFILES)}, but is {profile!r}.")
    for name, value, least in (("runs", runs, 1), ("shots", shots, 1), ("seed", seed, 0)):
        if not isinstance(value, int | np.integer) or value < least:
            raise EvaluationError(
                f"{name} must be a whole number of at least {least}, but is {value!r}."
            )
    for name, value in (("runs", runs), ("shots", shots)):
        if value > MOST_REPEATS:
            raise EvaluationError(
                f"{name} may be {MOST_REPEATS} at most, since all queries of an image are in "
                f"memory at once, but is {value}."
            )
    if limit is not None and limit < 1:
        raise EvaluationError(f"limit must be at least 1 image, or None for all, but is {limit}.")
    known = [int(class_id) for class_id in dataset.class_ids if class_id > 0]
    chosen = sorted({int(class_id) for class_id in classes}) if classes is not None else known
    unknown = [class_id for class_id in chosen if class_id not in known]
    if unknown or not chosen:
        raise EvaluationError(
            f"The classes must be some of the data set's ids {known[0]} to {known[-1]}, but are "
            f"{chosen}."
        )
    return chosen


@contextlib.contextmanager
def _settings(config, rules):
    """Change settings of the model for the time of the evaluation."""
    changed = {name: value for name, value in rules.items() if name.isupper()}
    before = {name: getattr(config, name) for name in changed}
    for name, value in changed.items():
        setattr(config, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(config, name, value)


@contextlib.contextmanager
def _folder(output):
    """The folder to write into, alone; a passing one if nothing shall stay."""
    if output is not None:
        with alone_in(output):
            yield Path(output)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _identity_of_images(loader):
    """What tells data sets apart: the images and the classes in each."""
    return [
        (source, [int(class_id) for class_id in loader.dataset.classes_in(image_id)])
        for image_id, source in enumerate(loader.source_images)
    ]
