"""What a training run leaves behind for people to look at: TensorBoard and CSV."""

import csv
import importlib.util
import logging
from pathlib import Path

import keras

logger = logging.getLogger(__name__)


class TensorBoardScalars(keras.callbacks.Callback):
    """Writes the logs of every epoch for TensorBoard, on any backend.

    Keras' own callback needs TensorFlow; this one needs the package tensorboard alone. Training
    curves go to the run "train", those of validation to "validation".
    """

    def __init__(self, log_dir):
        super().__init__()
        self.log_dir = Path(log_dir)
        self.writers = {}

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            run = "validation" if name.startswith("val_") else "train"
            self.scalar(run, name.removeprefix("val_"), value, epoch + 1)

    def scalar(self, run, name, value, epoch):
        """Write one number of a run; `epoch` counts from 1."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=name, simple_value=float(value))])
        self._writer(run).add_event(Event(step=epoch, summary=summary))

    def _writer(self, run):
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if run not in self.writers:
            self.writers[run] = EventFileWriter(str(self.log_dir / run))
        return self.writers[run]

    def on_train_end(self, logs=None):
        for writer in self.writers.values():
            writer.close()
        self.writers = {}


class CsvHistory(keras.callbacks.Callback):
    """Appends the logs of every epoch to history.csv, a line an epoch."""

    def __init__(self, log_dir):
        super().__init__()
        self.path = Path(log_dir) / "history.csv"

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        new = not self.path.exists()
        with open(self.path, "a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)


def history_callbacks(log_dir):
    """Callbacks that write history.csv and, where it is installed, for TensorBoard."""
    callbacks = [CsvHistory(log_dir)]
    if importlib.util.find_spec("tensorboard"):
        callbacks.append(TensorBoardScalars(log_dir))
    else:
        logger.info("tensorboard is not installed; the losses go to history.csv only.")
    return callbacks
