"""Names of Matterport's `model` and `utils` that belong to TensorFlow 1's graph.

They can be imported, so that a program runs which never uses them; to use one ends in a sentence
that says what does its work in the Keras 3 network.
"""

SUCCESSORS = {
    "BatchNorm": "mrcnn.modeling.conv_norm.NormalizedConvolution",
    "DetectionLayer": "mrcnn.modeling.detection_layer.DetectionSelection",
    "DetectionTargetLayer": "mrcnn.modeling.roi_targets.RoiTargets",
    "ProposalLayer": "mrcnn.modeling.proposals.Proposals",
    "PyramidROIAlign": "mrcnn.ops.roi_align.PyramidRoIAlign",
    "apply_box_deltas_graph": "mrcnn.ops.boxes.decode_deltas",
    "batch_slice": "mrcnn.ops.gather",
    "box_refinement_graph": "mrcnn.ops.boxes.encode_deltas",
    "build_fpn_mask_graph": "mrcnn.modeling.roi_heads.MaskHead",
    "build_rpn_model": "mrcnn.modeling.rpn.RegionProposalNetwork",
    "clip_boxes_graph": "mrcnn.ops.boxes.clip",
    "conv_block": "mrcnn.modeling.resnet.Bottleneck",
    "denorm_boxes_graph": "mrcnn.ops.boxes.denormalize",
    "detection_targets_graph": "mrcnn.matterport.detection_targets.build_detection_targets",
    "fpn_classifier_graph": "mrcnn.modeling.roi_heads.BoxHead",
    "identity_block": "mrcnn.modeling.resnet.Bottleneck",
    "mrcnn_bbox_loss_graph": "mrcnn.training.losses.bbox_loss",
    "mrcnn_class_loss_graph": "mrcnn.training.losses.class_loss",
    "mrcnn_mask_loss_graph": "mrcnn.training.losses.mask_loss",
    "norm_boxes_graph": "mrcnn.modeling.mask_rcnn.normalize_boxes",
    "overlaps_graph": "mrcnn.ops.boxes.overlaps",
    "parse_image_meta_graph": "mrcnn.matterport.molding.parse_image_meta",
    "refine_detections_graph": "mrcnn.modeling.detection_layer.DetectionSelection",
    "resnet_graph": "mrcnn.modeling.resnet.ResNet",
    "rpn_bbox_loss_graph": "mrcnn.training.losses.rpn_bbox_loss",
    "rpn_class_loss_graph": "mrcnn.training.losses.rpn_class_loss",
    "rpn_graph": "mrcnn.modeling.rpn.RegionProposalNetwork",
    "smooth_l1_loss": "mrcnn.training.losses.smooth_l1",
    "trim_zeros_graph": "mrcnn.metrics.trim_zeros",
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
            "see its docstring for the arguments, and mrcnn/modeling/mask_rcnn.py for its use."
        )

    return type(name, (), {"__init__": refuse})
