"""What a training run leaves behind for people to look at: TensorBoard and CSV."""

import csv
import importlib.util
import io
import logging
import os
import struct
import time
from pathlib import Path

import keras

from mrcnn.files import disk_explained, written_whole
from mrcnn.weights.checkpoints import position_of, saved_logs

logger = logging.getLogger(__name__)

HISTORY = "history.csv"


class TensorBoardFiles:
    """Writes numbers and pictures for TensorBoard, on any backend; each run has its own folder.

    Keras' own callback needs TensorFlow; this needs the package tensorboard alone.

    Args:
        log_dir: folder above those of the runs.
    """

    def __init__(self, log_dir):
        self.log_dir = Path(log_dir)
        self.writers = {}

    def scalar(self, run, name, value, epoch):
        """Write one number of a run; `epoch` counts from 1."""
        self._add(run, epoch, tag=name, simple_value=float(value))

    def picture(self, run, name, png, epoch):
        """Write one picture of a run, the bytes of a PNG file; `epoch` counts from 1."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = struct.unpack(">II", png[16:24])  # where every PNG file says so
        image = Summary.Image(height=height, width=width, encoded_image_string=png)
        self._add(run, epoch, tag=name, image=image)

    def flush(self):
        """Put what was written on the disk, where an interruption leaves it."""
        with disk_explained(self.log_dir):
            for writer in self.writers.values():
                writer.flush()

    def close(self):
        """Close the files; writing again opens new ones."""
        with disk_explained(self.log_dir):
            for writer in self.writers.values():
                writer.close()
        self.writers = {}

    def _add(self, run, epoch, **value):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if run not in self.writers:
            self.writers[run] = EventFileWriter(str(self.log_dir / run))
        summary = Summary(value=[Summary.Value(**value)])
        self.writers[run].add_event(Event(step=epoch, wall_time=time.time(), summary=summary))


class TensorBoardScalars(keras.callbacks.Callback):
    """Writes the logs of every epoch for TensorBoard.

    Training curves go to the run "train", those of validation to "validation".
    """

    def __init__(self, log_dir):
        super().__init__()
        self.files = TensorBoardFiles(log_dir)

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            run = "validation" if name.startswith("val_") else "train"
            self.files.scalar(run, name.removeprefix("val_"), value, epoch + 1)
        self.files.flush()

    def on_train_end(self, logs=None):
        self.files.close()


class CsvHistory(keras.callbacks.Callback):
    """Writes the logs of every epoch to history.csv, a line an epoch.

    It comes after the epoch's checkpoint, which knows the line too, see `complete_history`.
    """

    def __init__(self, log_dir):
        super().__init__()
        self.path = Path(log_dir) / HISTORY

    def on_epoch_end(self, epoch, logs=None):
        line = {"epoch": str(epoch + 1), **_numbers(logs or {})}
        _write(self.path, _read(self.path) | {line["epoch"]: line})


def add_to_history(log_dir, epoch, values):
    """Add numbers to the line of an epoch of history.csv, in columns of their own.

    For what is measured after the line was written; without that line, a new one is begun.

    Args:
        log_dir: folder of history.csv.
        epoch: counts from 1.
        values: {column: number}.
    """
    path = Path(log_dir) / HISTORY
    rows = _read(path)
    rows.setdefault(str(epoch), {"epoch": str(epoch)}).update(_numbers(values))
    _write(path, rows)


def complete_history(log_dir, checkpoint):
    """Write the line of the epoch that a checkpoint ends, if a kill came before it was written.

    Args:
        log_dir: folder of history.csv; nothing is written for a checkpoint of another folder.
        checkpoint: path.
    """
    epoch, step = position_of(checkpoint) or (0, 0)
    mine = Path(checkpoint).resolve().parent == Path(log_dir).resolve()
    if epoch and not step and mine and history_of(log_dir, epoch) is None:
        logs = saved_logs(checkpoint)
        if logs:
            add_to_history(log_dir, epoch, logs)


def history_of(log_dir, epoch):
    """The line of an epoch, which counts from 1, {column: text}; None if there is none."""
    return _read(Path(log_dir) / HISTORY).get(str(epoch))


def _numbers(values):
    return {name: float(value) for name, value in values.items()}


def _read(path):
    """The lines of history.csv, {epoch: {column: text}}; what is no such table is put aside.

    Other programs save tables in other encodings, with other separators.
    """
    if not path.exists():
        return {}
    try:
        text = _decoded(path.read_bytes())
        separator = max(",;\t", key=text.partition("\n")[0].count)
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error:
        rows = [{}]
    if all("epoch" in row for row in rows) and (rows or not text.strip()):
        rows = [{name: cell or "" for name, cell in row.items() if name} for row in rows]
        return {row["epoch"]: row for row in rows}
    number = 1
    while (aside := path.with_name(f"history_{number}.csv")).exists():
        number += 1
    os.replace(path, aside)
    logger.warning("%s was no table of epochs any more: it is %s now.", path, aside)
    return {}


def _decoded(data):
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _write(path, rows):
    """Write history.csv anew, since a line may have columns that those before did not have."""
    columns = dict.fromkeys(column for row in rows.values() for column in row)
    with written_whole(path) as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows.values())


def has_tensorboard():
    """Whether the package is installed that `TensorBoardFiles` needs."""
    return importlib.util.find_spec("tensorboard") is not None


def history_callbacks(log_dir):
    """Callbacks that write history.csv and, where it is installed, for TensorBoard."""
    callbacks = [CsvHistory(log_dir)]
    if has_tensorboard():
        callbacks.append(TensorBoardScalars(log_dir))
    else:
        logger.info("tensorboard is not installed; the losses go to history.csv only.")
    return callbacks
