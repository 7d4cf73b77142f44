"""Mask R-CNN without a pyramid: everything looks at stage 4 (C4), and stage 5 works on RoIs.

That is "C4" of arXiv 1703.06870 (figure 4, left). Anchors of all scales lie on C4; a RoI
of 14 x 14 cells goes through stage 5, which box and mask head share. Its layers keep their names:
`train(layers="heads")` trains the new layers alone, and "5+" stage 5 with them.
"""

import keras
from keras import ops

from mrcnn.config import Config
from mrcnn.modeling.backbones import backbone_of
from mrcnn.modeling.mask_rcnn import MaskRCNNNetwork
from mrcnn.modeling.roi_heads import BoxOutputs, MaskOutputs, RoIHead
from mrcnn.ops.anchors import C4_STRIDE, feature_shape
from mrcnn.ops.roi_pooling import MapAverages, MapCrops, MapMaxima

STRIDE = 2  # of stage 5


class C4Config(Config):
    """A Mask R-CNN without a pyramid, in the sizes of arXiv 1703.06870."""

    FEATURES = "c4"
    BACKBONE = "resnet50"
    RPN_CHANNELS = 1024
    POOL_SIZE = 14
    MASK_SHAPE = [14, 14]


class RoiStage:
    """RoI pooling, then stage 5: [batch, R, 7, 7, channels], which both heads look at.

    Stage 5 begins with 1x1 convolutions of stride 2, which see every second row and column only.
    So the others are not pooled, and the stride is 1.
    """

    def __init__(self, config, conventions):
        self.pool_size = config.POOL_SIZE
        self.edges = conventions.normalizes_edges
        align = MapAverages if conventions.averages_samples else MapCrops
        self.pooling = MapMaxima if config.ROI_POOLING == "max" else align
        self.blocks = backbone_of(config).make_roi_stage(config)

    def __call__(self, rois_normalized, maps, image_shape, name):
        """Features of RoIs [batch, R, (y1, x1, y2, x2)] in the one map of [C4]."""
        pool = self.pooling(self.pool_size, image_shape, STRIDE, self.edges, name=name)
        pooled = pool([rois_normalized, *maps])
        count = pooled.shape[1]
        features = ops.reshape(pooled, (-1, *pooled.shape[2:]))
        for block in self.blocks:
            features = block(features)
        return ops.reshape(features, (-1, count, *features.shape[1:]))


class C4BoxHead(RoIHead, BoxOutputs):
    """Class logits and box deltas from the mean over all cells of a RoI."""

    def __init__(self, stage, num_classes, box_classes):
        RoIHead.__init__(self, stage, "classifier")
        BoxOutputs.__init__(self, num_classes, box_classes)

    def predict_pooled(self, features):
        """What `predict` returns for features of `RoiStage`."""
        return self.predict(ops.mean(features, axis=(2, 3)), features.shape[1])


class C4MaskHead(RoIHead, MaskOutputs):
    """Masks of as many cells as RoIs are pooled to."""

    def __init__(self, stage, mask_classes, channels):
        RoIHead.__init__(self, stage, "mask")
        MaskOutputs.__init__(self, mask_classes, channels)

    def predict_pooled(self, features):
        """What `predict` returns for features of `RoiStage`."""
        return self.predict(ops.reshape(features, (-1, *features.shape[2:])), features.shape[1])


class C4Network(MaskRCNNNetwork):
    """Mask R-CNN on stage 4; where others speak of a pyramid, it has the list [C4]."""

    def make_features(self):
        self.backbone = backbone_of(self.config).make(self.config, last_stage=4)

    def make_heads(self):
        config = self.config
        self.roi_stage = RoiStage(config, self.conventions)
        self.box_head = C4BoxHead(self.roi_stage, config.NUM_CLASSES, self.head_classes)
        self.mask_head = None
        if config.MODEL == "mrcnn":
            self.mask_head = C4MaskHead(
                self.roi_stage, self.head_classes, config.MASK_HEAD_CHANNELS
            )

    def encode(self, images):
        """Prepared images [batch, height, width, 3], RGB 0..255, to [C4]."""
        return self.backbone_maps(images)[-1:]

    def run_heads(self, rois, positive_slots, maps, image_shape):
        """As of `MaskRCNNNetwork`; stage 5 works on every RoI once, for both heads."""
        features = self.roi_stage(rois, maps, image_shape, "roi_align")
        outputs = self.box_head.predict_pooled(features)
        if self.mask_head is not None:
            outputs["mrcnn_mask_logits"] = self.mask_head.predict_pooled(
                features[:, :positive_slots]
            )
        return outputs

    @property
    def pyramid_channels(self):
        return self.backbone.channels[-1]

    def pyramid_inputs(self, image_shape, channels):
        """A symbolic input for C4, in a list."""
        return [keras.Input((*feature_shape(image_shape, C4_STRIDE), channels), name="C4")]
