"""The log survives interruptions, and files appear whole or not at all."""

import pytest

from siamese_mrcnn.evaluation_log import (
    EvaluationLog,
    fingerprint,
    written_whole,
)


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


def test_fingerprint_tells_arguments_apart():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_interrupted_file_leaves_the_old_one(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), written_whole(path) as file:
        file.write("half of the new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with written_whole(path) as file:
        file.write("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
