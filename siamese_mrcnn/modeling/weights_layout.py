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
from siamese_mrcnn.modeling.co_attention import ATTENDED
from siamese_mrcnn.modeling.matching import LEVELS

# Not in the original's files: of other ways to compare, and of a second look, behind all others.
CO_ATTENTION_LAYERS = [
    f"fpn_{kind}_P{level}"
    for level in ATTENDED
    for kind in (
        *(f"attention_{part}" for part in ("phi", "theta", "g", "query", "query_bn")),
        *(f"attention_{part}" for part in ("reference", "reference_bn")),
        *(f"excitation_{part}" for part in ("squeeze", "weights")),
    )
]
ROI_COMPARISON_LAYERS = [
    f"mrcnn_compare_{part}" for part in ("reduce", "roi_keys", "reference_keys", "merge")
]
VERIFIER_LAYERS = [
    *(
        f"{kind}_verify{block}_basic{part}"
        for block, parts in (("3a", "12"), ("3b", "12"), ("4a", "12"), ("4b", "12"))
        for part in ([*parts, "_shortcut"] if block.endswith("a") else parts)
        for kind in ("res", "bn")
    ),
    "verify_norm",
    "verify_embedding",
    "verify_score",
]


def siamese_groups(architecture):
    """Groups of a Siamese Mask R-CNN file and the layers in each, in the original's order."""
    return [
        *([(BACKBONES[architecture].group, backbone_layers(architecture))] if architecture else []),
        ("fpn_model", PYRAMID),
        *flat([f"fpn_distance_P{level}" for level in LEVELS]),
        ("rpn_model", REGION_PROPOSALS),
        *flat([*BOX_HIDDEN, *reversed(BOX_OUTPUTS), *MASK]),
        *flat([*CO_ATTENTION_LAYERS, *ROI_COMPARISON_LAYERS, *VERIFIER_LAYERS]),
    ]
