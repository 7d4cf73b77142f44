"""history.csv and TensorBoard's files: lines that grow, what an interruption leaves."""

import cv2
import numpy as np
import pytest

from folders import events_of, history_lines
from mrcnn.training.history import (
    CsvHistory,
    TensorBoardFiles,
    TensorBoardScalars,
    add_to_history,
    history_of,
)


def test_a_line_may_have_other_columns_than_those_before(tmp_path):
    history = CsvHistory(tmp_path)
    history.on_epoch_end(0, {"loss": 4.0})
    history.on_epoch_end(1, {"val_loss": 3.0, "loss": 2.0})
    history.on_epoch_end(2, {"loss": 1.0})
    assert history_lines(tmp_path) == [
        {"epoch": "1", "loss": "4.0", "val_loss": ""},
        {"epoch": "2", "loss": "2.0", "val_loss": "3.0"},
        {"epoch": "3", "loss": "1.0", "val_loss": ""},
    ]


def test_what_is_measured_later_joins_the_line_of_its_epoch(tmp_path):
    history = CsvHistory(tmp_path / "run")
    history.on_epoch_end(0, {"loss": 4.0})
    history.on_epoch_end(1, {"loss": 2.0})
    add_to_history(tmp_path / "run", 2, {"AP": np.float32(0.5)})
    add_to_history(tmp_path / "run", 3, {"AP": 0.25})
    assert history_lines(tmp_path / "run") == [
        {"epoch": "1", "loss": "4.0", "AP": ""},
        {"epoch": "2", "loss": "2.0", "AP": "0.5"},
        {"epoch": "3", "loss": "", "AP": "0.25"},
    ]


def test_an_epoch_trained_again_gets_its_line_anew(tmp_path):
    history = CsvHistory(tmp_path)
    history.on_epoch_end(0, {"loss": 4.0})
    add_to_history(tmp_path, 1, {"AP": 0.5})
    history.on_epoch_end(0, {"loss": 3.0})
    assert history_lines(tmp_path) == [{"epoch": "1", "loss": "3.0"}]
    assert history_of(tmp_path, 1) == {"epoch": "1", "loss": "3.0"}
    assert history_of(tmp_path, 2) is None


@pytest.mark.parametrize(
    "data",
    [
        "epoch,loss\n1,4.0\n".encode("utf-8-sig"),
        "epoch;loss\r\n1;4.0\r\n".encode("utf-16"),
        "epoch\tloss\tM\u00fcll\n1\t4.0\t\n".encode("latin-1"),
        b"epoch,loss\n1,4.0,more,cells\n",
        b"epoch,loss,val_loss\n1,4.0\n",
    ],
    ids=["mark", "utf-16", "latin-1", "cells to spare", "cells missing"],
)
def test_other_programs_may_have_saved_the_table(tmp_path, data):
    (tmp_path / "history.csv").write_bytes(data)
    CsvHistory(tmp_path).on_epoch_end(1, {"loss": 2.0})
    assert [(line["epoch"], line["loss"]) for line in history_lines(tmp_path)] == [
        ("1", "4.0"),
        ("2", "2.0"),
    ]


@pytest.mark.parametrize("data", [b"a,b\n1,2\n", b"\xff\xfe\x00", b"epoch\n" + 200_000 * b"1"])
def test_what_is_no_table_of_epochs_any_more_is_put_aside(tmp_path, data, caplog):
    for number in (1, 2):
        (tmp_path / "history.csv").write_bytes(data)
        CsvHistory(tmp_path).on_epoch_end(1, {"loss": 2.0})
        assert history_lines(tmp_path) == [{"epoch": "2", "loss": "2.0"}]
        assert (tmp_path / f"history_{number}.csv").read_bytes() == data
    assert "history_2.csv" in caplog.text


def test_what_cannot_be_written_leaves_the_lines_before(tmp_path):
    history = CsvHistory(tmp_path)
    history.on_epoch_end(0, {"loss": 4.0})
    with pytest.raises(TypeError):
        history.on_epoch_end(1, {"loss": object()})
    assert history_lines(tmp_path) == [{"epoch": "1", "loss": "4.0"}]
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_curves_are_on_the_disk_before_training_ends(tmp_path):
    scalars = TensorBoardScalars(tmp_path)
    scalars.on_epoch_end(6, {"loss": 4.0, "val_loss": 2.0})
    for run, value in (("train", 4.0), ("validation", 2.0)):
        ((step, found),) = [
            (event.step, event.value) for event in events_of(tmp_path / run).Scalars("loss")
        ]
        assert (step, found) == (7, value)
    scalars.on_train_end()


def test_pictures(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    files = TensorBoardFiles(tmp_path)
    files.picture("pictures", "noise", cv2.imencode(".png", picture)[1].tobytes(), 4)
    files.close()
    (event,) = events_of(tmp_path / "pictures").Images("noise")
    assert (event.step, event.height, event.width) == (4, 20, 30)
    encoded = np.frombuffer(event.encoded_image_string, np.uint8)
    np.testing.assert_array_equal(cv2.imdecode(encoded, cv2.IMREAD_COLOR), picture)
