"""Tables between our names of tensors and those of another program, and how numbers lie there.

Everything here moves numbers without changing one of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mrcnn.modeling.backbones import stages
from mrcnn.weights.hdf5 import layer_of
from mrcnn.weights.layout import BOX_OUTPUTS, MASK, mask_rcnn_groups


@dataclass(frozen=True)
class Layout:
    """How the numbers of a kind of tensor lie in both programs.

    `to_theirs` undoes `to_ours`, where weights go both ways; `fits` says whether a tensor of
    theirs, of the right number of axes, can be laid out so.
    """

    their_axes: int
    to_ours: Callable
    to_theirs: Callable | None = None
    fits: Callable = lambda array: True


@dataclass(frozen=True)
class Rule:
    """One tensor: "<layer>/<kind>" here, another name there."""

    ours: str
    theirs: str
    layout: Layout


# Out, in, height, width there; height, width, in, out here. Of an upsampling convolution
# in, out, height, width there; height, width, out, in here: the same reversal of two pairs.
KERNEL = Layout(4, lambda a: a.transpose(2, 3, 1, 0), lambda a: a.transpose(3, 2, 0, 1))
MATRIX = Layout(2, np.transpose, np.transpose)  # out, in there
VECTOR = Layout(1, np.asarray, np.asarray)


@dataclass(frozen=True)
class NameTable:
    """All tensors of one kind of model.

    Attributes:
        program: whose names they are, for sentences.
        rules: list of `Rule`.
        constants: {our name: number}, tensors that the other program lacks, all of one number.
    """

    program: str
    rules: list
    constants: dict = field(default_factory=dict)

    def for_parts(self, names, side):
        """The table for the parts of a model that a file has: backbone, heads, masks.

        A part counts as there if one of its tensors is, so that the others are missed.

        Args:
            names: tensors of the file.
            side: "ours" or "theirs", whose names they are.
        """
        present = {_part(rule.ours) for rule in self.rules if getattr(rule, side) in names}
        present |= {"backbone", "heads"} if "masks" in present else {"backbone"}
        rules = [rule for rule in self.rules if _part(rule.ours) in present]
        constants = {
            name: number for name, number in self.constants.items() if _part(name) in present
        }
        return NameTable(self.program, rules, constants)


BACKBONE = frozenset(stages())


def _part(name):
    layer = layer_of(name)
    if layer in BACKBONE:
        return "backbone"
    return "masks" if layer in MASK else "heads"


def is_norm(layer):
    """Whether a layer is a batch normalisation, from its name."""
    return layer.startswith("bn") or "_bn" in layer


def convolution_of(norm):
    """The convolution before a batch normalisation: res2a_branch2a of bn2a_branch2a."""
    if norm == "bn_conv1":
        return "conv1"
    return norm.replace("_bn", "_conv") if "_bn" in norm else norm.replace("bn", "res", 1)


def outputs_of(tensors, layer):
    """How many outputs a layer has, from its kernel or that of the convolution before it."""
    kernel = tensors[f"{convolution_of(layer) if is_norm(layer) else layer}/kernel"]
    # An upsampling convolution has its outputs before its inputs.
    return kernel.shape[-2 if layer == "mrcnn_mask_deconv" else -1]


def model_layers(architecture):
    """All layers with weights of Mask R-CNN."""
    return [layer for _, layers in mask_rcnn_groups(architecture) for layer in layers]


def default_layout(layer):
    """How a layer's kernel lies in PyTorch and Caffe2."""
    return MATRIX if layer in BOX_OUTPUTS else KERNEL
