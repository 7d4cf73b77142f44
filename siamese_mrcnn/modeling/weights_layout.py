"""How the original's checkpoint files are laid out: backbone, pyramid and RPN are nested."""

from mrcnn.modeling.backbones import BACKBONES
from mrcnn.weights.layout import (
    BOX_HIDDEN,
    BOX_OUTPUTS,
    MASK,
    PYRAMID,
    REGION_PROPOSALS,
    backbone_layers,
    flat,
)
from siamese_mrcnn.modeling.matching import LEVELS


def siamese_groups(architecture):
    """Groups of a Siamese Mask R-CNN file and the layers in each, in the original's order."""
    return [
        *([(BACKBONES[architecture].group, backbone_layers(architecture))] if architecture else []),
        ("fpn_model", PYRAMID),
        *flat([f"fpn_distance_P{level}" for level in LEVELS]),
        ("rpn_model", REGION_PROPOSALS),
        *flat([*BOX_HIDDEN, *reversed(BOX_OUTPUTS), *MASK]),
    ]
