"""A backbone from nothing: it learns to name the categories that training may see.

What ImageNet's classes are to the paper's model, the crops of a data set's own seen categories are
here. The features then differ from category to category before the model learns to compare them.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from mrcnn.optimizer import GloballyClippedAdam
from mrcnn.resnet import ResNet
from mrcnn.weights import save_keras_weights
from siamese_mrcnn.references import NoReferenceError, draw_reference

LEARNING_RATE = 0.001  # falls to 0 along a cosine
BATCH = 64


class NamedCrops(keras.utils.PyDataset):
    """Batches of crops, every category as often as any other, and their numbers.

    Args:
        dataset: prepared data set with `active_classes`.
        config: sizes of crops are those of references.
        steps: batches an epoch.
        seed: sample n of epoch e depends on (seed, e, n) alone.
    """

    def __init__(self, dataset, config, steps, seed=0, **keywords):
        super().__init__(**keywords)
        self.dataset, self.config, self.steps, self.seed = dataset, config, steps, seed
        self.classes = sorted(int(class_id) for class_id in dataset.active_classes)
        self.epoch = 0

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        rng = np.random.default_rng([self.seed, self.epoch, index])
        crops, labels = [], []
        while len(crops) < BATCH:
            label = int(rng.integers(len(self.classes)))
            try:
                reference = draw_reference(self.dataset, self.classes[label], self.config, rng)
            except NoReferenceError:
                continue  # a category without a usable instance has nothing to teach
            crops.append(reference.picture)
            labels.append(label)
        return np.stack(crops), np.array(labels, np.int32)

    def on_epoch_end(self):
        self.epoch += 1


def classifier(config, classes):
    """`keras.Model`: crops uint8 [B, h, w, 3] to logits [B, classes], and the backbone's own."""
    images = keras.Input((config.TARGET_MAX_DIM, config.TARGET_MAX_DIM, 3))
    mean = np.asarray(config.MEAN_PIXEL, np.float32)
    backbone = ResNet(config.BACKBONE, train_norm=True, width=config.BACKBONE_WIDTH)
    features = backbone(ops.subtract(images, mean))
    pooled = layers.GlobalAveragePooling2D()(features[-1])
    logits = layers.Dense(classes, name="category_logits")(pooled)
    return keras.Model(images, logits), keras.Model(images, features)


def pretrain(dataset, config, epochs, steps, path, workers=2, backup=None):
    """Train a backbone on the crops of a data set's active classes and write its weights.

    Args:
        dataset, config, steps: see `NamedCrops`.
        epochs: to train.
        path: .weights.h5 file to write; `train --weights` starts from it.
        workers: threads that load.
        backup: folder that an interrupted call goes on from; None keeps nothing.

    Returns:
        the `keras.callbacks.History`.
    """
    batches = NamedCrops(dataset, config, steps, config.SEED, workers=workers)
    model, backbone = classifier(config, len(batches.classes))
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, epochs * steps)
    model.compile(
        GloballyClippedAdam(rate, global_clipnorm=config.GRADIENT_CLIP_NORM),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=keras.backend.backend() == "jax",
    )
    callbacks = [keras.callbacks.BackupAndRestore(backup)] if backup else []
    history = model.fit(batches, epochs=epochs, callbacks=callbacks)
    save_keras_weights(backbone, Path(path))
    return history
