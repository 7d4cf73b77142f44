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


def test_a_full_disk_is_a_sentence_with_the_path(tmp_path):
    path = tmp_path / "log.jsonl"
    log = EvaluationLog(path)
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"log\.jsonl: No space left on device\. .*free some space"):
        log.append(1, {})
    assert log.done == set()
