"""Means, intervals and tables, worked by hand."""

import csv
import json

import pytest

from siamese_mrcnn.evaluation.coco_metrics import METRICS
from siamese_mrcnn.evaluation.reports import (
    mean_over_splits,
    summarize,
    summarize_runs,
    to_markdown,
    write_report,
)


def run_metrics(value, other):
    part = {
        "metrics": dict.fromkeys(METRICS, value),
        "AP_by_category": {3: value, 5: other},
    }
    return {"bbox": part, "segm": part}


@pytest.fixture
def report():
    summary = summarize_runs([run_metrics(0.2, 0.1), run_metrics(0.4, -1)], {5: "b|c", 3: "a"})
    return summary | {
        "profile": "clean",
        "runs": 2,
        "shots": 1,
        "seed": 0,
        "images": 7,
        "queries": 9,
        "failures": {"no reference could be drawn": 3},
    }


def test_interval_by_hand():
    # Deviation of (.2, .4) is .1; 1.96 * .1 / sqrt(2) = .1386.
    summary = summarize([0.2, 0.4])
    assert summary["mean"] == pytest.approx(0.3)
    assert summary["interval"] == pytest.approx(0.138593, abs=1e-6)
    assert summarize([0.5]) == {"mean": 0.5, "interval": 0.0, "runs": [0.5]}
    assert summarize([-1.0, 0.5])["mean"] == -1.0


def test_runs_are_joined(report):
    assert report["bbox"]["AP_large"]["runs"] == [0.2, 0.4]
    assert [entry["name"] for entry in report["classes"]] == ["a", "b|c"]
    assert report["classes"][0]["segm"]["mean"] == pytest.approx(0.3)
    assert report["classes"][1]["bbox"]["mean"] == -1.0


def test_boxes_only():
    runs = [{"bbox": run_metrics(0.2, 0.1)["bbox"]}]
    assert "segm" not in summarize_runs(runs, {3: "a", 5: "b"})


def test_mean_over_splits_is_run_by_run():
    reports = [{"bbox": {"AP": {"runs": runs}}} for runs in ([0.1, 0.3], [0.3, 0.1])]
    summary = mean_over_splits(reports)
    assert summary["mean"] == pytest.approx(0.2) and summary["interval"] == pytest.approx(0.0)
    with pytest.raises(ValueError, match="these have 2, 1"):
        mean_over_splits([reports[0], {"bbox": {"AP": {"runs": [0.1]}}}])


def test_files_agree(report, tmp_path):
    write_report(report, tmp_path / "new")
    assert json.loads((tmp_path / "new" / "report.json").read_text()) == report
    with open(tmp_path / "new" / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (len(METRICS) + 2)
    assert [float(rows[0][name]) for name in ("run 0", "run 1")] == [0.2, 0.4]
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "report.json",
        "report.csv",
        "report.md",
    }


def test_markdown(report):
    text = to_markdown(report)
    assert "| AP | 30.0 ± 13.9 | 30.0 ± 13.9 |" in text
    assert "| b\\|c | - | - |" in text
    assert "- 3 x no reference could be drawn" in text
