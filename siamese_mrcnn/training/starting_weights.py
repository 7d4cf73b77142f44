"""The weights that a training starts from."""

from pathlib import Path

from mrcnn.converters.imagenet import PRETRAININGS, PUBLISHED_SUFFIXES
from mrcnn.training.random_start import start_at_random
from mrcnn.weights.hdf5 import layer_of, matches
from mrcnn.weights.layout import HEADS
from siamese_mrcnn.modeling.co_attention import CO_ATTENTION

# ImageNet without the classes that COCO has, unless all of them are trained anyway.
IMAGENET = {"all": "imagenet-1k", "split": "imagenet-687"}


def start_from(model, weights, split, training, exclude=None):
    """Load the weights to start with and say what was loaded.

    Args:
        model: to train.
        weights: as of --weights.
        split: decides which ImageNet "imagenet" stands for.
        training: data, which a random start is fitted to.
        exclude: as of --exclude.
    """
    if weights == "none":
        start_at_random(model, training)
        return
    if weights == "last":
        print(model.load_latest_checkpoint())
        return
    if weights == "imagenet":
        weights = IMAGENET["all" if split == "all" else "split"]
    if weights in PRETRAININGS or Path(weights).suffix in PUBLISHED_SUFFIXES:
        report, exclude = model.load_imagenet_weights(weights), None
        fitted = model.config.FITTED_START
    else:
        report = model.load_weights(weights, exclude=exclude, may_be_missing=HEADS)
        fitted = False
    print(report)
    if exclude or fitted:
        start_at_random(model, training, keep=report.loaded)
    elif measured := [name for name in report.missing if matches(layer_of(name), CO_ATTENTION)]:
        start_at_random(model, training, keep={*report.loaded, *report.missing} - {*measured})
