"""Reports of evaluations that nobody made, with values to recognise."""

from siamese_mrcnn.coco_results import METRICS
from siamese_mrcnn.labelled_reports import LabelledReport
from siamese_mrcnn.reports import summarize


def labelled(split, values, classes="novel", model="small", names=(), random_boxes=False, **report):
    """A `LabelledReport` whose metrics are all the same.

    Args:
        split, classes, model, random_boxes: its labels.
        values: of each run.
        names: [(name of a class, AP of its boxes)]; that of its masks is half as much.
        report: more of the report.
    """
    labels = {
        "model": model,
        "split": split,
        "classes": classes,
        "shots": 1,
        "profile": "official",
        "random_boxes": random_boxes,
    }
    metrics = {metric: summarize(values) for metric in METRICS}
    entries = [
        {"name": name, "bbox": summarize([value]), "segm": summarize([value / 2])}
        for name, value in names
    ]
    whole = {"bbox": metrics, "segm": metrics, "classes": entries, "limit": None}
    return LabelledReport(labels, whole | report)
