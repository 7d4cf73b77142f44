"""What an evaluation found for each of its queries, and which of it was right.

Read from the folder that `evaluate(..., output=folder)` wrote: references.json tells the queries,
results_run0.json and so on what was found.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as run_length

from mrcnn.images.masks import boxes_of_masks
from mrcnn.progress import track
from siamese_mrcnn.evaluation.coco_metrics import IOU_TYPES, ground_truth, source_ids
from siamese_mrcnn.evaluation.queries import read_record

TRUE_POSITIVE, FALSE_POSITIVE, IGNORED = "true positive", "false positive", "ignored"
LEAST_IOU = 0.5
WAYS = ("first", "by_class", "best", "worst", "random", "absent")


class JudgedQueriesError(ValueError):
    """Results that cannot be read, belong to another data set, or cannot be judged as asked."""


@dataclass(frozen=True)
class Judged:
    """The results of a query and what each of them is.

    IGNORED are those that lie on a crowd: they count neither way, as in COCO's metrics.
    """

    results: tuple  # COCO results, the best score first
    outcomes: tuple  # TRUE_POSITIVE, FALSE_POSITIVE or IGNORED for each
    missed: tuple  # COCO annotations of instances that nothing found

    @property
    def matched_score(self):
        """The highest score of a true positive, 0 without any."""
        return max((r["score"] for r in self._with(TRUE_POSITIVE)), default=0.0)

    @property
    def mistaken_score(self):
        """The highest score of a false positive, 0 without any."""
        return max((r["score"] for r in self._with(FALSE_POSITIVE)), default=0.0)

    def _with(self, outcome):
        pairs = zip(self.results, self.outcomes, strict=True)
        return [result for result, its_outcome in pairs if its_outcome == outcome]


@dataclass(frozen=True)
class JudgedQuery:
    """One query of an evaluation: the image searched, for which class, by what, with what result.

    image_id and class_id are the data set's own; references are (image id, annotation id).
    """

    dataset: Any = field(repr=False)
    run: int
    image_id: int
    class_id: int
    references: tuple
    results: tuple = field(repr=False)  # COCO results, the best score first
    is_absent: bool = False  # whether the image does not show what was asked for

    @property
    def name(self):
        """The name of the class that was asked for."""
        return self.dataset.class_names[self.class_id]

    def image(self):
        """The image searched, uint8 [height, width, 3]."""
        return self.dataset.load_image(self.image_id)

    def reference_pictures(self):
        """The references, cut out of their images at full resolution: uint8 [h, w, 3] each."""
        return [self._crop(*reference) for reference in self.references]

    def judge(self, kind="segm", min_score=0.0):
        """Match results with instances of the class, the best score first, at an IoU of 0.5.

        Each result takes the instance that it overlaps most of those not taken yet.

        Args:
            kind: "segm" compares masks, "bbox" boxes.
            min_score: results below are left out.

        Raises:
            JudgedQueriesError: there is no such kind, or the results have no masks.
        """
        results = [result for result in self.results if result["score"] >= min_score]
        self._check_kind(kind, results)
        truth = self._truth()
        shapes = [result[_field(kind)] for result in results]
        true_shapes = [instance[_field(kind)] for instance in truth]
        crowds = [instance["iscrowd"] for instance in truth]
        outcomes, taken = match(shapes, true_shapes, crowds)
        missed = [
            instance
            for number, instance in enumerate(truth)
            if number not in taken and not instance["iscrowd"]
        ]
        return Judged(tuple(results), tuple(outcomes), tuple(missed))

    def _truth(self):
        """COCO annotations of the class in the image, each mask as a run-length code."""
        truth = ground_truth(self.dataset, [self.image_id])
        ids = truth.getAnnIds(
            imgIds=[self.dataset.image_info[self.image_id]["id"]],
            catIds=[self.dataset.class_info[self.class_id]["id"]],
        )
        return [each | {"segmentation": truth.annToRLE(each)} for each in truth.loadAnns(ids)]

    def _crop(self, image_id, annotation_id):
        mask = self.dataset.load_instance(image_id, annotation_id)
        ((y1, x1, y2, x2),) = boxes_of_masks(mask[:, :, None])
        return self.dataset.load_image(image_id)[y1:y2, x1:x2]

    def _check_kind(self, kind, results):
        if kind not in IOU_TYPES:
            raise JudgedQueriesError(f'Results are judged by "segm" or "bbox", not by {kind!r}.')
        if any(_field(kind) not in result for result in results):
            raise JudgedQueriesError(
                "These results have boxes and no masks, so they can only be judged by boxes. Give "
                'kind="bbox".'
            )


def load_judged_queries(folder, dataset, run=0):
    """Read all queries of one run of an evaluation; those that failed are left out.

    Args:
        folder: what `evaluate(..., output=folder)` wrote.
        dataset: the prepared data set that was evaluated.
        run: number of the run, from 0.

    Returns:
        list of `JudgedQuery`, in the order of the images' ids.

    Raises:
        OSError: a file is missing or cannot be read.
        JudgedQueriesError: the files are damaged, or of another data set.
    """
    folder = Path(folder)
    record, entries = read_record(folder / "references.json")
    if not 0 <= run < record["runs"]:
        raise JudgedQueriesError(f"{folder} has the runs 0 to {record['runs'] - 1}, but not {run}.")
    results = _read_results(folder / f"results_run{run}.json")
    if any(entry.get("absent") for entry in entries.values()):
        results |= _read_results(folder / f"absent_run{run}.json")
    image_of = {source: i for i, source in enumerate(source_ids(dataset.image_info, "image"))}
    categories = source_ids(dataset.class_info[1:], "class")
    class_of = {category: number + 1 for number, category in enumerate(categories)}
    try:
        return [
            JudgedQuery(
                dataset=dataset,
                run=run,
                image_id=image_of[image],
                class_id=class_of[category],
                references=tuple(
                    (image_of[each["image_id"]], each["annotation_id"])
                    for each in entry["references"]
                ),
                results=tuple(results.get((image, category), ())),
                is_absent=bool(entry.get("absent")),
            )
            for (its_run, image, category), entry in entries.items()
            if its_run == run and "failure" not in entry
        ]
    except KeyError as error:
        raise JudgedQueriesError(
            f"{folder} was evaluated on another data set: this one has no image or class of the "
            f"id {error}. Open the data set that the evaluation used."
        ) from error


def choose_queries(
    queries, how="first", count=12, classes=None, kind="segm", seed=0, distinct_images=True
):
    """Choose queries to show.

    Args:
        queries: list of `JudgedQuery`.
        how: "first"; "by_class", the classes in turn; "best" or "worst", by the highest score of
            a true positive, and among equals by that of a false positive; "random"; "absent",
            those for what an image does not show, the classes in turn, and no others.
        count: how many at most.
        classes: names or ids of the classes to choose from; None takes all.
        kind: what "best" and "worst" are judged by, see `JudgedQuery.judge`.
        seed: of "random".
        distinct_images: show no image twice.

    Raises:
        JudgedQueriesError: there is no such way to choose, or nothing to choose from.
    """
    if how not in WAYS:
        raise JudgedQueriesError(f"Queries are chosen by one of {', '.join(WAYS)}, not by {how!r}.")
    wanted = how == "absent"
    queries = [each for each in queries if _is_of(each, classes) and each.is_absent == wanted]
    if not queries or count < 1:
        raise JudgedQueriesError(
            f"There is nothing to choose from: {len(queries)} queries ask for the given classes, "
            f"and {count} are to be shown."
        )
    ordered, images, chosen = _order(queries, how, kind, seed), set(), []
    for query in ordered:
        if len(chosen) < count and not (distinct_images and query.image_id in images):
            images.add(query.image_id)
            chosen.append(query)
    return chosen


def match(shapes, true_shapes, crowds):
    """Match results, the best first, with instances at an IoU of at least 0.5.

    Args:
        shapes, true_shapes: run-length codes, or boxes [x, y, width, height].
        crowds: for each true shape whether it is a crowd; results on it are ignored.

    Returns:
        [TRUE_POSITIVE, FALSE_POSITIVE or IGNORED for each result], {numbers of the instances
        found}.
    """
    outcomes, taken = [], set()
    if not shapes or not true_shapes:
        return [FALSE_POSITIVE] * len(shapes), taken
    # On a crowd pycocotools divides by the result's own area.
    for overlaps in run_length.iou(shapes, true_shapes, [int(each) for each in crowds]):
        free = [number for number, crowd in enumerate(crowds) if not crowd and number not in taken]
        best = max(free, key=lambda number: overlaps[number], default=None)
        if best is not None and overlaps[best] >= LEAST_IOU:
            taken.add(best)
            outcomes.append(TRUE_POSITIVE)
        else:
            on_crowd = any(overlaps[np.asarray(crowds, bool)] >= LEAST_IOU)
            outcomes.append(IGNORED if on_crowd else FALSE_POSITIVE)
    return outcomes, taken


def _order(queries, how, kind, seed):
    if how == "random":
        order = np.random.default_rng(seed).permutation(len(queries))
        return [queries[number] for number in order]
    if how in ("by_class", "absent"):
        turns = defaultdict(int)  # a class's first query comes before any class's second
        keys = []
        for query in queries:
            keys.append((turns[query.class_id], query.class_id))
            turns[query.class_id] += 1
        return [queries[number] for number in sorted(range(len(keys)), key=keys.__getitem__)]
    if how in ("best", "worst"):
        judged = [each.judge(kind) for each in track(queries, "Judging", "queries")]
        keys = [(each.matched_score, -each.mistaken_score) for each in judged]
        order = sorted(range(len(keys)), key=keys.__getitem__, reverse=how == "best")
        return [queries[number] for number in order]
    return queries


def _is_of(query, classes):
    return classes is None or query.name in classes or query.class_id in classes


def _field(kind):
    return "segmentation" if kind == "segm" else "bbox"


def _read_results(path):
    """{(source image id, category id): COCO results, the best score first}."""
    try:
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
        found = defaultdict(list)
        for result in sorted(results, key=lambda result: -result["score"]):
            found[result["image_id"], result["category_id"]].append(result)
    except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise JudgedQueriesError(
            f"{path} holds no COCO results. Give the folder that an evaluation wrote."
        ) from error
    return found
