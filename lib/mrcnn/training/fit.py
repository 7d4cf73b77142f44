"""One phase of training: which layers, at which learning rate, up to which epoch."""

import logging
from pathlib import Path

import keras

from mrcnn.config import ConfigError
from mrcnn.data.training_batches import FollowEpochs
from mrcnn.modeling.conv_norm import normalized_convolutions
from mrcnn.training.history import history_callbacks
from mrcnn.training.learning_rates import for_optimizer
from mrcnn.training.optimizer import make_optimizer
from mrcnn.training.safeguards import (
    EndBetweenSteps,
    StopAtBadLoss,
    TrainingError,
    ending_gently,
)
from mrcnn.training.trainable_layers import set_trainable
from mrcnn.weights import checkpoints
from mrcnn.weights.hdf5 import named_variables, not_finite, save_keras_weights, weight_array

logger = logging.getLogger(__name__)


class SaveCheckpoint(keras.callbacks.Callback):
    """Saves weights and the optimiser's state after every epoch, and within epochs if asked to.

    The weights of all epochs stay, unless `only_latest`; of the optimiser and of snapshots within
    epochs only the latest do, since nothing else needs them.

    Args:
        log_dir, name: as of `mrcnn.weights.checkpoints.checkpoint_path`.
        phase: as of `run_phase`.
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
        self._save(epoch + 1)

    def save_within(self, batch):
        """Save after a batch of the current epoch, unless it is the last: whether it was saved."""
        inside = batch + 1 < len(self.batches)
        if inside:
            self._save(self.batches.epoch, self.batches.skipped + batch + 1)
        return inside

    def _save(self, epoch, step=0):
        variables = named_variables(self.model)
        wrong = not_finite({name: weight_array(each) for name, each in variables.items()})
        if wrong:
            raise TrainingError(
                f"Training has stopped, for the weights of {wrong[0]} became NaN or infinite. They "
                "are not saved: go on from the last checkpoint with a lower learning rate."
            )
        path = checkpoints.checkpoint_path(self.log_dir, self.name, epoch, step)
        checkpoints.save_optimizer(self.model, path, self.phase)
        save_keras_weights(self.model, path)
        checkpoints.remove_outdated(self.log_dir, self.name, path, self.only_latest)


class GoOnWithMeans(keras.callbacks.Callback):
    """Begins the first epoch with the means of its losses as they were at a checkpoint."""

    def __init__(self, checkpoint):
        super().__init__()
        self.checkpoint = checkpoint

    def on_epoch_begin(self, epoch, logs=None):
        if self.checkpoint is not None:
            checkpoints.restore_means(self.model, self.checkpoint)
        self.checkpoint = None


def compilation(config):
    """How `compile` is to treat training steps: its arguments jit_compile and run_eagerly."""
    # crop_and_resize has no XLA kernel in TensorFlow.
    jit_compile = keras.backend.backend() == "jax" and not config.RUN_EAGERLY
    return {"jit_compile": jit_compile, "run_eagerly": config.RUN_EAGERLY}


def compile_phase(model, config, learning_rate, layers, train_bn=None):
    """Prepare a `TrainableModel` for a phase: trainable layers, a fresh optimiser.

    Args:
        model: `mrcnn.training.training_model.TrainableModel`.
        config: `Config`, for momentum and clipping.
        learning_rate: of the whole phase, or a `mrcnn.training.learning_rates.LearningRate`.
        layers: as `mrcnn.training.trainable_layers.set_trainable`.
        train_bn: whether batch statistics are updated; TRAIN_BN if None.

    Raises:
        ConfigError: batch statistics, but of which batch? See SUBDIVISIONS.
    """
    train_bn = config.TRAIN_BN if train_bn is None else train_bn
    if train_bn and model.subdivisions > 1:
        raise ConfigError(
            f"A phase that updates batch statistics needs the whole batch in one piece, but "
            f"SUBDIVISIONS is {model.subdivisions}. Set SUBDIVISIONS = 1, or train_bn=False."
        )
    names = set_trainable(model, layers)
    for layer in normalized_convolutions(model):
        layer.train_norm = train_bn
    logger.info("Training %d layers (%s) at learning rate %s.", len(names), layers, learning_rate)
    model.compile(
        optimizer=make_optimizer(config, for_optimizer(learning_rate)),
        **compilation(config),
    )
    # Otherwise TensorFlow makes the momenta inside the first step, and traces that step twice.
    model.optimizer.build(model.trainable_variables)


def run_phase(model, config, batches, validation, log_dir, epochs, checkpoint, phase, callbacks=()):
    """Train up to an epoch, saving a checkpoint after each.

    Args:
        model: `TrainableModel`, not compiled.
        config: `Config`.
        batches: `mrcnn.data.training_batches.Batches` that begin with what is to be trained next.
        validation: the same for validation, or None.
        log_dir: folder for checkpoints, history.csv and TensorBoard's files; it is there.
        epochs: number of the last epoch, counted from 1.
        checkpoint: path that the weights came from; its optimiser state is taken up if it is of
            the same phase. None: nothing to continue.
        phase: {"learning_rate": ..., "layers": ..., "train_bn": ...}
        callbacks: more Keras callbacks.

    Returns:
        the `keras.callbacks.History`.
    """
    compile_phase(model, config, **phase)
    continued = checkpoint is not None and checkpoints.restore_optimizer(model, checkpoint, phase)
    if continued:
        logger.info("Continuing with the optimiser's state of %s.", checkpoint)
    _count_steps_from_the_beginning(
        model.optimizer,
        phase["learning_rate"],
        batches.epoch * config.STEPS_PER_EPOCH + batches.skipped,
    )
    name, history = config.NAME.lower(), keras.callbacks.History()
    saving = SaveCheckpoint(log_dir, name, phase, batches, config.SNAPSHOT_STEPS)
    try:
        with ending_gently() as ending:
            for first, last, skipped in _spans(batches, epochs):
                batches.start_at(first, skipped)
                follow = [
                    FollowEpochs(batches),
                    GoOnWithMeans(checkpoint if continued and skipped else None),
                    StopAtBadLoss(batches),
                    *history_callbacks(log_dir),  # what is killed before it is saved is done again
                    saving,
                    EndBetweenSteps(ending, saving.save_within),
                    *callbacks,
                    history,  # the last, for what the others add
                ]
                _fit(model, batches, validation, first, last, follow)
    finally:
        for each in (batches, validation):
            if each is not None:
                each.close()
        if batches.replaced:
            logger.warning("%d broken images were replaced in this phase.", batches.replaced)
    return history


def _fit(model, batches, validation, first, last, callbacks):
    """`fit` for the epochs from `first` to below `last`."""
    model.fit(
        batches,
        initial_epoch=first,
        epochs=last,
        steps_per_epoch=len(batches),
        shuffle=False,  # the batches do it, reproducibly
        validation_data=validation,
        validation_steps=None if validation is None else len(validation),
        callbacks=callbacks,
    )


def _count_steps_from_the_beginning(optimizer, learning_rate, global_step):
    """Let a rate that changes depend on the step of the whole training, not of this phase."""
    rate = for_optimizer(learning_rate, global_step - int(weight_array(optimizer.iterations)))
    if callable(rate):
        optimizer.learning_rate = rate


def _spans(batches, epochs):
    """(first epoch, last, batches to skip): the rest of a broken epoch, then whole ones."""
    first = batches.epoch
    if batches.skipped:
        yield first, first + 1, batches.skipped
        first += 1
    if first < epochs:
        yield first, epochs, 0
