"""Siamese Mask R-CNN as in the paper's figure: encode both, match, then Mask R-CNN."""

import keras
from keras import ops

from mrcnn.modeling.mask_rcnn import MaskRCNNNetwork
from siamese_mrcnn.modeling.matching import LEVELS, Matching


class SiameseNetwork(MaskRCNNNetwork):
    """Mask R-CNN whose pyramid is matched with that of a reference before anything else.

    Query and reference are encoded by the same backbone and pyramid. Boxes and masks do not
    depend on the class: there is only one, whatever the reference shows.
    """

    pyramid_activation = "relu"
    head_classes = 1
    masks_inactive_classes = False

    def __init__(self, config):
        super().__init__(config)
        self.match = Matching(config.FPN_FEATUREMAPS, config.COMPARISON)

    def encode_references(self, references, subtract_mean=True):
        """Prepared references to one vector a pyramid level: [[batch, channels], ...].

        The vectors of K references are averaged.

        Args:
            references: [batch, K, height, width, 3], RGB 0..255.
            subtract_mean: False feeds them raw, as the original did when detecting.
        """
        shots = references.shape[1]
        flat = ops.reshape(references, (-1, *references.shape[2:]))
        maps = self.backbone_maps(flat, subtract_mean)
        vectors = self.match.summarize(self.pyramid(maps[1:]))
        return [
            ops.mean(ops.reshape(vector, (-1, shots, vector.shape[-1])), axis=1)
            for vector in vectors
        ]

    def reference_model(self, shots):
        """`keras.Model`: references [batch, K, height, width, 3] to the vectors of P2..P6.

        As fed when detecting: SUBTRACT_MEAN_FROM_REFERENCE decides about the mean pixel.
        """
        references = keras.Input((shots, *self.config.TARGET_SHAPE[1:]), name="references")
        vectors = self.encode_references(references, self.config.SUBTRACT_MEAN_FROM_REFERENCE)
        return keras.Model(references, vectors, name="reference")

    def query_model(self, image_shape):
        """`keras.Model`: prepared images [batch, height, width, 3] to their pyramid."""
        images = keras.Input((*image_shape[:2], 3), name="images")
        return keras.Model(images, self.encode(images), name="query")

    def matched_boxes_model(self, image_shape):
        """`keras.Model`: encoded query and reference to detections, without their masks.

        Inputs: "pyramid" P2..P6 of the query, "vectors" P2..P6 of the reference, "windows".
        Outputs: "detections" and the matched "pyramid" P2..P5, for `masks_model`.
        """
        channels = self.config.FPN_FEATUREMAPS
        inputs = {
            "pyramid": self.pyramid_inputs(image_shape, channels),
            "vectors": [keras.Input((channels,), name=f"reference_P{level}") for level in LEVELS],
            "windows": keras.Input((4,), name="windows"),
        }
        matched = self.match(inputs["pyramid"], inputs["vectors"])
        found = self.detect_boxes(matched, inputs["windows"], image_shape)
        outputs = {"detections": found["detections"], "pyramid": matched[:4]}
        return keras.Model(inputs, outputs, name="matched_boxes")

    @property
    def pyramid_channels(self):
        return self.match.channels

    def features(self, inputs):
        """The matched pyramid, from the inputs of a model."""
        vectors = self.encode_references(inputs["references"])
        return self.match(self.encode(inputs["images"]), vectors)

    def detection_features(self, inputs):
        """The matched pyramid, with references as fed when detecting."""
        vectors = self.encode_references(
            inputs["references"], self.config.SUBTRACT_MEAN_FROM_REFERENCE
        )
        return self.match(self.encode(inputs["images"]), vectors)

    def detection_inputs(self, image_shape):
        references = keras.Input(self.config.TARGET_SHAPE, name="references")
        return {**super().detection_inputs(image_shape), "references": references}

    def training_inputs(self, image_shape):
        references = keras.Input(self.config.TARGET_SHAPE, name="references")
        return {**super().training_inputs(image_shape), "references": references}
