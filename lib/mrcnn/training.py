"""One stage of training: which layers, at which learning rate, up to which epoch."""

import logging
from pathlib import Path

import keras

from mrcnn import checkpoints
from mrcnn.batches import FollowEpochs
from mrcnn.layer_groups import set_trainable
from mrcnn.logs import history_callbacks
from mrcnn.normalization import NormalizedConvolution
from mrcnn.optimizer import make_optimizer
from mrcnn.weights import save_keras_weights

logger = logging.getLogger(__name__)


class SaveCheckpoint(keras.callbacks.Callback):
    """Saves weights and the optimiser's state after every epoch.

    All weights stay; of the optimiser only the latest state does, since nothing else needs it.
    """

    def __init__(self, log_dir, name, stage):
        super().__init__()
        self.log_dir, self.name, self.stage = Path(log_dir), name, stage

    def on_epoch_end(self, epoch, logs=None):
        path = checkpoints.checkpoint_path(self.log_dir, self.name, epoch + 1)
        checkpoints.save_optimizer(self.model, path, self.stage)
        save_keras_weights(self.model, path)
        latest = checkpoints.optimizer_path(path)
        for old in self.log_dir.glob(f"{self.name}_*{checkpoints.OPTIMIZER_SUFFIX}"):
            if old != latest:
                old.unlink()


def compilation(config):
    """How `compile` is to treat training steps: its arguments jit_compile and run_eagerly."""
    # crop_and_resize has no XLA kernel in TensorFlow.
    jit_compile = keras.backend.backend() == "jax" and not config.RUN_EAGERLY
    return {"jit_compile": jit_compile, "run_eagerly": config.RUN_EAGERLY}


def compile_stage(model, config, learning_rate, layers, train_bn=None):
    """Prepare a `TrainableModel` for a stage: trainable layers, a fresh optimiser.

    Args:
        model: `mrcnn.trainable.TrainableModel`.
        config: `Config`, for momentum and clipping.
        learning_rate: of the whole stage.
        layers: as `mrcnn.layer_groups.set_trainable`.
        train_bn: whether batch statistics are updated; TRAIN_BN if None.
    """
    names = set_trainable(model, layers)
    for layer in model.layers:
        if isinstance(layer, NormalizedConvolution):
            layer.train_norm = config.TRAIN_BN if train_bn is None else train_bn
    logger.info("Training %d layers (%s) at learning rate %g.", len(names), layers, learning_rate)
    model.compile(
        optimizer=make_optimizer(config, learning_rate),
        **compilation(config),
    )
    # Otherwise TensorFlow makes the momenta inside the first step, and traces that step twice.
    model.optimizer.build(model.trainable_variables)


def run_stage(model, config, batches, validation, log_dir, epochs, checkpoint, stage, callbacks=()):
    """Train up to an epoch, saving a checkpoint after each.

    Args:
        model: `TrainableModel`, not compiled.
        config: `Config`.
        batches: `mrcnn.batches.Batches` that begin with the epoch to be trained next.
        validation: the same for validation, or None.
        log_dir: folder for checkpoints, history.csv and TensorBoard's files.
        epochs: number of the last epoch, counted from 1.
        checkpoint: path that the weights came from; its optimiser state is taken up if it is of
            the same stage. None: nothing to continue.
        stage: {"learning_rate": ..., "layers": ..., "train_bn": ...}
        callbacks: more Keras callbacks.

    Returns:
        the `keras.callbacks.History`.
    """
    compile_stage(model, config, **stage)
    if checkpoint is not None and checkpoints.restore_optimizer(model, checkpoint, stage):
        logger.info("Continuing with the optimiser's state of %s.", checkpoint)
    Path(log_dir).mkdir(parents=True, exist_ok=True)
    try:
        return model.fit(
            batches,
            initial_epoch=batches.epoch,
            epochs=epochs,
            steps_per_epoch=len(batches),
            shuffle=False,  # the batches do it, reproducibly
            validation_data=validation,
            validation_steps=None if validation is None else len(validation),
            callbacks=[
                FollowEpochs(batches),
                SaveCheckpoint(log_dir, config.NAME.lower(), stage),
                *history_callbacks(log_dir),
                *callbacks,
            ],
        )
    finally:
        for each in (batches, validation):
            if each is not None:
                each.close()
        if batches.replaced:
            logger.warning("%d broken images were replaced in this stage.", batches.replaced)
