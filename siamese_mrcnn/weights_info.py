"""What a weights file holds, and the model that it belongs to, from its tensors alone."""

import math
from dataclasses import dataclass

from mrcnn.converters.translate import logits_per_anchor
from mrcnn.modeling.backbones import BACKBONES, architecture_of
from mrcnn.weights.hdf5 import WeightsError, layer_of, read_shapes
from mrcnn.weights.presets import known_settings, read_facts

KINDS = {
    "siamese": "Siamese Mask R-CNN",
    "mask_rcnn": "Mask R-CNN",
    "backbone": "backbone only",
}


@dataclass(frozen=True)
class WeightsInfo:
    """Kind (a key of `KINDS`), backbone and sizes; None for a size that the file does not tell."""

    kind: str
    backbone: str
    conventions: str  # of `mrcnn.conventions`
    width: int | None  # of the backbone
    pyramid_channels: int | None  # None, too, for a model without a pyramid
    proposal_channels: int | None
    mask_channels: int | None
    hidden_size: int | None  # of the box head
    num_classes: int | None  # background included
    has_masks: bool
    tensors: int
    parameters: int


def describe(shapes):
    """`WeightsInfo` of {"<layer>/<kind>": shape}.

    Raises:
        WeightsError: there is no backbone among the tensors.
    """
    layers = {layer_of(name) for name in shapes}
    backbone = architecture_of(layers)
    if backbone is None:
        raise WeightsError(
            f"These weights have no layer of a backbone that is known ({', '.join(BACKBONES)}) by "
            "the names of Mask R-CNN. Expected weights of Siamese Mask R-CNN, of Mask R-CNN, or of "
            "their backbone."
        )
    kind = "siamese" if "fpn_distance_P2" in layers else "mask_rcnn"
    return WeightsInfo(
        kind=kind if "mrcnn_class_logits" in layers else "backbone",
        backbone=backbone,
        conventions="detectron" if logits_per_anchor(shapes) == 1 else "matterport",
        width=BACKBONES[backbone].width_of(shapes),
        pyramid_channels=_outputs(shapes, "fpn_p2"),
        proposal_channels=_outputs(shapes, "rpn_conv_shared"),
        mask_channels=_inputs(shapes, "mrcnn_mask"),
        hidden_size=_outputs(shapes, "mrcnn_class_conv1"),
        num_classes=_outputs(shapes, "mrcnn_class_logits"),
        has_masks="mrcnn_mask" in layers,
        tensors=len(shapes),
        parameters=sum(map(math.prod, shapes.values())),
    )


def change_layout(source, target, layout=None):
    """Write a whole model's HDF5 file in the other layout, by way of the model.

    Args:
        source: file of the originals or of Keras 3.
        target: file to write.
        layout: "original" or "keras" (.weights.h5); by default as the target's name says.

    Returns:
        `WeightsInfo`

    Raises:
        FileNotFoundError, WeightsError: the source cannot be read or is not complete.
        ValueError: the target's name does not go with the layout.
    """
    info = describe(read_shapes(source))
    if info.kind == "backbone":
        raise WeightsError(
            f"{source} holds a backbone only, and a whole model is needed to convert. A backbone "
            "needs no converting: training starts from either layout."
        )
    model = _model(info, read_facts(source))
    model.load_weights(source)
    model.save_weights(target, layout)
    return info


def _model(info, facts):
    """A model that the weights fit, by what the file says of it, else by its tensors."""
    import mrcnn.config
    import mrcnn.model
    import siamese_mrcnn.config
    import siamese_mrcnn.model
    from mrcnn.modeling.mask_rcnn_c4 import C4Config

    if facts and info.kind == "siamese":
        base = siamese_mrcnn.config.Config
        config = type("Carried", (base,), known_settings(facts["settings"], base))()
        return siamese_mrcnn.model.SiameseMaskRCNN("inference", ".", config)
    settings = {
        "BACKBONE": info.backbone,
        "BACKBONE_WIDTH": info.width,
        "CONVENTIONS": info.conventions,
        "NUM_CLASSES": info.num_classes,
        "RPN_CHANNELS": info.proposal_channels,
        "MASK_HEAD_CHANNELS": info.mask_channels,
        "FPN_CLASSIF_FC_LAYERS_SIZE": info.hidden_size,
        "MODEL": "mrcnn" if info.has_masks else "frcnn",
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    if info.kind == "mask_rcnn" and info.pyramid_channels is None:
        return mrcnn.model.MaskRCNN("inference", type("Converted", (C4Config,), settings)(), ".")
    if info.kind == "siamese":
        base, settings["FPN_FEATUREMAPS"] = siamese_mrcnn.config.Config, info.pyramid_channels
        make = siamese_mrcnn.model.SiameseMaskRCNN
        return make("inference", ".", type("Converted", (base,), settings)())
    base, settings["TOP_DOWN_PYRAMID_SIZE"] = mrcnn.config.Config, info.pyramid_channels
    return mrcnn.model.MaskRCNN("inference", type("Converted", (base,), settings)(), ".")


def _outputs(shapes, layer):
    kernel = shapes.get(f"{layer}/kernel")
    return None if kernel is None else kernel[-1]


def _inputs(shapes, layer):
    kernel = shapes.get(f"{layer}/kernel")
    return None if kernel is None else kernel[-2]
