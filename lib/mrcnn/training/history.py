"""What a training run leaves behind for people to look at: TensorBoard and CSV."""

import csv
import importlib.util
import logging
import struct
import time
from pathlib import Path

import keras

from mrcnn.files import written_whole

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
        for writer in self.writers.values():
            writer.flush()

    def close(self):
        """Close the files; writing again opens new ones."""
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
    """Appends the logs of every epoch to history.csv, a line an epoch."""

    def __init__(self, log_dir):
        super().__init__()
        self.path = Path(log_dir) / HISTORY

    def on_epoch_end(self, epoch, logs=None):
        _write(self.path, [*_read(self.path), {"epoch": epoch + 1, **_numbers(logs or {})}])


def add_to_history(log_dir, epoch, values):
    """Add numbers to the line of an epoch at the end of history.csv, in columns of their own.

    For what is measured after the line was written; without that line, a new one is begun.

    Args:
        log_dir: folder of history.csv.
        epoch: counts from 1.
        values: {column: number}.
    """
    path = Path(log_dir) / HISTORY
    rows = _read(path)
    if not rows or rows[-1].get("epoch") != str(epoch):
        rows.append({"epoch": epoch})
    rows[-1].update(_numbers(values))
    _write(path, rows)


def _numbers(values):
    return {name: float(value) for name, value in values.items()}


def _read(path):
    """The lines of history.csv, each {column: text}."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def _write(path, rows):
    """Write history.csv anew, since a line may have columns that those before did not have."""
    columns = dict.fromkeys(column for row in rows for column in row)
    with written_whole(path) as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


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
