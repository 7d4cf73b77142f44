"""What programs left in folders: all files, a training's history.csv and TensorBoard's events."""

import csv

import pytest


def tree(folder):
    """{path: content} of all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def history_lines(folder):
    """The lines of history.csv, {column: text} each."""
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def events_of(folder):
    """TensorBoard's reader of a folder; skips the test where tensorboard is missing."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    return accumulator.EventAccumulator(str(folder)).Reload()
