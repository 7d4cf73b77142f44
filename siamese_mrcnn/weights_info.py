"""What a weights file holds, and the model that it belongs to, from its tensors alone."""

from dataclasses import dataclass

from mrcnn.converters.translate import logits_per_anchor
from mrcnn.weights.hdf5 import WeightsError, layer_of, read_weights
from mrcnn.weights.layout import architecture_of

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


def describe(tensors):
    """`WeightsInfo` of {"<layer>/<kind>": array}.

    Raises:
        WeightsError: there is no backbone among the tensors.
    """
    layers = {layer_of(name) for name in tensors}
    if not layers & {"res2a_branch2a", "res2a_basic1"}:
        raise WeightsError(
            "These weights have no layer res2a_branch2a, so they are not of a ResNet with the "
            "names of Mask R-CNN. Expected weights of Siamese Mask R-CNN, of Mask R-CNN, or of "
            "their backbone."
        )
    kind = "siamese" if "fpn_distance_P2" in layers else "mask_rcnn"
    return WeightsInfo(
        kind=kind if "mrcnn_class_logits" in layers else "backbone",
        backbone=architecture_of(layers),
        conventions="detectron" if logits_per_anchor(tensors) == 1 else "matterport",
        width=_outputs(tensors, "conv1"),
        pyramid_channels=_outputs(tensors, "fpn_p2"),
        proposal_channels=_outputs(tensors, "rpn_conv_shared"),
        mask_channels=_inputs(tensors, "mrcnn_mask"),
        hidden_size=_outputs(tensors, "mrcnn_class_conv1"),
        num_classes=_outputs(tensors, "mrcnn_class_logits"),
        has_masks="mrcnn_mask" in layers,
        tensors=len(tensors),
        parameters=sum(array.size for array in tensors.values()),
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
    info = describe(read_weights(source))
    if info.kind == "backbone":
        raise WeightsError(
            f"{source} holds a backbone only, and a whole model is needed to convert. A backbone "
            "needs no converting: training starts from either layout."
        )
    model = _model(info)
    model.load_weights(source)
    model.save_weights(target, layout)
    return info


def _model(info):
    """A model that the weights fit."""
    import mrcnn.config
    import mrcnn.model
    import siamese_mrcnn.config
    import siamese_mrcnn.model
    from mrcnn.modeling.mask_rcnn_c4 import C4Config

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
    if info.kind == "mask_rcnn" and info.pyramid_channels is None:
        return mrcnn.model.MaskRCNN("inference", type("Converted", (C4Config,), settings)(), ".")
    if info.kind == "siamese":
        base, settings["FPN_FEATUREMAPS"] = siamese_mrcnn.config.Config, info.pyramid_channels
        make = siamese_mrcnn.model.SiameseMaskRCNN
        return make("inference", ".", type("Converted", (base,), settings)())
    base, settings["TOP_DOWN_PYRAMID_SIZE"] = mrcnn.config.Config, info.pyramid_channels
    return mrcnn.model.MaskRCNN("inference", type("Converted", (base,), settings)(), ".")


def _outputs(tensors, layer):
    kernel = tensors.get(f"{layer}/kernel")
    return None if kernel is None else int(kernel.shape[-1])


def _inputs(tensors, layer):
    kernel = tensors.get(f"{layer}/kernel")
    return None if kernel is None else int(kernel.shape[-2])
