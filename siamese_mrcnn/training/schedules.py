"""Training schedules as data: the paper's (section 4.3, and the original's code) and the box's.

An epoch has STEPS_PER_EPOCH batches; each phase starts with a momentum of zero.
"""

from typing import NamedTuple

WATCHED_IMAGES = 50  # that one-shot AP is measured on while training, unless told otherwise


class Phase(NamedTuple):
    """Train these layers at this learning rate up to this epoch."""

    epochs: int  # number of the last epoch, counted from the very beginning
    layers: str  # see `mrcnn.training.trainable_layers`
    learning_rate: (
        float  # or a `mrcnn.training.learning_rates.LearningRate`, which changes by the step
    )


SCHEDULES = {
    # the four splits, and the small model
    "splits": (Phase(1, "heads", 0.02), Phase(120, "all", 0.02), Phase(160, "all", 0.002)),
    # the large model of all 80 classes
    "all-classes": (Phase(1, "heads", 0.02), Phase(240, "all", 0.02), Phase(320, "all", 0.002)),
    # drawn glyphs, after `siamese_mrcnn.training.category_pretraining`, with Adam
    "glyphs": (
        Phase(1, "all", 0.0003),
        Phase(8, "all", 0.0006),
        Phase(10, "all", 0.00006),
        Phase(12, "3+", 0.00003),
    ),
    # photographs, on the backbone as it is, with Adam
    "photos": (
        Phase(1, "heads", 0.00035),
        Phase(33, "heads", 0.0007),
        Phase(42, "heads", 0.00007),
    ),
}
