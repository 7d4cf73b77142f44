"""Questions for what an image does not show, and how well a model tells that it is not there.

Every image is asked for the evaluated categories that it shows, as ever, and for some that it does
not: half of them hard, near one that it shows. Crowds count as shown. Average precision knows
nothing of these questions.
"""

import csv
import json
from pathlib import Path

import numpy as np
from pycocotools import mask as run_lengths

from mrcnn.drawing.tables import Table
from mrcnn.files import written_whole
from siamese_mrcnn.data.near_categories import EXAMPLES, nearest
from siamese_mrcnn.data.references import NoReferenceError, sample_reference
from siamese_mrcnn.evaluation.coco_metrics import coco_metrics, ground_truth
from siamese_mrcnn.evaluation.presence import Answers, presence_numbers
from siamese_mrcnn.evaluation.queries import QueryLoader
from siamese_mrcnn.evaluation.reference_cache import ReferenceVectors
from siamese_mrcnn.evaluation.reports import summarize
from siamese_mrcnn.modeling.matching import LEVELS

ABSENT, NEAR = 2, 3  # keep these random numbers apart from those of references and of chance
RIGHT_IOU = 0.5
NAME = "presence"  # of the files
ROWS = {  # number: what it says
    "auroc": "is it there? AUROC of the best score",
    "fpr_at_95_recall": "false-positive rate at 95 % recall",
    "false_alarms": "images without it, answered at the threshold",
    "found": "images with it, a right answer at the threshold",
    "image_mcc": "image-level MCC at the threshold",
    "image_f1": "image-level F1 at the threshold",
    "instance_f1": "micro F1 of instances where it is there",
    "cgf1": "cgF1 = F1 of instances x MCC",
    "count_error": "mean absolute error of the count",
    "retrieval_map": "which photos first? retrieval mAP",
    "precision_at_10": "precision at 10",
    "calibration_error": "expected calibration error of the scores",
    "precision": "precision of detections at the threshold",
    "wrong_ap50": "AP50 of boxes with references of wrong categories, at the threshold",
    "wrong_ap50_all": "the same, whatever the score",
    "threshold": "the threshold",
}


class AbsentQueryLoader(QueryLoader):
    """Asks every image for the classes that it shows and for `absent` others.

    Args:
        near: {class id: others, nearest first}.
        absent: classes to ask for that an image does not show, or as many as there are.
        arguments, keywords: as of `QueryLoader`.
    """

    def __init__(self, near, absent, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self._near, self.absent = near, absent
        image_ids = [int(image_id) for image_id in self.dataset.image_ids]
        self._truth = ground_truth(self.dataset, image_ids)

    def classes_in(self, image_id):
        shown = super().classes_in(image_id)
        return shown + self._absent_of(image_id, shown)

    def record(self, query):
        shown = QueryLoader.classes_in(self, query.image_id)
        return super().record(query) | ({} if query.class_id in shown else {"absent": True})

    def boxes_of(self, truth, query):
        """True boxes [x, y, width, height] of what a query asks for."""
        return _true_boxes(truth, query.source_image_id).get(query.category_id, [])

    def _absent_of(self, image_id, shown):
        """Classes that an image does not show, the hard ones first."""
        source = self.source_images[image_id]
        held = {each["category_id"] for each in self._truth.imgToAnns[source]}
        others = sorted(c for c in self.classes if self.source_classes[c] not in held)
        rng = np.random.default_rng([self.seed, source, ABSENT])
        others = [others[place] for place in rng.permutation(len(others))]
        ranks = {}  # of the absent ones, by the class shown that each is nearest to
        for near in (self._near.get(each, ()) for each in shown):
            for rank, class_id in enumerate(near):
                ranks[class_id] = min(rank, ranks.get(class_id, rank))
        near = sorted(set(others) & set(ranks), key=lambda each: (ranks[each], each))
        near = near[: self.absent // 2]
        return near + [each for each in others if each not in near][: self.absent - len(near)]


def near_classes(model, dataset, classes, seed):
    """For each class the others, nearest first, by the mean vectors of a few references."""
    references = {}
    for class_id in sorted(classes):
        rng = np.random.default_rng([seed, class_id, NEAR])
        try:
            references[class_id] = [
                sample_reference(dataset, class_id, model.config, rng) for _ in range(EXAMPLES)
            ]
        except NoReferenceError:
            continue  # asking for it will say so
    if not references:
        return {}
    levels = ReferenceVectors(model).of(list(references.values()))[: len(LEVELS)]
    return nearest(
        {class_id: [each[row] for each in levels] for row, class_id in enumerate(references)}
    )


def presence_report(log, runs, truth, categories, threshold, folder):
    """The numbers of all runs, written as presence.json, .csv and .md.

    Args:
        log: `EvaluationLog` of an `AbsentQueryLoader`.
        runs: their number.
        truth: pycocotools COCO object of the images.
        categories: ids of those that were asked for.
        threshold: score from which on an answer counts; None: where its precision is .9.
        folder: to write into.

    Returns:
        {number: {"mean", "interval", "runs"}} of `ROWS`, "questions" and "absent" of a run.
    """
    answers = [answers_of(log, run, truth) for run in range(runs)]
    numbers = [presence_numbers(each, threshold) for each in answers]
    for run, each in enumerate(numbers):
        least = each["threshold"]
        each["wrong_ap50"] = ap50_of_wrong_references(log, run, truth, categories, least)
        each["wrong_ap50_all"] = ap50_of_wrong_references(log, run, truth, categories)
    report = {name: summarize_numbers([each[name] for each in numbers]) for name in ROWS}
    report |= {
        "questions": len(answers[0].present),
        "absent": int(np.count_nonzero(~answers[0].present)),
    }
    folder = Path(folder)
    saved = {name: getattr(answers[0], name) for name in Answers.__dataclass_fields__}
    with written_whole(folder / f"{NAME}.json") as file:
        json.dump(report | {"answers": saved}, file, default=np.ndarray.tolist)
    with written_whole(folder / f"{NAME}.csv") as file:
        csv.writer(file).writerows(_lines(report, runs))
    with written_whole(folder / f"{NAME}.md") as file:
        table = to_table(report).to_markdown()
        file.write(f"# Is it there?\n\n{description(report)}\n\n{table}")
    return report


def read_answers(folder):
    """The answers of the first run that `presence_report` wrote, for pictures."""
    with open(Path(folder) / f"{NAME}.json", encoding="utf-8") as file:
        saved = json.load(file)["answers"]
    arrays = {name: value for name, value in saved.items() if name not in ("scores", "right")}
    return Answers(
        **{name: np.array(value) for name, value in arrays.items()},
        scores=[np.array(each, float) for each in saved["scores"]],
        right=[np.array(each, bool) for each in saved["right"]],
    )


def _lines(report, runs):
    yield ["number", "mean", "interval", *(f"run {number}" for number in range(runs))]
    for name in ROWS:
        summary = report[name]
        yield [name, summary["mean"], summary["interval"], *summary["runs"]]


def summarize_numbers(values):
    """As `reports.summarize`; the mean is None where a number is not defined."""
    if np.isnan(values).any():
        return {"mean": None, "interval": None, "runs": [float(each) for each in values]}
    # `summarize` takes numbers below 0 for undefined, but MCC may be one.
    shifted = summarize([float(each) + 1 for each in values])
    return {
        "mean": shifted["mean"] - 1,
        "interval": shifted["interval"],
        "runs": [float(each) for each in values],
    }


def description(report):
    """How many questions the numbers come from."""
    return (
        f"{report['questions']} questions a run, {report['absent']} of them for categories that "
        "the image does not show, half of these near one that it does. One threshold for all."
    )


def to_table(report):
    """The `Table` of a report: mean, and ± 95 % interval of several runs."""
    return Table(
        ["question", "number"], [[text, _text(report[name])] for name, text in ROWS.items()]
    )


def _text(summary):
    if summary["mean"] is None:
        return "-"
    several = len(summary["runs"]) > 1
    return f"{summary['mean']:.3f}" + (f" ± {summary['interval']:.3f}" if several else "")


def answers_of(log, run, truth):
    """What a log says of one run: `Answers`. Questions that could not be asked do not count."""
    rows = []
    for image in log:
        boxes = _true_boxes(truth, image["image_id"])
        for query in image["queries"]:
            if query["run"] == run and "results" in query:
                wanted = boxes.get(query["category_id"], [])
                scores, right = judge(query["results"], wanted)
                best, asked = max(scores, default=0.0), query["category_id"]
                present = not query.get("absent", False)
                rows.append((present, best, image["image_id"], asked, len(wanted), scores, right))
    present, best, images, categories, instances, scores, right = zip(*rows, strict=True)
    return Answers(
        present=np.array(present, bool),
        best=np.array(best, float),
        images=np.array(images, np.int64),
        categories=np.array(categories, np.int64),
        instances=np.array(instances, np.int64),
        scores=[np.array(each, float) for each in scores],
        right=[np.array(each, bool) for each in right],
    )


def ap50_of_wrong_references(log, run, truth, categories, least=0.0):
    """AP50 of boxes if what images show is searched for by what they do not: near 0 if all is well.

    What was found for a category that an image does not show is taken for an answer to the question
    for one that it does.

    Args:
        log, run, truth, categories: as of `presence_report`.
        least: score of the answers that count.
    """
    results, images = [], []
    for image in log:
        queries = [each for each in image["queries"] if each["run"] == run and "results" in each]
        shown = [each for each in queries if not each.get("absent")]
        others = [each for each in queries if each.get("absent")]
        images.append(image["image_id"])
        for number, query in enumerate(shown if others else []):
            found = others[number % len(others)]["results"]
            wanted = {"category_id": query["category_id"]}
            results += [each | wanted for each in found if each["score"] >= least]
    found = coco_metrics(truth, results, images, categories)["bbox"]["metrics"]["AP50"]
    return found if found >= 0 else float("nan")


def judge(results, boxes):
    """Scores of COCO results, best first, and whether each finds a box that none before found.

    Args:
        results: of one query.
        boxes: true ones, [x, y, width, height].
    """
    results = sorted(results, key=lambda each: -each["score"])
    right = [False] * len(results)
    if results and boxes:
        found = np.array([each["bbox"] for each in results], float)
        ious = run_lengths.iou(found, np.array(boxes, float), [0] * len(boxes))
        for row in range(len(results)):
            best = int(ious[row].argmax())
            if ious[row, best] >= RIGHT_IOU:
                right[row] = True
                ious[:, best] = 0
    return [each["score"] for each in results], right


def _true_boxes(truth, source_image):
    """{category: boxes [x, y, width, height]} of an image, crowds apart."""
    boxes = {}
    for each in truth.imgToAnns[source_image]:
        if not each.get("iscrowd"):
            boxes.setdefault(each["category_id"], []).append(each["bbox"])
    return boxes
