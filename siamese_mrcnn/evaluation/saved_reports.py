"""Evaluations that tell what they are: of which model and split, over which classes, how.

A report does not know the model and the split, so the name of its folder does:
`<model>_split<split>_<classes>_<shots>shot_<profile>`, as in large_split1_novel_1shot_official,
with `_random` at the end for boxes at random places. `run_name` makes such names, `load_reports`
reads a folder of such folders. The published results come in the same form.
"""

import functools
import json
import logging
import re
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from siamese_mrcnn.evaluation.coco_metrics import IOU_TYPES
from siamese_mrcnn.evaluation.reports import summarize

logger = logging.getLogger(__name__)

NAME = re.compile(
    r"(?P<model>[^_].*)_split(?P<split>[1-4]|all)_(?P<classes>seen|novel|all)"
    r"_(?P<shots>[1-9]\d*)shot_(?P<profile>[a-z]+)(?P<random_boxes>_random)?"
)
PATTERN = "<model>_split<1-4|all>_<seen|novel|all>_<shots>shot_<profile>[_random]"
PUBLISHED = "published"  # in place of the model's name
RECORDED = ("shots", "profile", "random_boxes")  # told by name and report


class ReportsError(ValueError):
    """A folder of reports that cannot be read, or whose names do not tell what they are."""


class LabelledReport(NamedTuple):
    """What an evaluation is, and its report.

    labels: "model", "split" (1..4 or "all"), "classes" ("seen", "novel" or "all"), "shots",
    "profile" and "random_boxes".
    """

    labels: dict
    report: dict


def run_name(model, split, classes, shots=1, profile="official", random_boxes=False):
    """The name of the folder for an evaluation, which tells what it is.

    Args:
        model: any short name, such as "small" or "large".
        split: 1 to 4, or "all" for weights trained on all classes.
        classes: "seen", "novel" or "all", what is evaluated.
        shots, profile, random_boxes: as `evaluate` takes them.

    Raises:
        ReportsError: the name could not be read again.
    """
    name = f"{model}_split{split}_{classes}_{shots}shot_{profile}" + "_random" * bool(random_boxes)
    if NAME.fullmatch(name) is None or "/" in name:
        raise ReportsError(f"{name!r} does not have the form {PATTERN}. Change what does not fit.")
    return name


def load_reports(folder):
    """Read the report.json of every evaluation in a folder.

    Folders without report.json, of evaluations that are not finished, are left out with a warning.

    Args:
        folder: holds a folder for each evaluation, named by `run_name`.

    Returns:
        list of `LabelledReport` in the order of the names.

    Raises:
        OSError: the folder cannot be read.
        ReportsError: a name does not tell what the report is, or contradicts it.
    """
    reports = []
    for path in sorted(path for path in Path(folder).iterdir() if path.is_dir()):
        if (path / "report.json").is_file():
            reports.append(_load(path))
        elif NAME.fullmatch(path.name):
            logger.warning("%s has no report.json yet and is left out.", path)
    return reports


@functools.cache
def published_reports():
    """The published results as a list of `LabelledReport`, of the model "published".

    They are those of the large model under profile "official", in five runs each; the reports
    hold "bbox" and "segm" with {metric: summary} and "runs".
    """
    text = resources.files("siamese_mrcnn").joinpath("published_results.json").read_text("utf-8")
    return [_published(entry) for entry in json.loads(text)["results"]]


def select(reports, **labels):
    """Those of some `LabelledReport`s that have all the given labels."""
    return [
        each
        for each in reports
        if all(each.labels[name] == value for name, value in labels.items())
    ]


def _published(entry):
    labels = {name: value for name, value in entry.items() if name not in IOU_TYPES}
    labels |= {"model": PUBLISHED, "profile": "official"}
    report = {
        kind: {
            metric: summarize([percent / 100 for percent in percents])
            for metric, percents in entry[kind].items()
        }
        for kind in IOU_TYPES
    }
    return LabelledReport(labels, report | {"runs": 5})


def _load(folder):
    labels = _labels(folder)
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        _ = report["bbox"]["AP"], report["classes"], report["runs"]
        recorded = {name: report[name] for name in RECORDED}
    except (KeyError, TypeError, ValueError) as error:
        raise ReportsError(
            f"{folder}/report.json is no report of an evaluation. Run the evaluation again."
        ) from error
    for name, value in recorded.items():
        if labels[name] != value:
            raise ReportsError(
                f"The name of {folder} says {name} {labels[name]}, but its report.json says "
                f"{value}. Rename the folder."
            )
    return LabelledReport(labels, report)


def _labels(folder):
    found = NAME.fullmatch(folder.name)
    if found is None:
        raise ReportsError(
            f"{folder} holds a report, but its name does not tell of what. Rename it to the form "
            f"{PATTERN}, such as large_split1_novel_1shot_official."
        )
    labels = found.groupdict()
    split = labels["split"]
    return labels | {
        "split": split if split == "all" else int(split),
        "shots": int(labels["shots"]),
        "random_boxes": labels["random_boxes"] is not None,
    }
