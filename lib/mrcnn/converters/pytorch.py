"""What pytorch-mask-rcnn (multimodallearning/pytorch-mask-rcnn) calls our tensors, both ways.

It is a port of Matterport's Mask R-CNN, and its published files were converted from Matterport's:
the same numbers in the same order. RGB input less the same mean pixel, an epsilon of 1e-3 in every
batch normalisation, two logits an anchor (background, object) beside each other, deltas as
(dy, dx, log height, log width). What differs is the names, and PyTorch's order of axes.
"""

import re
import string

import numpy as np

from mrcnn.conventions import CONVENTIONS
from mrcnn.converters.name_tables import (
    VECTOR,
    NameTable,
    Rule,
    default_layout,
    is_norm,
    model_layers,
)
from mrcnn.converters.translate import ConversionError, logits_per_anchor
from mrcnn.files import atomic_path
from mrcnn.modeling.backbones import architecture_of
from mrcnn.weights.hdf5 import LoadReport, WeightsError

PROGRAM = "pytorch-mask-rcnn"
BACKBONES = ("resnet50", "resnet101")  # that the program has
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
    return NameTable(PROGRAM, list(_rules(architecture)))


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


def state_dict_of(tensors, path):
    """Tensors of ours as the program's state_dict: {name: float32 array}.

    Args:
        tensors: {"<layer>/<kind>": array} of Mask R-CNN or its backbone.
        path: file to write, for sentences.

    Raises:
        ConversionError: something is missing, or has no place in that program.
        WeightsError: the backbone or the region proposal network is of another kind.
    """
    _require_its_model(tensors, path)
    table = pytorch_table(architecture_of(tensors)).for_parts(tensors, "ours")
    known = {rule.ours: rule.layout.their_axes for rule in table.rules}
    report = LoadReport(str(path))
    report.missing = [name for name in known if name not in tensors]
    report.unexpected = [name for name in tensors if name not in known]
    report.wrong_shape = [
        (name, tensors[name].shape, f"{axes} axes")
        for name, axes in known.items()
        if name in tensors and tensors[name].ndim != axes
    ]
    if report.missing or report.unexpected or report.wrong_shape:
        raise ConversionError(
            f"These weights have no form in {PROGRAM}, which has Mask R-CNN or its backbone, and "
            "nothing else.",
            report,
        )
    return {
        rule.theirs: np.ascontiguousarray(rule.layout.to_theirs(tensors[rule.ours]), np.float32)
        for rule in table.rules
    }


def _require_its_model(tensors, path):
    backbone = architecture_of(tensors)
    if backbone not in BACKBONES:
        raise WeightsError(
            f"The weights for {path} have the backbone {backbone}, and {PROGRAM} has "
            f"{' and '.join(BACKBONES)} alone: they have no form there."
        )
    # Softmax over two logits an anchor and a sigmoid of one are different models.
    shapes = {name: array.shape for name, array in tensors.items()}
    found, expected = logits_per_anchor(shapes), CONVENTIONS["matterport"].logits_per_anchor
    if found not in (None, expected):
        raise WeightsError(
            f"The weights for {path} have {found:g} class logits an anchor in the region proposal "
            f"network, and {PROGRAM} has {expected}: they have no form there."
        )


def write_state_dict(blobs, path):
    """Write {name: float32 array} as a `.pth` file, atomically, by PyTorch.

    Raises:
        ImportError: PyTorch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{path} can only be written by PyTorch, which is not installed. Install it with: pip "
            "install 'siamese-mask-rcnn[torch]'"
        ) from error
    size = sum(array.nbytes for array in blobs.values())
    with atomic_path(path, size=size) as temporary, open(temporary, "wb") as file:
        torch.save({name: torch.from_numpy(array) for name, array in blobs.items()}, file)
