"""How the originals' checkpoint files are laid out: groups, and the order of layers in them."""

import re
import string

from mrcnn.modeling.resnet import BLOCKS
from mrcnn.weights.hdf5 import layer_of, named_variables, save_original_weights, weight_array

BASIC = ("resnet18", "resnet34")

PYRAMID = [
    *(f"fpn_c{level}p{level}" for level in (5, 4, 3, 2)),
    *map("fpn_p{}".format, (5, 2, 3, 4)),
]
REGION_PROPOSALS = ["rpn_conv_shared", "rpn_class_raw", "rpn_bbox_pred"]
BOX_HIDDEN = ["mrcnn_class_conv1", "mrcnn_class_bn1", "mrcnn_class_conv2", "mrcnn_class_bn2"]
BOX_OUTPUTS = ["mrcnn_class_logits", "mrcnn_bbox_fc"]
MASK = [
    *(f"mrcnn_mask_{kind}{number}" for number in range(1, 5) for kind in ("conv", "bn")),
    "mrcnn_mask_deconv",
    "mrcnn_mask",
]


def resnet_layers(architecture):
    """Weighted layers of the backbone in the order of the originals' files."""
    layers = ["conv1", "bn_conv1"]
    for stage, blocks in zip(range(2, 6), BLOCKS[architecture], strict=True):
        for letter in string.ascii_lowercase[:blocks]:
            if architecture in BASIC:
                layers += _basic_layers(f"{stage}{letter}", shortcut=letter == "a")
            else:
                layers += _block_layers(f"{stage}{letter}", shortcut=letter == "a")
    return layers


def _basic_layers(block, shortcut):
    """Of a block that the originals do not have, in the same style; some have no shortcut."""
    parts = ("1", "2", "_shortcut")[: 3 if shortcut else 2]
    return [f"{kind}{block}_basic{part}" for part in parts for kind in ("res", "bn")]


def _block_layers(block, shortcut):
    def pair(branch):
        return [f"res{block}_branch{branch}", f"bn{block}_branch{branch}"]

    layers = [*pair("2a"), *pair("2b")]
    if not shortcut:
        return [*layers, *pair("2c")]
    (convolution, norm), (shortcut_convolution, shortcut_norm) = pair("2c"), pair("1")
    return [*layers, convolution, shortcut_convolution, norm, shortcut_norm]


def mask_rcnn_groups(architecture):
    """Groups of a Mask R-CNN file: every layer its own, but for the nested RPN."""
    return [
        *flat([*resnet_layers(architecture), *PYRAMID]),
        ("rpn_model", REGION_PROPOSALS),
        *flat([*BOX_HIDDEN, *BOX_OUTPUTS, *MASK]),
    ]


def flat(layers):
    """A group for each layer."""
    return [(layer, [layer]) for layer in layers]


def architecture_of(names):
    """The backbone, say "resnet50", from the tensor or layer names of a model."""
    if any(name.startswith("res2a_basic1") for name in names):
        longer = any(name.startswith("res3d_") for name in names)
        return "resnet34" if longer else "resnet18"
    deep = any(re.match(r"res4[g-w]_", name) for name in names)
    return "resnet101" if deep else "resnet50"


def write_original_layout(model, path, file_groups):
    """Write a model's weights in the layout of the originals (Keras 2), atomically.

    Args:
        model: Keras model.
        path: file to write, .h5 or .hdf5.
        file_groups: function of an architecture, say `mask_rcnn_groups`.
    """
    tensors = {name: weight_array(variable) for name, variable in named_variables(model).items()}
    held = {layer_of(name) for name in tensors}
    groups = [
        (group, layers)
        for group, layers in file_groups(architecture_of(tensors))
        if held.intersection(layers)
    ]
    save_original_weights(tensors, path, groups)
