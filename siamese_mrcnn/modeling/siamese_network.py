"""Siamese Mask R-CNN as in the paper's figure: encode both, match, then Mask R-CNN."""

import keras
from keras import ops

from mrcnn.modeling.mask_rcnn import MaskRCNNNetwork
from siamese_mrcnn.modeling.co_attention import ATTENDED, CoAttention
from siamese_mrcnn.modeling.embeddings import EMBEDDING, make_embedding
from siamese_mrcnn.modeling.matching import LEVELS, Matching
from siamese_mrcnn.modeling.roi_comparison import ComparedPyramid, ComparingBoxHead
from siamese_mrcnn.modeling.verification import Verifier


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
        self.attention = self.comparison = self.verifier = None
        if config.CO_ATTENTION:
            self.attention = CoAttention(config.FPN_FEATUREMAPS, config.TRAIN_BN)
        if config.ROI_COMPARISON:
            self.box_head = self.comparison = ComparingBoxHead(
                self.box_head, config.FPN_FEATUREMAPS, self.match.channels, config.POOL_SIZE
            )
        if config.VERIFIED_FINDS:
            embedding = make_embedding(config.VERIFIED_BY, self.backbone.channels)
            self.verifier = Verifier(config.TARGET_MAX_DIM, embedding, config.VERIFIED_FINDS)

    @property
    def least_score(self):
        # What the verifier is to look at may score low before.
        return super().least_score if self.verifier is None else 0.0

    @property
    def detects_every_class(self):
        # Background is likelier than half for what is seldom there: the second look decides.
        looks = self.verifier is not None and self.config.VERIFIED_BACKGROUND
        return looks or super().detects_every_class

    def encode_references(self, references, subtract_mean=True):
        """Prepared references to one vector a pyramid level: [[batch, channels], ...].

        The vectors of K references are averaged. With CO_ATTENTION their maps of P3..P6 follow, and
        with ROI_COMPARISON what is kept of them for that, places of all K: [batch, places, ...].

        Args:
            references: [batch, K, height, width, 3], RGB 0..255.
            subtract_mean: False feeds them raw, as the original did when detecting.
        """
        shots = references.shape[1]
        flat = ops.reshape(references, (-1, *references.shape[2:]))
        maps = self.backbone_maps(flat, subtract_mean)
        pyramid = self.pyramid(maps[1:])
        vectors = [
            ops.mean(ops.reshape(vector, (-1, shots, vector.shape[-1])), axis=1)
            for vector in self.match.summarize(pyramid)
        ]
        return [*vectors, *(kept for part in self._places for kept in part.keep(pyramid, shots))]

    @property
    def _places(self):
        """The parts that look at places of references, in the order of what they keep."""
        return [part for part in (self.attention, self.comparison) if part is not None]

    def match_encoded(self, pyramid, vectors):
        """The matched pyramid [P2, ..., P6] of an encoded query and reference.

        Args:
            pyramid: of the query, as of `encode`.
            vectors: as of `encode_references`, or of `detection_vectors`.
        """
        query, (vectors, more) = pyramid, (vectors[: len(LEVELS)], vectors[len(LEVELS) :])
        if self.attention is not None:
            maps, more = more[: len(ATTENDED)], more[len(ATTENDED) :]
            pyramid, vectors = self.attention(pyramid, vectors, maps)
        matched = self.match(pyramid, vectors)
        return matched if self.comparison is None else ComparedPyramid(matched, query, more[:2])

    def embed(self, crops):
        """Prepared crops [batch, height, width, 3] to unit vectors, see `Verifier`."""
        return self.verifier.embed(self.backbone_maps(crops))

    def detection_vectors(self, references):
        """References [batch, K, height, width, 3] to all vectors that detecting compares with.

        Those of `encode_references` as fed when detecting: SUBTRACT_MEAN_FROM_REFERENCE decides
        about the mean pixel. With a verifier, the mean of their embeddings comes last.
        """
        vectors = self.encode_references(references, self.config.SUBTRACT_MEAN_FROM_REFERENCE)
        if self.verifier is None:
            return vectors
        embedded = self.embed(ops.reshape(references, (-1, *references.shape[2:])))
        shots = (-1, references.shape[1], embedded.shape[-1])
        return [*vectors, ops.mean(ops.reshape(embedded, shots), axis=1)]

    def reference_model(self, shots):
        """`keras.Model`: references [batch, K, height, width, 3] to `detection_vectors`."""
        references = keras.Input((shots, *self.config.TARGET_SHAPE[1:]), name="references")
        return keras.Model(references, self.detection_vectors(references), name="reference")

    def vector_channels(self):
        """How many channels each of `detection_vectors` has: a list."""
        channels = [self.config.FPN_FEATUREMAPS] * len(LEVELS)
        channels += [kept.shape[-1] for part in self._places for kept in part.inputs()]
        return channels if self.verifier is None else [*channels, EMBEDDING]

    def detect_verified(self, matched, vectors, windows, images, image_shape):
        """As `detect_boxes`, with detections that the verifier, if there is one, has scored anew.

        Args:
            matched: the matched pyramid [P2, ..., P6].
            vectors: as of `detection_vectors`.
            windows: normalised [batch, 4].
            images: prepared [batch or 1, height, width, 3]; without a verifier not looked at.
            image_shape: (height, width) of the prepared image.
        """
        found = self.detect_boxes(matched, windows, image_shape)
        if self.verifier is not None:
            found["detections"] = self.verifier.look(
                images,
                found["detections"],
                vectors[-1],
                self.backbone_maps,
                self.config.DETECTION_MIN_CONFIDENCE,
            )
        return found

    def query_model(self, image_shape):
        """`keras.Model`: prepared images [batch, height, width, 3] to their pyramid."""
        images = keras.Input((*image_shape[:2], 3), name="images")
        return keras.Model(images, self.encode(images), name="query")

    def matched_boxes_model(self, image_shape):
        """`keras.Model`: encoded query and reference to detections, without their masks.

        Inputs: "pyramid" P2..P6 of the query, "vectors" of the reference as of `detection_vectors`,
        "windows"; with a verifier also the prepared "images".
        Outputs: "detections" and the matched "pyramid" P2..P5, for `masks_model`.
        """
        inputs = self.matching_inputs(image_shape)
        matched = self.match_encoded(inputs["pyramid"], inputs["vectors"])
        found = self.detect_verified(
            matched, inputs["vectors"], inputs["windows"], inputs.get("images"), image_shape
        )
        outputs = {"detections": found["detections"], "pyramid": matched[:4]}
        return keras.Model(inputs, outputs, name="matched_boxes")

    def similarity_model(self, image_shape):
        """`keras.Model`: as `matched_boxes_model`, to what the verifier makes new scores of.

        Outputs: "detections" with the scores of the box head, and their "similarities".
        """
        inputs = self.matching_inputs(image_shape)
        matched = self.match_encoded(inputs["pyramid"], inputs["vectors"])
        found = self.detect_boxes(matched, inputs["windows"], image_shape)
        detections = found["detections"][:, : self.verifier.finds]
        similarities = self.verifier.similarities(
            inputs["images"], detections, inputs["vectors"][-1], self.backbone_maps
        )
        outputs = {"detections": detections, "similarities": similarities}
        return keras.Model(inputs, outputs, name="similarity")

    def matching_inputs(self, image_shape):
        """Symbolic inputs of `matched_boxes_model`."""
        channels = self.config.FPN_FEATUREMAPS
        inputs = {
            "pyramid": self.pyramid_inputs(image_shape, channels),
            "vectors": [keras.Input((channels,), name=f"reference_P{level}") for level in LEVELS],
            "windows": keras.Input((4,), name="windows"),
        }
        inputs["vectors"] += [kept for part in self._places for kept in part.inputs()]
        if self.verifier is not None:
            inputs["vectors"].append(keras.Input((EMBEDDING,), name="reference_embedding"))
            inputs["images"] = keras.Input((*image_shape[:2], 3), name="images")
        return inputs

    @property
    def pyramid_channels(self):
        return self.match.channels

    def features(self, inputs):
        """The matched pyramid, from the inputs of a model."""
        vectors = self.encode_references(inputs["references"])
        return self.match_encoded(self.encode(inputs["images"]), vectors)

    def detect(self, inputs, image_shape):
        """As of `MaskRCNNNetwork`, with references as fed when detecting, and verified."""
        vectors = self.detection_vectors(inputs["references"])
        matched = self.match_encoded(self.encode(inputs["images"]), vectors)
        windows, images = inputs["windows"], inputs["images"]
        return matched, self.detect_verified(matched, vectors, windows, images, image_shape)

    def detection_inputs(self, image_shape):
        references = keras.Input(self.config.TARGET_SHAPE, name="references")
        return {**super().detection_inputs(image_shape), "references": references}

    def training_inputs(self, image_shape):
        references = keras.Input(self.config.TARGET_SHAPE, name="references")
        return {**super().training_inputs(image_shape), "references": references}
