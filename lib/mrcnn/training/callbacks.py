"""Callbacks that save a training and let it go on where it stopped."""

from pathlib import Path

import keras

from mrcnn.training.safeguards import TrainingError
from mrcnn.weights import checkpoints
from mrcnn.weights.hdf5 import named_variables, not_finite, save_keras_weights, weight_array


class SaveCheckpoint(keras.callbacks.Callback):
    """Saves weights and the optimiser's state after every epoch, and within epochs if asked to.

    The weights of all epochs stay, unless `only_latest`; of the optimiser and of snapshots within
    epochs only the latest do, since nothing else needs them.

    Args:
        log_dir, name: as of `mrcnn.weights.checkpoints.checkpoint_path`.
        phase: as of `mrcnn.training.fit.run_phase`.
        batches: that training is fed with.
        every: steps of an epoch between snapshots; 0: none.
        only_latest: keep no weights of earlier epochs.
    """

    def __init__(self, log_dir, name, phase, batches, every=0, only_latest=False):
        super().__init__()
        self.only_latest = only_latest
        self.log_dir, self.name, self.phase = Path(log_dir), name, phase
        self.batches, self.every = batches, every

    def on_train_batch_end(self, batch, logs=None):
        if self.every and (self.batches.skipped + batch + 1) % self.every == 0:
            self.save_within(batch)

    def on_epoch_end(self, epoch, logs=None):
        self._save(epoch + 1, logs=logs)

    def save_within(self, batch):
        """Save after a batch of the current epoch, unless it is the last: whether it was saved."""
        inside = batch + 1 < len(self.batches)
        if inside:
            self._save(self.batches.epoch, self.batches.skipped + batch + 1)
        return inside

    def _save(self, epoch, step=0, logs=None):
        variables = named_variables(self.model)
        wrong = not_finite({name: weight_array(each) for name, each in variables.items()})
        if wrong:
            raise TrainingError(
                f"Training has stopped, for the weights of {wrong[0]} became NaN or infinite. They "
                "are not saved: go on from the last checkpoint with a lower learning rate."
            )
        path = checkpoints.checkpoint_path(self.log_dir, self.name, epoch, step)
        checkpoints.save_optimizer(self.model, path, self.phase, logs)
        save_keras_weights(self.model, path)
        checkpoints.remove_outdated(self.log_dir, self.name, path, self.only_latest)


class OneTraining(keras.callbacks.CallbackList):
    """Callbacks of a training that takes several calls of `fit`: for them it begins and ends once.

    Args:
        callbacks: list of Keras callbacks, the last of them a `History`.
        model: that is trained.
    """

    def __init__(self, callbacks, model):
        super().__init__(callbacks, add_progbar=True, model=model)
        self._begun, self._logs = False, None

    def on_train_begin(self, logs=None):
        if not self._begun:
            super().on_train_begin(logs)
        self._begun = True

    def on_train_end(self, logs=None):
        self._logs = logs  # for `end`

    def end(self):
        """After the last call of `fit`."""
        if self._begun:
            super().on_train_end(self._logs)


class GoOnWithMeans(keras.callbacks.Callback):
    """Begins the first epoch with the means of its losses as they were at a checkpoint."""

    def __init__(self, checkpoint):
        super().__init__()
        self.checkpoint = checkpoint

    def on_epoch_begin(self, epoch, logs=None):
        if self.checkpoint is not None:
            checkpoints.restore_means(self.model, self.checkpoint)
        self.checkpoint = None
