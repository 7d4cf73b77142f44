"""Changes that programs make to Matterport's code and that change nothing here: they are told."""

import functools
import logging
import sys

from mrcnn.matterport.retired_names import SUCCESSORS

logger = logging.getLogger(__name__)

# Methods of Matterport's model that it calls by itself, and ours does not: what to do instead.
NEVER_CALLED = {
    "build": "replace make_network(config), see mrcnn.modeling.mask_rcnn.MaskRCNNNetwork",
    "compile": "set OPTIMIZER, LEARNING_MOMENTUM, GRADIENT_CLIP_NORM and LOSS_WEIGHTS",
    "find_trainable_layer": "give train() a regular expression of layer names as `layers`",
    "get_anchors": "set RPN_ANCHOR_SCALES and RPN_ANCHOR_RATIOS",
    "get_trainable_layers": "give train() a regular expression of layer names as `layers`",
    "mold_inputs": "replace prepare(images)",
    "set_trainable": "give train() a regular expression of layer names as `layers`",
    "unmold_detections": "replace restore(found, geometries)",
}
MODULES = ("mrcnn.model", "mrcnn.utils")  # whose functions programs put others in place of

INSTEAD = (
    "make a subclass of MaskRCNN that has sample_loader, prepare(), restore() or make_network() of "
    "its own"
)


def say_what_is_ignored(model_class, own_class):
    """Warn, once each, of methods and functions that a program replaced and nothing here calls.

    Args:
        model_class: class of the model that is used.
        own_class: the class of this program that defines the methods.
    """
    for name, instead in NEVER_CALLED.items():
        if getattr(model_class, name, None) is not getattr(own_class, name, None):
            _warn_once(f"{model_class.__name__}.{name}()", instead)
    for module in filter(None, map(sys.modules.get, MODULES)):
        for name in (*module.__all__, *SUCCESSORS):
            value = vars(module).get(name)
            if callable(value) and not str(value.__module__).startswith("mrcnn."):
                instead = f"see {SUCCESSORS[name]}" if name in SUCCESSORS else INSTEAD
                _warn_once(f"{module.__name__}.{name}", instead)


@functools.cache
def _warn_once(name, instead):
    logger.warning(
        "This program puts its own %s in place of Matterport's, but training and detection do not "
        "call it here. To the same end, %s.",
        name,
        instead,
    )
