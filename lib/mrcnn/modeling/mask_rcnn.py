"""Mask R-CNN as in its figure: encode, propose, then either learn or detect."""

import keras
import numpy as np
from keras import ops

from mrcnn.conventions import conventions_of
from mrcnn.modeling.backbones import backbone_of, standardize
from mrcnn.modeling.detection_layer import DetectionSelection
from mrcnn.modeling.fpn import FeaturePyramid
from mrcnn.modeling.proposals import Proposals
from mrcnn.modeling.roi_heads import BoxHead, MaskHead
from mrcnn.modeling.roi_targets import RoiTargets
from mrcnn.modeling.rpn import RegionProposalNetwork
from mrcnn.ops import boxes
from mrcnn.ops.anchors import (
    anchor_levels,
    anchors_per_cell,
    feature_shape,
    level_sizes,
    pyramid_anchors,
)
from mrcnn.ops.roi_align import PyramidAverages, PyramidRoIAlign


class MaskRCNNNetwork:
    """The parts of Mask R-CNN and the order in which they are called.

    Every method works on tensors as well as on symbolic Keras inputs, so that each part can be
    called on its own or become part of a `keras.Model`. The layers, hence the weights, are the
    same in all of them.
    """

    pyramid_activation = None
    masks_inactive_classes = True  # in the class loss, as Matterport's

    def __init__(self, config):
        self.config = config
        self.conventions = conventions_of(config)
        self.edges = self.conventions.normalizes_edges  # see `mrcnn.ops.boxes.normalize`
        self.make_features()
        self.rpn = RegionProposalNetwork(
            anchors_per_cell(config),
            config.RPN_ANCHOR_STRIDE,
            config.RPN_CHANNELS,
            self.conventions.logits_per_anchor,
        )
        self.make_heads()

    def make_features(self):
        """Make the layers of `encode`."""
        config = self.config
        self.backbone = backbone_of(config).make(config)
        self.pyramid = FeaturePyramid(config.TOP_DOWN_PYRAMID_SIZE, self.pyramid_activation)

    def make_heads(self):
        """Make `box_head` and `mask_head`, which is None for boxes alone."""
        config = self.config
        align = PyramidAverages if self.conventions.averages_samples else PyramidRoIAlign
        self.box_head = BoxHead(
            config.NUM_CLASSES,
            self.head_classes,
            config.FPN_CLASSIF_FC_LAYERS_SIZE,
            config.POOL_SIZE,
            config.TRAIN_BN,
            align,
        )
        self.mask_head = None
        if config.MODEL == "mrcnn":
            self.mask_head = MaskHead(
                self.head_classes,
                config.MASK_POOL_SIZE,
                config.MASK_HEAD_CHANNELS,
                config.TRAIN_BN,
                align,
            )

    @property
    def head_classes(self):
        """For how many classes boxes and masks are predicted separately."""
        return self.config.NUM_CLASSES

    @property
    def least_score(self):
        """Score that detections need before they are chosen among those that overlap."""
        return self.config.DETECTION_MIN_CONFIDENCE

    @property
    def detects_every_class(self):
        """Whether a RoI can be detected as several classes, or as its likeliest one alone."""
        return self.conventions.detects_every_class

    def encode(self, images):
        """Prepared images [batch, height, width, 3], RGB 0..255, to the pyramid [P2, ..., P6]."""
        return self.pyramid(self.backbone_maps(images)[1:])

    def backbone_maps(self, images, subtract_mean=True):
        """Prepared images as of `encode` to [C1, ...]; see `mrcnn.modeling.backbones`."""
        return self.backbone(standardize(images, self.config, subtract_mean))

    def propose(self, pyramid, image_shape, limit):
        """Outputs of the region proposal network, and the RoIs they make.

        Args:
            pyramid: [P2, ..., P6].
            image_shape: (height, width) of the prepared image.
            limit: RoIs per image.

        Returns:
            the dict of `RegionProposalNetwork` with "rois": normalised [batch, limit, 4].
        """
        config, conventions = self.config, self.conventions
        outputs = self.rpn(pyramid[: len(anchor_levels(config))])
        anchors = pyramid_anchors(config, image_shape)
        select = Proposals(
            boxes.normalize(anchors, image_shape, self.edges),
            limit,
            config.PRE_NMS_LIMIT,
            config.RPN_NMS_THRESHOLD,
            config.RPN_BBOX_STD_DEV,
            conventions.log_limit,
            boxes.least_side(image_shape, self.edges),
            level_sizes(config, image_shape) if conventions.proposes_by_level else None,
            name="ROI",
        )
        return {**outputs, "rois": select([outputs["rpn_class"], outputs["rpn_bbox"]])}

    def detect_boxes(self, pyramid, windows, image_shape):
        """Propose, then the final detections, without their masks.

        Args:
            pyramid: [P2, ..., P6].
            windows: normalised [batch, 4], the image without its padding.
            image_shape: (height, width) of the prepared image.

        Returns:
            the dicts of `propose` and `BoxHead` with "detections" [batch, D, (y1, x1, y2, x2,
            class id, score)], boxes normalised, zero padded.
        """
        config = self.config
        proposed = self.propose(pyramid, image_shape, config.POST_NMS_ROIS_INFERENCE)
        predictions = self.box_head(proposed["rois"], pyramid, image_shape)
        select = DetectionSelection(
            config.DETECTION_MAX_INSTANCES,
            self.least_score,
            config.DETECTION_NMS_THRESHOLD,
            config.BBOX_STD_DEV,
            self.conventions.log_limit,
            boxes.least_side(image_shape, self.edges),
            self.detects_every_class,
            name="mrcnn_detection",
        )
        detections = select({**predictions, "rois": proposed["rois"], "windows": windows})
        return {**proposed, **predictions, "detections": detections}

    def predict_masks(self, pyramid, boxes_normalized, image_shape):
        """Mask probabilities [batch, D, 28, 28, classes] of boxes [batch, D, 4].

        Args:
            pyramid: [P2, ..., P5]; more levels change nothing.
        """
        return ops.sigmoid(self.mask_head(boxes_normalized, pyramid, image_shape))

    def train_heads(self, pyramid, rois, ground_truth, image_shape):
        """What the heads predict for sampled RoIs, beside what they should predict.

        Args:
            pyramid: [P2, ..., P6].
            rois: normalised [batch, N, 4].
            ground_truth: dict of gt_class_ids, gt_boxes (pixels), gt_masks, roi_priorities.

        Returns:
            the dicts of `RoiTargets` and `BoxHead` and "mrcnn_mask_logits", the masks only for
            the rows that can be positive.
        """
        config = self.config
        sample = RoiTargets(
            config.TRAIN_ROIS_PER_IMAGE,
            config.ROI_POSITIVE_RATIO,
            config.MASK_SHAPE,
            config.USE_MINI_MASK,
            config.BBOX_STD_DEV,
            config.ROIS_OF_BACKGROUND,
            name="proposal_targets",
        )
        targets = sample(
            {
                "rois": rois,
                "gt_class_ids": ground_truth["gt_class_ids"],
                "gt_boxes": self.normalize(ground_truth["gt_boxes"], image_shape),
                "gt_masks": ground_truth["gt_masks"],
                "priorities": ground_truth["roi_priorities"],
            }
        )
        predictions = self.run_heads(targets["rois"], sample.positive_slots, pyramid, image_shape)
        return {**targets, **predictions}

    def run_heads(self, rois, positive_slots, pyramid, image_shape):
        """What both heads predict: the dict of `BoxHead` and "mrcnn_mask_logits".

        Args:
            rois: normalised [batch, N, 4].
            positive_slots: of how many of them, the first, to predict a mask of.
            pyramid: [P2, ..., P6].
        """
        outputs = self.box_head(rois, pyramid, image_shape)
        if self.mask_head is not None:
            positives = rois[:, :positive_slots]
            outputs["mrcnn_mask_logits"] = self.mask_head(positives, pyramid, image_shape)
        return outputs

    def normalize(self, pixel_boxes, image_shape):
        """`mrcnn.ops.boxes.normalize` for tensors, by the conventions of this network."""
        return normalize_boxes(pixel_boxes, image_shape, self.edges)

    def detection_inputs(self, image_shape):
        """Symbolic inputs of `detection_model`."""
        return {
            "images": keras.Input((*image_shape[:2], 3), name="images"),
            "windows": keras.Input((4,), name="windows"),
        }

    def detection_model(self, image_shape):
        """`keras.Model`: dict of prepared images and windows to the dict of all outputs.

        Args:
            image_shape: (height, width) of the prepared images, divisible by 64.
        """
        inputs = self.detection_inputs(image_shape)
        pyramid, found = self.detect(inputs, image_shape)
        if self.mask_head is not None:
            boxes_normalized = found["detections"][..., :4]
            found["mrcnn_mask"] = self.predict_masks(pyramid, boxes_normalized, image_shape)
        return keras.Model(inputs, found, name="detection")

    def features(self, inputs):
        """The pyramid that RPN and heads look at, from the inputs of a training model."""
        return self.encode(inputs["images"])

    def detect(self, inputs, image_shape):
        """The pyramid that RPN and heads look at, and the dict of `detect_boxes`.

        Args:
            inputs: of a detection model.
        """
        pyramid = self.features(inputs)
        return pyramid, self.detect_boxes(pyramid, inputs["windows"], image_shape)

    def boxes_model(self, image_shape):
        """`keras.Model`: as `detection_model`, but to "detections" and the "pyramid" P2..P5.

        The first half of detecting: `masks_model` is the second.
        """
        inputs = self.detection_inputs(image_shape)
        pyramid, found = self.detect(inputs, image_shape)
        outputs = {"detections": found["detections"], "pyramid": pyramid[:4]}
        return keras.Model(inputs, outputs, name="boxes")

    def masks_model(self, image_shape, count):
        """`keras.Model`: pyramid P2..P5 and `count` boxes an image to their masks."""
        inputs = {
            "pyramid": self.pyramid_inputs(image_shape, self.pyramid_channels)[:4],
            "boxes": keras.Input((count, 4), name="boxes"),
        }
        masks = self.predict_masks(inputs["pyramid"], inputs["boxes"], image_shape)
        return keras.Model(inputs, masks, name="masks")

    @property
    def pyramid_channels(self):
        """Channels of the pyramid that RPN and heads look at."""
        return self.config.TOP_DOWN_PYRAMID_SIZE

    def pyramid_inputs(self, image_shape, channels):
        """Symbolic inputs for the levels P2..P6 of a pyramid."""
        return [
            keras.Input((*feature_shape(image_shape, stride), channels), name=f"P{level}")
            for level, stride in enumerate(self.config.BACKBONE_STRIDES, start=2)
        ]

    def training_inputs(self, image_shape):
        """Symbolic inputs of `training_outputs`."""
        config = self.config
        instances = config.MAX_GT_INSTANCES
        mask_shape = config.MINI_MASK_SHAPE if config.USE_MINI_MASK else image_shape[:2]
        rois = config.POST_NMS_ROIS_TRAINING
        inputs = {
            "images": keras.Input((*image_shape[:2], 3), name="images"),
            "image_metas": keras.Input((config.IMAGE_META_SIZE,), name="image_metas"),
            "gt_class_ids": keras.Input((instances,), dtype="int32", name="gt_class_ids"),
            "gt_boxes": keras.Input((instances, 4), name="gt_boxes"),
            "gt_masks": keras.Input((*mask_shape, instances), dtype="uint8", name="gt_masks"),
            "roi_priorities": keras.Input((rois,), name="roi_priorities"),
        }
        if not config.USE_RPN_ROIS:
            inputs["rois"] = keras.Input((rois, 4), name="rois")
        return inputs

    def training_outputs(self, inputs, image_shape):
        """All that the losses need, from the inputs of a batch: propose, then train the heads."""
        pyramid = self.features(inputs)
        proposed = self.propose(pyramid, image_shape, self.config.POST_NMS_ROIS_TRAINING)
        if not self.config.USE_RPN_ROIS:
            proposed["rois"] = self.normalize(inputs["rois"], image_shape)
        heads = self.train_heads(pyramid, proposed["rois"], inputs, image_shape)
        return {**proposed, **heads}


def normalize_boxes(pixel_boxes, image_shape, edges=False):
    """`mrcnn.ops.boxes.normalize` for tensors."""
    scale, shift = (np.float32(each) for each in boxes.scale_and_shift(image_shape, edges))
    return ops.divide(ops.subtract(pixel_boxes, shift), scale)
