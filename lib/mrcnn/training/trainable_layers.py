"""Which layers a training phase changes: named groups, or a regular expression."""

import re

from mrcnn.modeling.backbones import stages
from mrcnn.weights.hdf5 import layer_of, weight_name
from mrcnn.weights.layout import HEADS

FIRST_STAGES = {"heads": 6, "5+": 5, "4+": 4, "3+": 3}  # of the backbone, beside the heads
GROUPS = (*FIRST_STAGES, "all")


def set_trainable(model, layers):
    """Let the weights of some layers train, and freeze all others.

    Statistics of batch normalisations are no weights that train; TRAIN_BN decides about them.

    Args:
        model: a Keras model.
        layers: a name from `GROUPS`, or a regular expression of whole layer names.

    Returns:
        names of the layers that train.

    Raises:
        ValueError: the expression is none, or no layer has such a name.
    """
    pattern = _pattern_of(layers)
    weights = [(layer_of(weight_name(each)), each) for each in model.weights if _can_train(each)]
    chosen = {layer for layer, _ in weights if pattern.fullmatch(layer)}
    if not chosen:
        raise ValueError(
            f"layers={layers!r} matches no layer, so nothing would train. Use one of "
            f"{', '.join(GROUPS)} or an expression that matches whole names like {weights[0][0]}."
        )
    for layer, variable in weights:
        variable.trainable = layer in chosen
    return sorted(chosen)


def _pattern_of(layers):
    try:
        return re.compile(_expression(layers))
    except (re.error, TypeError) as error:
        raise ValueError(
            f"layers must be one of {', '.join(GROUPS)} or a regular expression of layer names, "
            f"but {layers!r} is neither: {error}."
        ) from error


def _expression(layers):
    if layers == "all":
        return ".*"
    if layers not in GROUPS:
        return layers
    first = FIRST_STAGES[layers]
    return "|".join([HEADS, *(layer for layer, stage in stages().items() if stage >= first)])


def _can_train(variable):
    name = weight_name(variable)
    return name.split("/")[-1] not in ("moving_mean", "moving_variance") and "seed" not in name
