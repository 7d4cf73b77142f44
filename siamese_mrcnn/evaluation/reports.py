"""What an evaluation says: means over runs with their interval, as JSON, CSV and Markdown."""

import csv
import json
import math
import statistics
from pathlib import Path

from mrcnn.drawing.tables import Table
from mrcnn.files import written_whole
from mrcnn.harmless_text import for_csv, for_markdown
from siamese_mrcnn.evaluation.coco_metrics import METRICS

KIND_TITLES = {"bbox": "boxes", "segm": "masks"}
# What references have in common with what an image shows, see `evaluation.sameness`.
SAME = {
    "thing": " Each reference is another view of a thing that the image shows.",
    "category": " Each reference shows another thing of the category than the image does.",
}


def summarize(values):
    """Mean of the runs and half the width of its 95 % interval, 1.96 * deviation / sqrt(runs).

    The deviation is that of the runs themselves (divided by their number, as numpy's default),
    as in the published tables. Runs without anything to find (-1) make the mean -1.
    """
    if min(values) < 0:
        return {"mean": -1.0, "interval": 0.0, "runs": list(values)}
    deviation = statistics.pstdev(values)
    return {
        "mean": statistics.fmean(values),
        "interval": 1.96 * deviation / math.sqrt(len(values)),
        "runs": list(values),
    }


def summarize_runs(runs, class_names):
    """Join the metrics of several runs.

    Args:
        runs: what `coco_metrics` gave for each run.
        class_names: {category_id: name} of the evaluated classes.

    Returns:
        {"bbox": {metric: {"mean", "interval", "runs"}}, "segm": ..., "classes": [{"name",
        "category_id", "bbox": {"mean", ...}, "segm": ...}]}; the classes' values are AP.
    """
    kinds = [kind for kind in KIND_TITLES if all(kind in run for run in runs)]
    report = {
        kind: {name: summarize([run[kind]["metrics"][name] for run in runs]) for name in METRICS}
        for kind in kinds
    }
    report["classes"] = [
        {"name": name, "category_id": category_id}
        | {
            kind: summarize([run[kind]["AP_by_category"][category_id] for run in runs])
            for kind in kinds
        }
        for category_id, name in sorted(class_names.items())
    ]
    return report


def mean_over_splits(reports, kind="bbox", metric="AP"):
    """The published tables' summary: average the splits run by run, then summarise the runs.

    Raises:
        ValueError: the reports differ in their number of runs.
    """
    runs = [report[kind][metric]["runs"] for report in reports]
    if len({len(values) for values in runs}) != 1:
        counts = ", ".join(str(len(values)) for values in runs)
        raise ValueError(f"Reports of equally many runs are needed, but these have {counts}.")
    return summarize([statistics.fmean(values) for values in zip(*runs, strict=True)])


def write_report(report, folder):
    """Write report.json, report.csv and report.md, each whole or not at all."""
    folder = Path(folder)
    with written_whole(folder / "report.json") as file:
        json.dump(report, file, indent=1)
        file.write("\n")
    with written_whole(folder / "report.csv") as file:
        csv.writer(file).writerows(map(for_csv, row) for row in _table(report))
    with written_whole(folder / "report.md") as file:
        file.write(to_markdown(report))


def _table(report):
    """Rows (what, of, metric, mean, interval, value of each run), a header first."""
    run_names = [f"run {number}" for number in range(report["runs"])]
    yield ["class", "of", "metric", "mean", "interval", *run_names]
    for kind in _kinds(report):
        for metric, summary in report[kind].items():
            yield ["all", kind, metric, *_cells(summary)]
        for entry in report["classes"]:
            yield [entry["name"], kind, "AP", *_cells(entry[kind])]


def _cells(summary):
    return [summary["mean"], summary["interval"], *summary["runs"]]


def to_markdown(report):
    """The report as two Markdown tables, in percent: all metrics, and AP by class."""
    kinds = _kinds(report)
    head = ["", *(KIND_TITLES[kind] for kind in kinds)]
    metrics = [[name, *(percent(report[kind][name]) for kind in kinds)] for name in METRICS]
    classes = [
        [entry["name"], *(percent(entry[kind]) for kind in kinds)] for entry in report["classes"]
    ]
    over_all, by_class = Table(head, metrics), Table(["class", *head[1:]], classes)
    return (
        f"# Evaluation, profile {report['profile']}\n\n{_description(report)}\n\n"
        f"Percent; with several runs: mean ± 95 % interval.\n\n{over_all.to_markdown()}\n"
        f"## AP by class\n\n{by_class.to_markdown()}"
    )


def percent(summary):
    """A summary as text: mean, and ± 95 % interval of several runs; "-" with nothing to find."""
    if summary["mean"] < 0:
        return "-"
    text = f"{100 * summary['mean']:.1f}"
    if len(summary["runs"]) > 1:
        text += f" ± {100 * summary['interval']:.1f}"
    return text


def _description(report):
    text = (
        f"{report['images']} images, {report['queries']} queries in each of {report['runs']} "
        f"runs, {report['shots']} reference(s) a query, {len(report['classes'])} classes, "
        f"seed {report['seed']}.{_split(report)}{SAME.get(report.get('same'), '')}"
    )
    failures = report["failures"]
    if failures:
        counted = "left out" if report.get("same") else "counted as nothing found"
        lines = [f"- {count} x {for_markdown(reason)}" for reason, count in failures.items()]
        text += f"\n\nNot evaluated (all runs together), and {counted}:\n\n" + "\n".join(lines)
    return text


def _split(report):
    """A sentence on the split, where it was told."""
    split = report.get("split")
    if split is None:
        return ""
    return (
        f" Novel: {', '.join(map(for_markdown, split))}."
        if isinstance(split, list)
        else f" Split {split}."
    )


def _kinds(report):
    return [kind for kind in KIND_TITLES if kind in report]
