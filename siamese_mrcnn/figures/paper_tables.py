"""The paper's tables: what was measured beside the published results, per split and their mean.

Cells that nobody measured stay empty. The mean over splits is that of the paper, run by run.
"""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from mrcnn.drawing import tables
from mrcnn.files import written_whole
from mrcnn.harmless_text import for_csv
from siamese_mrcnn.evaluation.coco_metrics import METRICS
from siamese_mrcnn.evaluation.reports import KIND_TITLES, mean_over_splits, percent, summarize
from siamese_mrcnn.evaluation.saved_reports import PUBLISHED, published_reports, select

SPLITS = (1, 2, 3, 4)
MEAN = "mean"
PUBLISHED_NOTE = "Published: large model, profile official."


class TableError(ValueError):
    """A table that cannot be made as asked."""


@dataclass(frozen=True)
class Table:
    """A table of summaries, shown in percent as mean ± 95 % interval.

    The first `texts` cells of a row are texts, the others are summaries {"mean", "interval",
    "runs"}, or None where nothing was measured.
    """

    title: str
    texts: int
    head: list
    rows: list
    notes: list

    def to_markdown(self):
        """Title, table and notes as Markdown."""
        notes = "".join(f"\n{note}\n" for note in self.notes)
        return f"**{self.title}**\n\n{self._shown().to_markdown()}{notes}"

    def to_csv(self):
        """Means and intervals as columns of their own, in percent, not rounded to one digit."""
        head = [*self.head[: self.texts]]
        for name in self.head[self.texts :]:
            head += [name, f"{name} interval"]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(head)
        for row in self.rows:
            numbers = [number for cell in row[self.texts :] for number in _numbers(cell)]
            writer.writerow(map(for_csv, [*row[: self.texts], *numbers]))
        return text.getvalue()

    def __str__(self):
        return "\n".join([self.title, "", str(self._shown()), *self.notes])

    def _repr_markdown_(self):
        return self.to_markdown()

    def _shown(self):
        rows = [[_text(cell) for cell in row] for row in self.rows]
        return tables.Table(self.head, rows, self.texts)


def splits_table(reports, kind="bbox", metric="AP50", shots=1, profile="official"):
    """Seen and novel classes of each split and their mean, published and measured.

    Args:
        reports: list of `LabelledReport`, see `saved_reports.load_reports`.
        kind: "bbox" or "segm".
        metric: one of `coco_results.METRICS`.
        shots, profile: of the evaluations to show.

    Raises:
        TableError: there is no such kind or metric, or two reports for one cell.
    """
    _check(kind, metric)
    shown = shown_reports(reports, shots, profile)
    rows, notes = [], []
    for classes in ("seen", "novel"):
        for random_boxes in (False, True):
            chosen = select(shown, classes=classes, random_boxes=random_boxes)
            for model in models_of(chosen):
                cells, its_notes = split_cells(select(chosen, model=model), kind, metric)
                notes += its_notes
                name = f"{model}, random boxes" if random_boxes else model
                if any(cells):
                    rows.append([classes, name, *cells])
    title = f"{metric} of {KIND_TITLES[kind]}, {_shots(shots)}, profile {profile}"
    head = ["classes", "results", *[f"split {split}" for split in SPLITS], MEAN]
    return Table(title, 2, head, rows, [PUBLISHED_NOTE, *_remarks(shown), *notes])


def metrics_table(reports, kind="bbox", classes="novel", shots=1, profile="official", split=MEAN):
    """COCO's twelve metrics, published and measured, of the mean over splits or of one split.

    Args:
        reports, kind, shots, profile: as in `splits_table`.
        classes: "seen", "novel" or "all".
        split: 1 to 4, "mean", or "all" for weights trained on all classes (with classes "all").

    Raises:
        TableError: there is no such kind, or two reports for one cell.
    """
    _check(kind, METRICS[0])
    shown = select(shown_reports(reports, shots, profile), classes=classes, random_boxes=False)
    splits = SPLITS if split == MEAN else (split,)
    shown = [each for each in shown if each.labels["split"] in splits]
    models, notes = models_of(shown), []
    if not models:
        raise TableError(
            f"There are no results of {classes} classes in split {split!r} with {_shots(shots)}: "
            "choose other classes, another split or another number of references."
        )
    rows = []
    for metric in METRICS:
        row = [metric]
        for model in models:
            its_reports = select(shown, model=model)
            if split == MEAN:
                cells, its_notes = split_cells(its_reports, kind, metric)
                row.append(cells[-1])
                notes += [note for note in its_notes if note not in notes]
            else:
                row.append(summary_of(its_reports, kind, metric))
        rows.append(row)
    which = "mean over splits" if split == MEAN else f"split {split}"
    title = (
        f"COCO metrics of {KIND_TITLES[kind]}, {classes} classes, {which}, {_shots(shots)}, "
        f"profile {profile}"
    )
    return Table(title, 1, ["metric", *models], rows, [PUBLISHED_NOTE, *_remarks(shown), *notes])


def write_tables(reports, folder):
    """Write all tables of some reports: tables.md, and a CSV file for each table.

    For one shot, five shots and every profile that is among the reports: AP50 and AP by split,
    the twelve metrics of seen and novel classes, and of all classes if they were measured.

    Returns:
        list of pathlib.Path.
    """
    folder = Path(folder)
    made = [
        table
        for shots, profile in _kinds_of_evaluation(reports)
        for kind in KIND_TITLES
        for table in _tables(reports, kind, shots, profile)
    ]
    paths = [folder / "tables.md"]
    with written_whole(paths[0]) as file:
        file.write("\n".join(table.to_markdown() for table in made))
    for table in made:
        paths.append(folder / (re.sub(r"\W+", "_", table.title.lower()) + ".csv"))
        with written_whole(paths[-1]) as file:
            file.write(table.to_csv())
    return paths


def shown_reports(reports, shots, profile):
    """The published results of so many shots, and those of `reports` under a profile."""
    measured = select(reports, shots=shots, profile=profile)
    return [*select(published_reports(), shots=shots), *measured]


def models_of(reports):
    """The models of some reports, the published results first."""
    return sorted(
        {each.labels["model"] for each in reports}, key=lambda name: (name != PUBLISHED, name)
    )


def split_cells(reports, kind, metric):
    """Summaries of splits 1 to 4 and of their mean, None for what was not measured.

    Returns:
        five cells, and notes on what could not be averaged.
    """
    by_split = [select(reports, split=split) for split in SPLITS]
    cells = [summary_of(chosen, kind, metric) for chosen in by_split]
    if None in cells:
        return [*cells, None], []
    if min(cell["mean"] for cell in cells) < 0:
        return [*cells, summarize([-1.0])], []
    counts = [len(cell["runs"]) for cell in cells]
    if len(set(counts)) > 1:
        labels = reports[0].labels
        return [*cells, None], [
            f"No mean of {labels['model']}, {labels['classes']} classes: the splits were "
            f"evaluated in {', '.join(map(str, counts))} runs, but equally many are needed."
        ]
    return [*cells, mean_over_splits([each.report for (each,) in by_split], kind, metric)], []


def summary_of(reports, kind, metric):
    """The summary of the only report, None without a report or without this metric.

    Raises:
        TableError: there are several reports.
    """
    if len(reports) > 1:
        raise TableError(
            f"There are {len(reports)} reports of {reports[0].labels}. Give only one of them."
        )
    return reports[0].report.get(kind, {}).get(metric) if reports else None


def _tables(reports, kind, shots, profile):
    for metric in ("AP50", "AP"):
        yield splits_table(reports, kind, metric, shots, profile)
    for classes in ("seen", "novel"):
        yield metrics_table(reports, kind, classes, shots, profile)
    yield metrics_table(reports, kind, "all", shots, profile, split="all")


def _kinds_of_evaluation(reports):
    found = {(each.labels["shots"], each.labels["profile"]) for each in reports}
    return sorted(found) or [(1, "official"), (5, "official")]


def _remarks(reports):
    """What a reader must know of the reports: images left out, queries that failed."""
    remarks = []
    for labels, report in reports:
        name = f"{labels['model']}, split {labels['split']}, {labels['classes']} classes"
        if report.get("limit") is not None:
            remarks.append(f"{name}: the first {report['limit']} images only.")
        failed = sum(report.get("failures", {}).values())
        if failed:
            remarks.append(f"{name}: {failed} queries could not be asked and count as not found.")
    return remarks


def _check(kind, metric):
    if kind not in KIND_TITLES or metric not in METRICS:
        raise TableError(
            f"A table needs one of the kinds {', '.join(KIND_TITLES)} and one of the metrics "
            f"{', '.join(METRICS)}, but got {kind!r} and {metric!r}."
        )


def _shots(shots):
    return "one reference" if shots == 1 else f"{shots} references"


def _text(cell):
    if cell is None or isinstance(cell, str):
        return cell or ""
    return percent(cell)


def _numbers(cell):
    """Mean and interval in percent; nothing where there is nothing."""
    if cell is None or cell["mean"] < 0:
        return ["", ""]
    interval = round(100 * cell["interval"], 4) if len(cell["runs"]) > 1 else ""
    return [round(100 * cell["mean"], 4), interval]
