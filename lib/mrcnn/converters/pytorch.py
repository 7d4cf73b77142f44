"""What pytorch-mask-rcnn (multimodallearning/pytorch-mask-rcnn) calls our tensors.

It is a port of Matterport's Mask R-CNN, and its published files were converted from Matterport's:
the same numbers in the same order. RGB input less the same mean pixel, an epsilon of 1e-3 in every
batch normalisation, two logits an anchor (background, object) beside each other, deltas as
(dy, dx, log height, log width). What differs is the names, and PyTorch's order of axes.
"""

import re
import string

from mrcnn.converters.name_tables import (
    VECTOR,
    NameTable,
    Rule,
    default_layout,
    is_norm,
    model_layers,
)

PROGRAM = "pytorch-mask-rcnn"
DEEPER = "fpn.C4.6.conv1.weight"  # a seventh block in stage 4
NORM_KINDS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
SIMPLE = {
    "conv1": "fpn.C1.0",
    "bn_conv1": "fpn.C1.1",
    "rpn_conv_shared": "rpn.conv_shared",
    "rpn_class_raw": "rpn.conv_class",
    "rpn_bbox_pred": "rpn.conv_bbox",
    "mrcnn_class_logits": "classifier.linear_class",
    "mrcnn_bbox_fc": "classifier.linear_bbox",
    "mrcnn_mask_deconv": "mask.deconv",
    "mrcnn_mask": "mask.conv5",
}
PATTERNS = {
    r"fpn_c(\d)p\d": r"fpn.P\1_conv1",
    r"fpn_p(\d)": r"fpn.P\1_conv2.1",
    r"mrcnn_class_(conv|bn)(\d)": r"classifier.\1\2",
    r"mrcnn_mask_(conv|bn)(\d)": r"mask.\1\2",
}


def pytorch_table(architecture):
    """`NameTable` of "resnet50" or "resnet101"."""
    return NameTable(PROGRAM, list(_rules(architecture)), logits_per_anchor=2)


def _rules(architecture):
    for layer in model_layers(architecture):
        name = pytorch_layer(layer)
        if is_norm(layer):
            for kind, theirs in NORM_KINDS.items():
                yield Rule(f"{layer}/{kind}", f"{name}.{theirs}", VECTOR)
        else:
            yield Rule(f"{layer}/kernel", f"{name}.weight", default_layout(layer))
            yield Rule(f"{layer}/bias", f"{name}.bias", VECTOR)


def pytorch_layer(layer):
    """What a layer of ours is called there: bn3b_branch2c is fpn.C3.1.bn3."""
    if layer in SIMPLE:
        return SIMPLE[layer]
    for pattern, name in PATTERNS.items():
        if re.fullmatch(pattern, layer):
            return re.sub(pattern, name, layer)
    kind, stage, letter, branch = re.fullmatch(r"(res|bn)(\d)([a-z])_branch(\w+)", layer).groups()
    block = f"fpn.C{stage}.{string.ascii_lowercase.index(letter)}"
    if branch == "1":
        return f"{block}.downsample.{0 if kind == 'res' else 1}"
    position = "abc".index(branch[1]) + 1
    return f"{block}.{'conv' if kind == 'res' else 'bn'}{position}"
