"""Training from random weights; see `mrcnn.random_start`."""

import mrcnn.random_start
from siamese_mrcnn.batches import SiameseBatches

MEASURED_BATCHES = 4


def start_at_random(model, dataset):
    """Make the random weights of a fresh model fit to train.

    Args:
        model: `SiameseMaskRCNN` in training mode whose weights were not loaded.
        dataset: the training data, to measure statistics on.
    """
    config = model.config
    # A seed of its own: 0 and 1 above SEED draw the samples of training and of validation.
    batches = SiameseBatches(dataset, config, MEASURED_BATCHES, seed=config.SEED + 2)
    try:
        mrcnn.random_start.prepare_random_start(
            model.keras_model, (batches[number] for number in range(MEASURED_BATCHES))
        )
    finally:
        batches.close()
