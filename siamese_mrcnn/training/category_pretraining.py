"""A start for training from nothing: first learn to name categories, then to compare them.

What ImageNet's classes are to the paper's backbone, the categories that training may see are here.
Backbone and pyramid learn to name crops of them, so that the vectors of references tell categories
apart before training begins to compare them with queries.
"""

import keras
import numpy as np
from keras import layers, ops

from mrcnn.data.training_batches import EpochBatches, FollowEpochs
from mrcnn.modeling.conv_norm import batch_statistics, normalized_convolutions
from mrcnn.ops.initializers import RandomKernel
from mrcnn.training.fit import SaveCheckpoint, compilation
from mrcnn.training.optimizer import GloballyClippedAdam
from mrcnn.training.random_start import start_at_random
from mrcnn.training.safeguards import StopAtBadLoss
from mrcnn.weights import checkpoints
from mrcnn.weights.hdf5 import load_weights, named_variables
from siamese_mrcnn.data.references import NoReferenceError, sample_reference
from siamese_mrcnn.data.training_samples import active_classes
from siamese_mrcnn.modeling.matching import LEVELS

LEARNING_RATE = 0.001  # after WARM_UP; then it falls to nothing along a cosine
WARM_UP = 200  # steps, from a twentieth of the rate
BATCH = 32  # crops
NAME = "naming"  # of checkpoints


class PretrainingError(ValueError):
    """A data set that nothing can be learned from."""


class CategoryCrops(EpochBatches):
    """Batches of crops, every category as often as any other, and which category they show.

    A batch is uint8 [BATCH, h, w, 3], prepared as references are, and int32 [BATCH, 1]. Batch n of
    epoch e depends on (seed, e, n) alone.

    Args:
        dataset: prepared data set; its `active_classes`, if it has any, limit the categories.
        config: `siamese_mrcnn.config.Config`.
        steps: batches an epoch.
        seed: of everything that is drawn.
        workers: threads that prepare batches ahead.

    Raises:
        PretrainingError: there are fewer than two categories.
    """

    def __init__(self, dataset, config, steps, seed=0, workers=2):
        super().__init__(self._make, steps, workers)
        self.categories = sorted(int(class_id) for class_id in active_classes(dataset))
        if len(self.categories) < 2:
            raise PretrainingError(
                f"The data set has {len(self.categories)} categories to learn from, but telling "
                "them apart needs two. Choose another split, or train without this step."
            )
        self._dataset, self._config, self.seed = dataset, config, seed

    def _make(self, epoch, index):
        rng = np.random.default_rng([self.seed, epoch, index])
        pictures, labels = [], []
        failure = None
        for _ in range(100 * BATCH):
            label = int(rng.integers(len(self.categories)))
            try:
                reference = sample_reference(
                    self._dataset, self.categories[label], self._config, rng
                )
            except NoReferenceError as error:
                failure = error  # rare categories may have none
                continue
            pictures.append(reference.picture)
            labels.append([label])
            if len(pictures) == BATCH:
                return np.stack(pictures), np.array(labels, np.int32)
        raise PretrainingError(
            f"Hardly any category has an instance to cut out; the last reason: {failure}"
        )


@keras.saving.register_keras_serializable("siamese_mrcnn")
class MeanCrossEntropy(keras.losses.Loss):
    """Softmax cross entropy of several predictions of one category, averaged over them.

    y_true int [batch, 1]; y_pred logits [batch, predictions, categories].
    """

    def call(self, y_true, y_pred):
        labels = ops.broadcast_to(ops.cast(y_true, "int32"), ops.shape(y_pred)[:2])
        entropy = ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        return ops.mean(entropy, axis=-1)


@keras.saving.register_keras_serializable("siamese_mrcnn")
class CommonAccuracy(keras.metrics.Mean):
    """How often the predictions, with their logits averaged, name the category."""

    def __init__(self, name="accuracy", **keywords):
        super().__init__(name=name, **keywords)

    def update_state(self, y_true, y_pred, sample_weight=None):
        named = ops.argmax(ops.mean(y_pred, axis=1), axis=-1)
        right = ops.equal(ops.cast(named, "int32"), ops.cast(y_true[:, 0], "int32"))
        return super().update_state(ops.cast(right, "float32"), sample_weight)


def naming_model(network, categories):
    """`keras.Model`: prepared crops to logits [batch, predictions, categories].

    Each prediction comes from a linear layer of its own: one from C5, averaged over the crop, and
    one from each of the vectors that the crop would be compared by as a reference.

    Args:
        network: `SiameseNetwork`, whose backbone and pyramid learn.
        categories: their number.
    """
    crops = keras.Input(network.config.TARGET_SHAPE[1:], name="crops")
    maps = network.backbone_maps(crops)[1:]
    vectors = {"C5": layers.GlobalAveragePooling2D()(maps[-1])}
    for level, vector in zip(LEVELS, network.match.summarize(network.pyramid(maps)), strict=True):
        vectors[f"P{level}"] = vector
    logits = [
        layers.Dense(
            categories, kernel_initializer=RandomKernel(), name=f"category_logits_{place}"
        )(vector)
        for place, vector in vectors.items()
    ]
    return keras.Model(crops, ops.stack(logits, axis=1), name="naming")


def pretrain(model, dataset, epochs, steps, workers=2, backup=None, verbose=1):
    """Let a fresh model's backbone and pyramid learn to name a data set's categories.

    What lies behind them starts at random, as `mrcnn.training.random_start` does it.

    Args:
        model: `SiameseMaskRCNN` in mode "training"; its weights change.
        dataset: prepared data set; its `active_classes`, if it has any, limit the categories.
        epochs, steps: to train, and batches an epoch.
        workers: threads that load.
        backup: folder of a checkpoint that an interrupted call goes on from after the last whole
            epoch; it stays for the caller to remove when the result is written. None keeps nothing.
        verbose: 1 shows progress, 0 does not.

    Returns:
        `keras.callbacks.History` with "loss" and "accuracy" of each epoch.

    Raises:
        PretrainingError: there is nothing to learn from, or more than one device is asked for.
    """
    if model.config.GPU_COUNT != 1:
        raise PretrainingError(
            f"Naming is learned on one device, but GPU_COUNT is {model.config.GPU_COUNT}. Set it "
            "to 1; training may use more afterwards."
        )
    crops = CategoryCrops(dataset, model.config, steps, model.config.SEED, workers)
    naming = naming_model(model.network, len(crops.categories))
    try:
        with batch_statistics(normalized_convolutions(naming)):
            history = _fit(naming, model.config, crops, epochs, backup, verbose)
    finally:
        crops.close()
    start_at_random(model, dataset, keep=named_variables(naming))
    return history


def _fit(naming, config, crops, epochs, backup, verbose):
    naming.compile(
        GloballyClippedAdam(_rate(epochs * len(crops)), global_clipnorm=config.GRADIENT_CLIP_NORM),
        loss=MeanCrossEntropy(),
        metrics=[CommonAccuracy()],
        **compilation(config),
    )
    # As in `mrcnn.training.fit.compile_phase`: or TensorFlow would trace the first step twice.
    naming.optimizer.build(naming.trainable_variables)
    callbacks = [FollowEpochs(crops), StopAtBadLoss()]
    done = 0
    if backup is not None:
        phase = {"epochs": epochs, "steps": len(crops), "seed": crops.seed, "rate": LEARNING_RATE}
        done = _take_up(naming, backup, phase)
        callbacks.append(SaveCheckpoint(backup, NAME, phase, crops, only_latest=True))
    return naming.fit(
        crops,
        initial_epoch=done,
        epochs=epochs,
        shuffle=False,
        callbacks=callbacks,
        verbose=verbose,
    )


def _take_up(naming, backup, phase):
    """Load the latest checkpoint of a call with the same arguments: how many epochs it trained.

    Raises:
        PretrainingError: it is of a call with others.
    """
    latest = checkpoints.latest_checkpoint(backup)
    if latest is None or not checkpoints.optimizer_path(latest).is_file():
        return 0  # nothing was saved, or a kill came while the backup was removed
    if checkpoints.saved_phase(latest) == phase:
        load_weights(naming, latest)
        if checkpoints.restore_optimizer(naming, latest, phase):
            return checkpoints.epoch_of(latest)
    raise PretrainingError(
        f"{backup} was left by a call with other arguments, so this one cannot go on from there. "
        "Repeat it as it was, or delete the folder to begin anew."
    )


def _rate(steps):
    warm_up = min(WARM_UP, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        LEARNING_RATE / 20,
        max(steps - warm_up, 1),
        warmup_target=LEARNING_RATE,
        warmup_steps=warm_up,
    )
