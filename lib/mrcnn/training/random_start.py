"""Training from random weights: a start that is normalised, for want of ImageNet's.

With frozen statistics (TRAIN_BN = False) a network that starts at random normalises nothing, and
its activations grow from block to block. Here the statistics are measured once, on a few batches,
and the outputs begin near zero, as is usual for detectors (Lin et al., arXiv 1708.02002).
"""

from mrcnn.data.training_batches import Batches
from mrcnn.modeling.conv_norm import batch_statistics, normalized_convolutions
from mrcnn.weights.hdf5 import layer_of, named_variables

OUTPUTS = {
    "rpn_class_raw",
    "rpn_bbox_pred",
    "mrcnn_class_logits",
    "mrcnn_bbox_fc",
    "mrcnn_mask",
}
OUTPUT_SCALE = 0.1
MEASURED_BATCHES = 4


def start_at_random(model, dataset, keep=()):
    """Make the random weights of a fresh model fit to train.

    Args:
        model: `mrcnn.model.MaskRCNN` in training mode whose weights were not loaded.
        dataset: the training data, to measure statistics on.
        keep: names of weights, "<layer>/<kind>", that have been trained and stay.
    """
    config = model.config
    # A seed of its own: 0 and 1 above SEED draw the samples of training and of validation.
    batches = Batches(
        dataset,
        config,
        MEASURED_BATCHES,
        seed=config.SEED + 2,
        sample_loader=model.sample_loader,
    )
    try:
        measured = (batches[number] for number in range(MEASURED_BATCHES))
        prepare_random_start(model.keras_model, measured, keep)
    finally:
        batches.close()


def prepare_random_start(model, batches, keep=()):
    """Make the random weights of a fresh training model fit to train on.

    Args:
        model: a training `keras.Model` whose weights were not loaded.
        batches: iterable of a few (x, y), as `fit` takes them.
        keep: names of weights that stay.
    """
    for name, variable in named_variables(model).items():
        if layer_of(name) in OUTPUTS and name.endswith("/kernel") and name not in keep:
            variable.assign(variable * OUTPUT_SCALE)
    measure_statistics(model, batches, keep)


def measure_statistics(model, batches, keep=()):
    """Set the statistics of batch normalisations, unless kept, to their means over batches."""
    layers = [
        each
        for each in normalized_convolutions(model)
        if f"{each.norm.name}/moving_mean" not in keep
    ]
    for number, (inputs, _) in enumerate(batches):
        # With the momenta 0, 1/2, 2/3, ... the running mean is the plain mean.
        with batch_statistics(layers, momentum=number / (number + 1)):
            model(inputs, training=True)
