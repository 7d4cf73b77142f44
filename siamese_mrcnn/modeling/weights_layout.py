"""How the original's checkpoint files are laid out: backbone, pyramid and RPN are nested."""

from mrcnn.weights.layout import (
    BOX_HIDDEN,
    BOX_OUTPUTS,
    MASK,
    PYRAMID,
    REGION_PROPOSALS,
    flat,
    resnet_layers,
)
from siamese_mrcnn.modeling.matching import LEVELS


def siamese_groups(architecture):
    """Groups of a Siamese Mask R-CNN file and the layers in each, in the original's order."""
    return [
        ("resnet_model", resnet_layers(architecture)),
        ("fpn_model", PYRAMID),
        *flat([f"fpn_distance_P{level}" for level in LEVELS]),
        ("rpn_model", REGION_PROPOSALS),
        *flat([*BOX_HIDDEN, *reversed(BOX_OUTPUTS), *MASK]),
    ]
