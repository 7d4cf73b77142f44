"""Training schedules as data: the paper's (section 4.3, and the original's code) and for glyphs.

An epoch has STEPS_PER_EPOCH batches; each stage starts with a momentum of zero.
"""

from typing import NamedTuple

WATCHED_IMAGES = 50  # that one-shot AP is measured on while training, unless told otherwise


class Stage(NamedTuple):
    """Train these layers at this learning rate up to this epoch."""

    epochs: int  # number of the last epoch, counted from the very beginning
    layers: str  # see `mrcnn.training.trainable_layers`
    learning_rate: (
        float  # or a `mrcnn.training.learning_rates.LearningRate`, which changes by the step
    )


SCHEDULES = {
    # the four splits, and the small model
    "splits": (Stage(1, "heads", 0.02), Stage(120, "all", 0.02), Stage(160, "all", 0.002)),
    # the large model of all 80 classes
    "all-classes": (Stage(1, "heads", 0.02), Stage(240, "all", 0.02), Stage(320, "all", 0.002)),
    # drawn glyphs, after `siamese_mrcnn.training.category_pretraining`, with Adam
    "glyphs": (
        Stage(1, "heads", 0.001),
        Stage(10, "all", 0.0005),
        Stage(13, "all", 0.0001),
        Stage(14, "all", 0.00003),
    ),
}


def run_schedule(model, schedule, train_dataset, val_dataset, **keywords):
    """Train a model by a schedule; stages that lie behind it are passed over.

    Args:
        model: `SiameseMaskRCNN` in mode "training".
        schedule: stages in order.
        train_dataset, val_dataset, keywords: as `SiameseMaskRCNN.train`.
    """
    for stage in schedule:
        if stage.epochs > model.epoch or stage is schedule[-1]:  # the last one says so
            model.train(
                train_dataset,
                val_dataset,
                stage.learning_rate,
                stage.epochs,
                stage.layers,
                **keywords,
            )
