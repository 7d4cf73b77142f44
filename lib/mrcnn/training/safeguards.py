"""What keeps a training from losing its work: losses that are no numbers, and signals to end."""

import contextlib
import logging
import signal
import threading

import keras
import numpy as np

from mrcnn.weights.hdf5 import weight_array

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and how systems ask a program to end
NAMED = 16  # images of a batch that a sentence names


class TrainingError(ValueError):
    """A training that cannot go on."""


class StopAtBadLoss(keras.callbacks.Callback):
    """Ends training at the first step whose loss is NaN or infinite, before anything is saved.

    Args:
        batches: that training is fed with, for the names of their images; None: they have none.
    """

    def __init__(self, batches=None):
        super().__init__()
        self.batches, self.epoch = batches, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        bad = [name for name, value in (logs or {}).items() if not np.isfinite(value)]
        if not bad:
            return
        images = names = ""
        if self.batches is not None:
            names = self.batches.names_of(batch)
            images = f", with the images {', '.join(names[:NAMED])}"
            batch += self.batches.skipped
        rate = float(weight_array(self.model.optimizer.learning_rate))
        raise TrainingError(
            f"Training has stopped, for {', '.join(bad)} became NaN or infinite in step "
            f"{batch + 1} of epoch {self.epoch + 1}, at the learning rate {rate:g}{images}. "
            "Nothing of this step is saved: go on from the last checkpoint with a lower learning "
            "rate" + (", and look at these images." if names else ".")
        )


class Ending:
    """Whether a signal has asked to end, and whether that waits until all can be saved.

    A signal that comes while nothing has to be saved, and a second one, act at once.
    """

    def __init__(self):
        self.signal, self.waits, self.handlers = None, False, {}

    def handle(self, number, frame):
        """The handler of `SIGNALS`."""
        del frame
        if self.waits and self.signal is None:
            self.signal = number
            logger.warning("Ending after this step, which is saved; asked again, at once.")
        else:
            self.act(number)

    def act(self, number=None):
        """Let the signal do what it did before."""
        number = self.signal if number is None else number
        signal.signal(number, self.handlers[number])
        signal.raise_signal(number)


@contextlib.contextmanager
def ending_gently():
    """An `Ending` that handles signals while the block lasts, if this is the main thread."""
    ending = Ending()
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in SIGNALS}
        ending.handlers = {
            number: handler
            for number, handler in before.items()
            if handler not in (None, signal.SIG_IGN)
        }
    for number in ending.handlers:
        signal.signal(number, ending.handle)
    try:
        yield ending
    finally:
        for number, handler in ending.handlers.items():
            signal.signal(number, handler)


class EndBetweenSteps(keras.callbacks.Callback):
    """Ends training when a signal asks for it; comes after the callback that makes checkpoints.

    Args:
        ending: `Ending`.
        save: function of a batch's place that saves a checkpoint within an epoch, and says whether
            it could.
    """

    def __init__(self, ending, save):
        super().__init__()
        self.ending, self.save = ending, save

    def on_epoch_begin(self, epoch, logs=None):
        self.ending.waits = True

    def on_train_batch_end(self, batch, logs=None):
        if self.ending.signal is not None and self.save(batch):
            self.ending.act()

    def on_epoch_end(self, epoch, logs=None):
        self.ending.waits = False
        if self.ending.signal is not None:
            self.ending.act()
