"""The log survives interruptions."""

import pytest

from siamese_mrcnn.evaluation.progress_log import EvaluationLog


def test_entries_come_back_sorted(tmp_path):
    path = tmp_path / "folder" / "log.jsonl"
    log = EvaluationLog(path)
    assert list(log) == []
    log.append(9, {"found": [1.5]})
    log.append(2, {"found": []})
    again = EvaluationLog(path)
    assert again.done == log.done == {2, 9}
    assert list(again) == [{"image_id": 2, "found": []}, {"image_id": 9, "found": [1.5]}]


@pytest.mark.parametrize("rest", ['{"image_id": 3, "fou', '{"image_id": 3}', "[1]\n", "{}\n"])
def test_cut_off_line_is_redone(tmp_path, rest):
    path = tmp_path / "log.jsonl"
    EvaluationLog(path).append(1, {})
    path.write_text(path.read_text() + rest)
    log = EvaluationLog(path)
    assert log.done == {1}
    log.append(3, {"found": 1})
    assert [entry["image_id"] for entry in log] == [1, 3]
