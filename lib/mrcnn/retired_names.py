"""Names of Matterport's `model` and `utils` that belong to TensorFlow 1's graph.

They can be imported, so that a program runs which never uses them; to use one ends in a sentence
that says what does its work in the Keras 3 network.
"""

SUCCESSORS = {
    "BatchNorm": "mrcnn.normalization.NormalizedConvolution",
    "DetectionLayer": "mrcnn.detections.DetectionSelection",
    "DetectionTargetLayer": "mrcnn.roi_targets.RoiTargets",
    "ProposalLayer": "mrcnn.proposals.Proposals",
    "PyramidROIAlign": "mrcnn.roi_align.PyramidRoIAlign",
    "apply_box_deltas_graph": "mrcnn.boxes.decode_deltas",
    "batch_slice": "mrcnn.tensors",
    "box_refinement_graph": "mrcnn.boxes.encode_deltas",
    "build_fpn_mask_graph": "mrcnn.heads.MaskHead",
    "build_rpn_model": "mrcnn.rpn.RegionProposalNetwork",
    "clip_boxes_graph": "mrcnn.boxes.clip",
    "conv_block": "mrcnn.resnet.Bottleneck",
    "denorm_boxes_graph": "mrcnn.boxes.denormalize",
    "detection_targets_graph": "mrcnn.detection_targets.build_detection_targets",
    "fpn_classifier_graph": "mrcnn.heads.BoxHead",
    "identity_block": "mrcnn.resnet.Bottleneck",
    "mrcnn_bbox_loss_graph": "mrcnn.losses.bbox_loss",
    "mrcnn_class_loss_graph": "mrcnn.losses.class_loss",
    "mrcnn_mask_loss_graph": "mrcnn.losses.mask_loss",
    "norm_boxes_graph": "mrcnn.network.normalize_boxes",
    "overlaps_graph": "mrcnn.boxes.overlaps",
    "parse_image_meta_graph": "mrcnn.molding.parse_image_meta",
    "refine_detections_graph": "mrcnn.detections.DetectionSelection",
    "resnet_graph": "mrcnn.resnet.ResNet",
    "rpn_bbox_loss_graph": "mrcnn.losses.rpn_bbox_loss",
    "rpn_class_loss_graph": "mrcnn.losses.rpn_class_loss",
    "rpn_graph": "mrcnn.rpn.RegionProposalNetwork",
    "smooth_l1_loss": "mrcnn.losses.smooth_l1",
    "trim_zeros_graph": "mrcnn.average_precision.trim_zeros",
}


def retired(name):
    """A class of this name that cannot be made, for the `__getattr__` of a module.

    Raises:
        AttributeError: there never was such a name.
    """
    if name not in SUCCESSORS:
        raise AttributeError(f"There is no {name!r} in this module of mrcnn.")

    def refuse(self, *arguments, **keywords):
        raise NotImplementedError(
            f"{name} belonged to the graph of TensorFlow 1. {SUCCESSORS[name]} does its work now; "
            "see its docstring for the arguments, and mrcnn/network.py for how it is called."
        )

    return type(name, (), {"__init__": refuse})
