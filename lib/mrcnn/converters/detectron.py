"""What Detectron (Caffe2) calls the tensors of its Mask R-CNN, with a pyramid (FPN) or none (C4).

The numbers stay; their order follows ours: kernels height, width, in, out; the first convolution's
inputs red, green, blue (Detectron's: blue, green, red); box deltas (dy, dx, log height, log width)
for every anchor and class (Detectron's: dx, dy, log width, log height); the first fully connected
layer as a convolution over the 7 x 7 cells of a RoI.

Detectron's backbone has a scale and a shift instead of batch normalisation, its heads have
neither, and its backbone's convolutions have no bias. Our layers for these get the numbers that
do nothing. They divide by sqrt(moving_variance + epsilon): with `UNIT_VARIANCE` by 1, exactly in
float32.

A model finds with these weights what Detectron finds if it follows Detectron's conventions
(`mrcnn.conventions`) and settings (`mrcnn.converters.detectron_config`), unlike Matterport's: among
others the mean pixel, the padding before the max pooling of stage 1, one logit an anchor, the order
and the rounding of anchors (ratios height / width .5, 1, 2, in each ratio the sizes 32, 64, ...,
512 with C4), deltas of anchors in units of 1. Detectron's boxes (x1, y1, x2, y2) have x2 and y2
inside, so that a width is x2 - x1 + 1; with x2 and y2 outside, as here, boxes and deltas follow
the formulas of ours in pixels.
"""

import re
import string

import numpy as np

from mrcnn.converters.name_tables import (
    KERNEL,
    MATRIX,
    VECTOR,
    Layout,
    NameTable,
    Rule,
    convolution_of,
    default_layout,
    is_norm,
    model_layers,
)
from mrcnn.modeling.conv_norm import EPSILON
from mrcnn.modeling.resnet import BLOCKS
from mrcnn.weights.layout import backbone_layers

PROGRAM = "Detectron"
DEEPER = "res4_6_branch2a_w"  # a seventh block in stage 4
IGNORED = "_momentum"  # ending of what the optimiser keeps
POOL_SIZE = 7  # cells per side of the RoIs that fc6 sees
UNIT_VARIANCE = np.float32(1) - np.float32(EPSILON)

SHARED_NAMES = {
    "conv1": "conv1",
    "mrcnn_class_logits": "cls_score",
    "mrcnn_bbox_fc": "bbox_pred",
    "mrcnn_mask_deconv": "conv5_mask",
    "mrcnn_mask": "mask_fcn_logits",
}
C4_NAMES = {
    "rpn_conv_shared": "conv_rpn",
    "rpn_class_raw": "rpn_cls_logits",
    "rpn_bbox_pred": "rpn_bbox_pred",
}
FPN_NAMES = {
    "rpn_conv_shared": "conv_rpn_fpn2",  # shared by all levels, kept with the lowest
    "rpn_class_raw": "rpn_cls_logits_fpn2",
    "rpn_bbox_pred": "rpn_bbox_pred_fpn2",
    "mrcnn_class_conv1": "fc6",
    "mrcnn_class_conv2": "fc7",
    **{f"mrcnn_mask_conv{number}": f"_[mask]_fcn{number}" for number in range(1, 5)},
}


def _swapped(array):
    """Deltas (dx, dy, log width, log height) to (dy, dx, log height, log width)."""
    pairs = array.reshape(*array.shape[:-1], -1, 2)[..., ::-1]
    return pairs.reshape(array.shape)


def _cells(matrix):
    """fc6, [out, channels * rows * columns], to a kernel [rows, columns, channels, out]."""
    return KERNEL.to_ours(matrix.reshape(len(matrix), -1, POOL_SIZE, POOL_SIZE))


def _with_deltas(layout):
    return Layout(
        layout.their_axes,
        lambda array: _swapped(layout.to_ours(array)),
        fits=lambda array: len(array) % 4 == 0,
    )


KERNEL_LAYOUTS = {
    "conv1": Layout(4, lambda array: KERNEL.to_ours(array)[:, :, ::-1]),
    "mrcnn_class_conv1": Layout(2, _cells, fits=lambda array: array.shape[1] % POOL_SIZE**2 == 0),
    "mrcnn_class_conv2": Layout(2, lambda array: array.T[None, None]),
    "rpn_bbox_pred": _with_deltas(KERNEL),
    "mrcnn_bbox_fc": _with_deltas(MATRIX),
}
BIAS_LAYOUTS = dict.fromkeys(("rpn_bbox_pred", "mrcnn_bbox_fc"), _with_deltas(VECTOR))


def detectron_table(architecture, pyramid):
    """`NameTable` of a Mask R-CNN with or without a pyramid.

    Args:
        architecture: "resnet50" or "resnet101".
        pyramid: True for FPN; False for C4, whose stage 5 works on RoIs.
    """
    names = {**SHARED_NAMES, **(FPN_NAMES | _pyramid_names(architecture) if pyramid else C4_NAMES)}
    backbone = set(backbone_layers(architecture))
    rules, constants = [], {}
    for layer in model_layers(architecture):
        if is_norm(layer):
            if layer in backbone or convolution_of(layer) in names:
                _add_norm(layer, layer in backbone, rules, constants)
        elif layer in backbone:
            rules.append(_kernel_rule(layer, _backbone_name(layer)))
            constants[f"{layer}/bias"] = 0.0
        elif layer in names:
            rules.append(_kernel_rule(layer, names[layer]))
            bias = BIAS_LAYOUTS.get(layer, VECTOR)
            rules.append(Rule(f"{layer}/bias", f"{names[layer]}_b", bias))
    return NameTable(PROGRAM, rules, constants)


def _kernel_rule(layer, name):
    layout = KERNEL_LAYOUTS.get(layer, default_layout(layer))
    return Rule(f"{layer}/kernel", f"{name}_w", layout)


def _add_norm(layer, is_affine, rules, constants):
    """A scale and a shift where Detectron has them, else numbers that do nothing."""
    if is_affine:
        convolution = _backbone_name(convolution_of(layer))
        name = "res_conv1_bn" if convolution == "conv1" else f"{convolution}_bn"
        rules.append(Rule(f"{layer}/gamma", f"{name}_s", VECTOR))
        rules.append(Rule(f"{layer}/beta", f"{name}_b", VECTOR))
    else:
        constants |= {f"{layer}/gamma": 1.0, f"{layer}/beta": 0.0}
    constants |= {f"{layer}/moving_mean": 0.0, f"{layer}/moving_variance": UNIT_VARIANCE}


def _backbone_name(layer):
    """What a convolution of the backbone is called there: res3b_branch2c is res3_1_branch2c."""
    if layer in SHARED_NAMES:
        return SHARED_NAMES[layer]
    stage, letter, branch = re.fullmatch(r"res(\d)([a-z])_branch(\w+)", layer).groups()
    return f"res{stage}_{string.ascii_lowercase.index(letter)}_branch{branch}"


def _pyramid_names(architecture):
    """Laterals and outputs of the pyramid are named after the last block of each stage."""
    names = {}
    for stage, blocks in zip(range(2, 6), BLOCKS[architecture], strict=True):
        last = f"res{stage}_{blocks - 1}_sum"
        names[f"fpn_c{stage}p{stage}"] = f"fpn_inner_{last}" + ("" if stage == 5 else "_lateral")
        names[f"fpn_p{stage}"] = f"fpn_{last}"
    return names


def is_pyramid(names):
    """Whether a file has the pyramid's tensors, by their names or ours."""
    return any(name.startswith(("fpn_", "conv_rpn_fpn")) for name in names)
