"""Keras' `fit` on batches that are drawn without end: interrupted, it goes on where it stopped."""

import keras

from mrcnn.data.training_batches import FollowEpochs
from mrcnn.training.fit import SaveCheckpoint, compilation
from mrcnn.training.optimizer import GloballyClippedAdam
from mrcnn.training.safeguards import StopAtBadLoss
from mrcnn.weights import checkpoints
from mrcnn.weights.hdf5 import load_weights

WARM_UP = 200  # steps, from a twentieth of the rate


class PretrainingError(ValueError):
    """A data set that nothing can be learned from, or a training that cannot go on."""


def fit_resumably(model, config, batches, epochs, task, backup=None, verbose=1):
    """Train a `keras.Model` by Adam, whose rate falls to nothing along a cosine.

    Args:
        model: `keras.Model`, not compiled.
        config: `mrcnn.config.Config`, for clipping.
        batches: `mrcnn.data.training_batches.EpochBatches` with a `seed`.
        epochs: to train.
        task: (name of the checkpoints, learning rate after the warm-up, loss, metric).
        backup: folder of a checkpoint that an interrupted call goes on from after the last whole
            epoch; it stays for the caller to remove when the result is written. None keeps nothing.
        verbose: 1 shows progress, 0 does not.

    Returns:
        `keras.callbacks.History`

    Raises:
        PretrainingError: the backup is of a call with other arguments.
    """
    name, rate, loss, metric = task
    model.compile(
        GloballyClippedAdam(
            _falling(rate, epochs * len(batches)), global_clipnorm=config.GRADIENT_CLIP_NORM
        ),
        loss=loss,
        metrics=[metric],
        **compilation(config),
    )
    # As in `mrcnn.training.fit.compile_phase`: or TensorFlow would trace the first step twice.
    model.optimizer.build(model.trainable_variables)
    callbacks = [FollowEpochs(batches), StopAtBadLoss()]
    done = 0
    if backup is not None:
        phase = {"epochs": epochs, "steps": len(batches), "seed": batches.seed, "rate": rate}
        done = _take_up(model, backup, phase)
        callbacks.append(SaveCheckpoint(backup, name, phase, batches, only_latest=True))
    return model.fit(
        batches,
        initial_epoch=done,
        epochs=epochs,
        shuffle=False,
        callbacks=callbacks,
        verbose=verbose,
    )


def _take_up(model, backup, phase):
    """Load the latest checkpoint of a call with the same arguments: how many epochs it trained."""
    latest = checkpoints.latest_checkpoint(backup)
    if latest is None or not checkpoints.optimizer_path(latest).is_file():
        return 0  # nothing was saved, or a kill came while the backup was removed
    if checkpoints.saved_phase(latest) == phase:
        load_weights(model, latest)
        if checkpoints.restore_optimizer(model, latest, phase):
            return checkpoints.epoch_of(latest)
    raise PretrainingError(
        f"{backup} was left by a call with other arguments, so this one cannot go on from there. "
        "Repeat it as it was, or delete the folder to begin anew."
    )


def _falling(rate, steps):
    warm_up = min(WARM_UP, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        rate / 20, max(steps - warm_up, 1), warmup_target=rate, warmup_steps=warm_up
    )
