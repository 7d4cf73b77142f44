"""How the originals' checkpoint files are laid out: groups, and the order of layers in them."""

from mrcnn.modeling.backbones import BACKBONES, architecture_of
from mrcnn.weights.hdf5 import (
    layer_of,
    matches,
    named_variables,
    read_shapes,
    save_original_weights,
    weight_array,
)

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

# Regular expression of the layers that are no backbone's.
HEADS = r"(mrcnn_.*)|(rpn_.*)|(fpn_.*)"


def backbone_layers(architecture):
    """Weighted layers of a backbone in the order of the originals' files; of None, none."""
    return list(BACKBONES[architecture].layers) if architecture else []


def mask_rcnn_groups(architecture):
    """Groups of a Mask R-CNN file: every layer its own, but for the nested RPN.

    `architecture` is a name of a backbone, or None for the other parts alone.
    """
    return [
        *flat([*backbone_layers(architecture), *PYRAMID]),
        ("rpn_model", REGION_PROPOSALS),
        *flat([*BOX_HIDDEN, *BOX_OUTPUTS, *MASK]),
    ]


def flat(layers):
    """A group for each layer."""
    return [(layer, [layer]) for layer in layers]


def is_backbone_only(path):
    """Whether a weights file holds nothing of pyramid and heads, as those of ImageNet."""
    return not any(matches(layer_of(name), [HEADS]) for name in read_shapes(path))


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
