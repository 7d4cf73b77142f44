"""A model in one table: novel and seen classes, one reference and several, and chance."""

from dataclasses import dataclass
from pathlib import Path

from mrcnn.drawing.tables import Table
from mrcnn.files import written_whole
from siamese_mrcnn.data.splits import split_classes
from siamese_mrcnn.evaluation.one_shot import evaluate
from siamese_mrcnn.evaluation.reports import KIND_TITLES, percent
from siamese_mrcnn.evaluation.saved_reports import run_name

METRICS = ("AP", "AP50")
TABLE = "benchmark.md"


@dataclass(frozen=True)
class Row:
    """One evaluation: "novel" or "seen" classes, references a query, boxes as found or moved."""

    classes: str
    shots: int
    random_boxes: bool = False

    @property
    def title(self):
        return f"{self.classes}, {self.shots}-shot" + (", at random" if self.random_boxes else "")

    def folder(self, parent, model, split, profile="clean"):
        """Where its evaluation lies, named so that `saved_reports` reads it."""
        name = run_name(
            model.config.NAME, split, self.classes, self.shots, profile, self.random_boxes
        )
        return Path(parent) / name


def run_benchmark(
    model, dataset, split, folder, shots=(1, 5), profile="clean", absent=0, **keywords
):
    """Evaluate a model on novel and on seen classes, and chance, and write one table.

    Interrupted, the same call goes on where it stopped, as `evaluate` does.

    Args:
        model: `SiameseMaskRCNN` in inference mode.
        dataset: prepared data set, of queries and of references.
        split: 1, 2, 3 or 4: which classes are novel.
        folder: where each evaluation gets a folder of its own, and benchmark.md is written.
        shots: numbers of references a query.
        absent: novel categories to ask every image for, with the first number of references, that
            it does not show: for "presence" in the first report.
        profile, keywords: as `evaluate`: runs, limit, seed, workers, progress.

    Returns:
        {`Row`: report}
    """
    seen, novel = split_classes(split, dataset.class_ids[1:].tolist())
    classes = {"novel": novel, "seen": seen}
    rows = [Row(part, count) for part in classes for count in shots]
    rows.append(Row("novel", shots[0], random_boxes=True))
    reports = {
        row: evaluate(
            model,
            dataset,
            classes[row.classes],
            shots=row.shots,
            random_boxes=row.random_boxes,
            profile=profile,
            output=row.folder(folder, model, split, profile),
            absent=absent if row == rows[0] else 0,
            threshold=getattr(model, "threshold", None),
            **keywords,
        )
        for row in rows
    }
    with written_whole(Path(folder) / TABLE) as file:
        file.write(to_table(reports).to_markdown())
    return reports


def to_table(reports):
    """The `Table` of `run_benchmark`: metrics in percent, mean ± 95 % interval of several runs."""
    kinds = [kind for kind in KIND_TITLES if all(kind in report for report in reports.values())]
    head = ["classes", *(f"{KIND_TITLES[kind]} {name}" for kind in kinds for name in METRICS)]
    lines = [
        [row.title, *(percent(report[kind][name]) for kind in kinds for name in METRICS)]
        for row, report in reports.items()
    ]
    return Table(head, lines)
