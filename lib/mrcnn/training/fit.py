"""Training: a schedule phase by phase, a phase epoch by epoch, the steps by Keras' `fit`."""

import functools
import logging

import keras

from mrcnn.config import ConfigError
from mrcnn.data.training_batches import Batches, FollowEpochs
from mrcnn.modeling.conv_norm import normalized_convolutions
from mrcnn.training.callbacks import GoOnWithMeans, OneTraining, SaveCheckpoint
from mrcnn.training.history import complete_history, history_callbacks
from mrcnn.training.learning_rates import as_setting, for_optimizer
from mrcnn.training.optimizer import make_optimizer
from mrcnn.training.safeguards import (
    EndBetweenSteps,
    StopAtBadLoss,
    ending_gently,
)
from mrcnn.training.trainable_layers import set_trainable
from mrcnn.weights import checkpoints
from mrcnn.weights.hdf5 import weight_array

logger = logging.getLogger(__name__)


def run_schedule(model, schedule, train_dataset, val_dataset, **keywords):
    """Train a model by a schedule; phases that lie behind it are passed over.

    Args:
        model: `mrcnn.model.MaskRCNN` in mode "training".
        schedule: phases in order, of which each tells epochs, layers and learning_rate.
        train_dataset, val_dataset, keywords: as `TrainingMethods.train`.
    """
    for phase in schedule:
        if phase.epochs > model.epoch or phase is schedule[-1]:  # the last one says so
            model.train(
                train_dataset,
                val_dataset,
                phase.learning_rate,
                phase.epochs,
                phase.layers,
                **keywords,
            )


class TrainingMethods:
    """For `mrcnn.model.MaskRCNN`, whose attributes and methods these use."""

    def train(
        self,
        train_dataset,
        val_dataset,
        learning_rate,
        epochs,
        layers,
        augmentation=None,
        custom_callbacks=None,
        no_augmentation_sources=None,
        workers=1,
        train_bn=None,
    ):
        """Train up to an epoch; call it again with a higher one for the next phase.

        Each epoch has STEPS_PER_EPOCH batches and leaves a checkpoint in `log_dir`, and one every
        SNAPSHOT_STEPS within it. After `load_latest_checkpoint`, training goes on from there,
        with the same batches and the same optimiser as if it had never stopped.

        Args:
            train_dataset, val_dataset: prepared `Dataset`; val_dataset may be None.
            learning_rate: of this phase: a number or a
                `mrcnn.training.learning_rates.LearningRate`.
            epochs: number of the last epoch, counted from the very beginning.
            layers: "heads", "3+", "4+", "5+", "all", or a regular expression of layer names.
            augmentation: see `mrcnn.data.augmentation.augment`.
            custom_callbacks: more Keras callbacks.
            no_augmentation_sources: names of sources whose images are not augmented.
            workers: threads that prepare batches.
            train_bn: whether this phase updates the statistics of batch normalisations; TRAIN_BN
                if None.

        Ctrl-C and SIGTERM end it after the current step, which a checkpoint then holds.

        Returns:
            the `keras.callbacks.History`, or None if there was nothing left to do.

        Raises:
            mrcnn.locks.InUseError: another program trains in the same folder, or has done so since.
            mrcnn.training.safeguards.TrainingError: the loss became NaN or infinite.
        """
        self._require("training", "train")
        if epochs <= self.epoch:
            logger.warning(
                "Nothing to train up to epoch %d: epoch %d is reached already, as the name of the "
                "weights file says. Give a higher number, or set `epoch` of the model to 0.",
                epochs,
                self.epoch,
            )
            return None
        config, rate = self.config, as_setting(learning_rate)
        train_bn = config.TRAIN_BN if train_bn is None else train_bn
        plain_sources = no_augmentation_sources or ()
        with self._scope(), self.alone_in_run_folder():
            history = run_phase(
                self.keras_model,
                config,
                self._batches(train_dataset, workers, augmentation, plain_sources),
                self._validation(val_dataset, workers),
                (self.run_folder(), self.checkpoint_name),
                self.epoch,
                epochs,
                self.checkpoint,
                {"learning_rate": rate, "layers": layers, "train_bn": bool(train_bn)},
                custom_callbacks or (),
            )
            self.latest = checkpoints.latest_checkpoint(self.log_dir)
        self.epoch = history.epoch[-1] + 1  # a callback may have stopped it early
        self.checkpoint = checkpoints.checkpoint_path(
            self.log_dir, self.checkpoint_name, self.epoch
        )
        return history

    def _batches(self, dataset, workers, augmentation, plain_sources):
        before_epoch = getattr(self.sample_loader, "before_epoch", None)
        return Batches(
            dataset,
            self.config,
            self.config.STEPS_PER_EPOCH,
            self.config.SEED,
            augmentation,
            plain_sources,
            workers=workers,
            sample_loader=self.sample_loader,
            before_epoch=before_epoch and functools.partial(before_epoch, self, dataset),
        )

    def _validation(self, dataset, workers):
        """The same batches after every epoch, so that epochs compare."""
        if dataset is None:
            return None
        steps, seed, loader = self.config.VALIDATION_STEPS, self.config.SEED + 1, self.sample_loader
        return Batches(dataset, self.config, steps, seed, workers=workers, sample_loader=loader)


def compilation(config):
    """How `compile` is to treat training steps: its arguments jit_compile and run_eagerly."""
    # crop_and_resize has no XLA kernel in TensorFlow.
    jit_compile = keras.backend.backend() == "jax" and not config.RUN_EAGERLY
    return {"jit_compile": jit_compile, "run_eagerly": config.RUN_EAGERLY}


def compile_phase(model, config, learning_rate, layers, train_bn=None):
    """Prepare a `TrainableModel` for a phase: trainable layers, a fresh optimiser.

    Args:
        model: `mrcnn.training.losses.TrainableModel`.
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


def run_phase(
    model, config, batches, validation, run, epoch, epochs, checkpoint, phase, callbacks=()
):
    """Train up to an epoch, saving a checkpoint after each.

    Args:
        model: `TrainableModel`, not compiled.
        config: `Config`.
        batches: `mrcnn.data.training_batches.Batches`.
        validation: the same for validation, or None.
        run: folder for checkpoints, history.csv and TensorBoard's files, and what the names of
            the checkpoints begin with.
        epoch: epochs that are trained already.
        epochs: number of the last epoch, counted from 1.
        checkpoint: path that the weights came from: steps of the next epoch that its name tells
            are left out, and its optimiser state is taken up if it is of the same phase. None:
            nothing to continue.
        phase: {"learning_rate": ..., "layers": ..., "train_bn": ...}
        callbacks: more Keras callbacks.

    Returns:
        the `keras.callbacks.History`.
    """
    log_dir, name = run
    batches.start_at(epoch, checkpoints.steps_after(epoch, checkpoint))
    compile_phase(model, config, **phase)
    continued = checkpoint is not None and checkpoints.restore_optimizer(model, checkpoint, phase)
    if continued:
        complete_history(log_dir, checkpoint)
        logger.info("Continuing with the optimiser's state of %s.", checkpoint)
    _count_steps_from_the_beginning(
        model.optimizer,
        phase["learning_rate"],
        epoch * config.STEPS_PER_EPOCH + batches.skipped,
    )
    history = keras.callbacks.History()
    saving = SaveCheckpoint(log_dir, name, phase, batches, config.SNAPSHOT_STEPS)
    try:
        with ending_gently() as ending:
            callbacks = [
                FollowEpochs(batches),
                GoOnWithMeans(checkpoint if continued and batches.skipped else None),
                StopAtBadLoss(batches),
                saving,
                *history_callbacks(log_dir),  # the checkpoint knows a line that a kill prevents
                EndBetweenSteps(ending, saving.save_within),
                *callbacks,
                history,  # the last, for what the others add
            ]
            _fit(model, batches, validation, epochs, OneTraining(callbacks, model))
    finally:
        for each in (batches, validation):
            if each is not None:
                each.close()
        if batches.replaced:
            logger.warning("%d broken images were replaced in this phase.", batches.replaced)
    return history


def _fit(model, batches, validation, epochs, callbacks):
    """`fit` up to an epoch: the rest of one that was broken off, then whole ones.

    All epochs of a call of `fit` have as many steps.
    """
    model.stop_training = False
    while batches.epoch < epochs and not model.stop_training:
        first = batches.epoch
        batches.before_epoch(first)  # `fit` looks at a batch before it begins the epoch
        last = first + 1 if batches.skipped else epochs
        callbacks.set_params({"verbose": "auto", "epochs": epochs, "steps": len(batches)})
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
        batches.start_at(last)
    callbacks.end()


def _count_steps_from_the_beginning(optimizer, learning_rate, global_step):
    """Let a rate that changes depend on the step of the whole training, not of this phase."""
    rate = for_optimizer(learning_rate, global_step - int(weight_array(optimizer.iterations)))
    if callable(rate):
        optimizer.learning_rate = rate
