"""The paper's tables: cells worked by hand, empty where nothing was measured."""

import csv
import io

import pytest

from evaluated import labelled
from siamese_mrcnn.evaluation.coco_metrics import METRICS
from siamese_mrcnn.figures.paper_tables import TableError, metrics_table, splits_table, write_tables


def row_of(table, classes, results):
    (row,) = [row for row in table.rows if row[:2] == [classes, results]]
    return row[2:]


def means(cells):
    return [cell and round(100 * cell["mean"], 6) for cell in cells]


def test_published_means_are_those_of_the_paper():
    table = splits_table([])
    assert table.head == ["classes", "results", "split 1", "split 2", "split 3", "split 4", "mean"]
    assert means(row_of(table, "seen", "published"))[-1] == pytest.approx(37.59)
    assert means(row_of(table, "novel", "published"))[-1] == pytest.approx(16.29)
    assert "16.3 ± 0.1" in table.to_markdown()


def test_mean_is_over_all_four_splits_run_by_run():
    reports = [labelled(split, [0.1 * split, 0.3]) for split in (1, 2, 3, 4)]
    cells = row_of(splits_table(reports), "novel", "small")
    # Run 0: (.1 + .2 + .3 + .4) / 4 = .25; run 1: .3; interval 1.96 * .025 / sqrt(2).
    assert means(cells) == pytest.approx([20, 25, 30, 35, 27.5])
    assert cells[-1]["interval"] == pytest.approx(0.0346482)
    assert "27.5 ± 3.5" in str(splits_table(reports))


def test_what_was_not_measured_stays_empty():
    table = splits_table([labelled(2, [0.25])])
    assert means(row_of(table, "novel", "small")) == [None, 25, None, None, None]
    assert "| novel | small |  | 25.0 |  |  |  |" in table.to_markdown()
    assert not [row for row in table.rows if row[0] == "seen" and row[1] == "small"]
    assert splits_table([labelled(2, [0.25])], profile="clean").rows == splits_table([]).rows


def test_nothing_to_find_is_a_dash_and_has_no_mean():
    reports = [labelled(split, [-1.0 if split == 3 else 0.2]) for split in (1, 2, 3, 4)]
    assert "| novel | small | 20.0 | 20.0 | - | 20.0 | - |" in splits_table(reports).to_markdown()


def test_notes_tell_what_a_reader_must_know():
    reports = [
        labelled(1, [0.2], limit=10),
        labelled(2, [0.2], failures={"no reference could be drawn": 3}),
        labelled(3, [0.2, 0.4]),
        labelled(4, [0.2]),
    ]
    table = splits_table(reports)
    assert row_of(table, "novel", "small")[-1] is None
    notes = "\n".join(table.notes)
    assert "small, split 1, novel classes: the first 10 images only." in notes
    assert "small, split 2, novel classes: 3 queries could not be asked" in notes
    assert "evaluated in 1, 1, 2, 1 runs" in notes


def test_chance_has_its_own_rows():
    reports = [labelled(1, [0.01], random_boxes=True), labelled(1, [0.2])]
    table = splits_table(reports)
    assert means(row_of(table, "novel", "small, random boxes"))[0] == pytest.approx(1)
    assert means(row_of(table, "novel", "published, random boxes"))[-1] == pytest.approx(1.165)
    assert means(row_of(table, "novel", "small"))[0] == pytest.approx(20)


def test_two_reports_of_one_cell_are_an_error():
    with pytest.raises(TableError, match="There are 2 reports of"):
        splits_table([labelled(1, [0.2]), labelled(1, [0.3])])


def test_metrics_of_the_mean_and_of_one_split():
    reports = [labelled(split, [0.1 * split]) for split in (1, 2, 3, 4)]
    mean, one = metrics_table(reports), metrics_table(reports, "segm", split=3)
    assert mean.head == one.head == ["metric", "published", "small"]
    assert [row[0] for row in mean.rows] == list(METRICS)
    assert means(mean.rows[0][1:]) == pytest.approx([9.11, 25])
    assert means(one.rows[1][1:]) == pytest.approx([15.52, 30])
    everything = metrics_table([], classes="all", split="all")
    assert means(everything.rows[1][1:]) == pytest.approx([35.5])
    for wrong in ({"classes": "all"}, {"shots": 3}, {"split": "all"}):
        with pytest.raises(TableError, match="There are no results of"):
            metrics_table([], **wrong)
    with pytest.raises(TableError, match="but got 'bbox' and 'AP60'"):
        splits_table([], metric="AP60")


def test_csv_has_intervals_of_their_own():
    reports = [labelled(1, [0.2, 0.4]), labelled(2, [0.123456])]
    rows = list(csv.DictReader(io.StringIO(splits_table(reports).to_csv())))
    (ours,) = [row for row in rows if row["results"] == "small"]
    assert (ours["split 1"], ours["split 1 interval"]) == ("30.0", "13.8593")
    assert (ours["split 2"], ours["split 2 interval"]) == ("12.3456", "")
    assert ours["mean"] == ours["split 3"] == ""


def test_files(tmp_path):
    paths = write_tables([labelled(1, [0.2], model="a|b")], tmp_path / "new")
    assert len(set(paths)) == len(paths) == 1 + 2 * (2 + 2 + 1)
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())
    text = paths[0].read_text(encoding="utf-8")
    assert "**AP50 of masks, one reference, profile official**" in text
    assert "| novel | a\\|b | 20.0 |" in text
