"""Folders of reports whose names tell what they are, and the published results."""

import json
import logging
import re
from pathlib import Path

import pytest

from siamese_mrcnn.evaluation.coco_metrics import METRICS
from siamese_mrcnn.evaluation.saved_reports import (
    ReportsError,
    load_reports,
    published_reports,
    run_name,
    select,
)

PROJECT = Path(__file__).parents[3] / "pyproject.toml"
REPORT = {
    "bbox": {"AP": {"mean": 0.1, "interval": 0.0, "runs": [0.1]}},
    "classes": [],
    "runs": 1,
    "shots": 5,
    "profile": "clean",
    "random_boxes": True,
}


def write(folder, content=REPORT):
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps(content))


def test_names_are_read_again(tmp_path):
    name = run_name("my_small", 3, "novel", 5, "clean", random_boxes=True)
    assert name == "my_small_split3_novel_5shot_clean_random"
    write(tmp_path / name)
    write(tmp_path / run_name("large", "all", "all", 5, "clean", random_boxes=True))
    first, second = load_reports(tmp_path)
    assert first.labels["split"] == first.labels["classes"] == "all"
    assert second.report == REPORT
    assert second.labels == {
        "model": "my_small",
        "split": 3,
        "classes": "novel",
        "shots": 5,
        "profile": "clean",
        "random_boxes": True,
    }


@pytest.mark.parametrize(
    "arguments", [("large", 5, "novel"), ("large", 1, "base"), ("", 1, "seen"), ("a/b", 1, "seen")]
)
def test_names_that_could_not_be_read_are_refused(arguments):
    with pytest.raises(ReportsError, match="does not have the form <model>_split"):
        run_name(*arguments)


def test_unfinished_evaluations_are_told_and_left_out(tmp_path, caplog):
    (tmp_path / run_name("large", 1, "novel")).mkdir()
    (tmp_path / "pictures").mkdir()
    with caplog.at_level(logging.WARNING):
        assert load_reports(tmp_path) == []
    assert [record.args[0].name for record in caplog.records] == [
        "large_split1_novel_1shot_official"
    ]


def test_names_that_do_not_tell_or_contradict_are_errors(tmp_path):
    write(tmp_path / "unnamed" / "evaluation")
    with pytest.raises(ReportsError, match="its name does not tell of what"):
        load_reports(tmp_path / "unnamed")
    write(tmp_path / "other" / "large_split1_novel_1shot_clean_random")
    with pytest.raises(ReportsError, match="says shots 1, but its report"):
        load_reports(tmp_path / "other")
    write(tmp_path / "broken" / run_name("large", 1, "novel"), {"bbox": {}})
    with pytest.raises(ReportsError, match="is no report of an evaluation"):
        load_reports(tmp_path / "broken")


def test_published_results():
    published = published_reports()
    # All classes and 4 splits x seen and novel, with one and five references; 4 of random boxes.
    assert len(published) == 2 * (1 + 4 * 2) + 4
    (novel,) = select(published, split=1, classes="novel", shots=1, random_boxes=False)
    assert novel.report["bbox"]["AP50"]["mean"] == pytest.approx(
        (15.2 + 15 + 15 + 15.5 + 15.7) / 500
    )
    for labels, report in published:
        for kind in ("bbox", "segm"):
            expected = ("AP50",) if labels["random_boxes"] else METRICS
            assert sorted(report[kind]) == sorted(expected)
            assert all(len(summary["runs"]) == 5 for summary in report[kind].values())
            assert all(0 <= run < 0.7 for each in report[kind].values() for run in each["runs"])


def test_published_results_are_packaged():
    text = re.search(r"\[tool.setuptools.package-data\](.*?)\n\[", PROJECT.read_text(), re.DOTALL)
    assert "published_results.json" in text.group(1)
