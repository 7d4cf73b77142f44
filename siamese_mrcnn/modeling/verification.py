"""A second look: finds are cut out of the query as the reference was, and both are embedded.

The matched pyramid compares every place of the query with averages over the reference. What it
finds is here compared once more, at the find's own resolution: the backbone, which stays as it is,
and a few layers of its own (`siamese_mrcnn.modeling.embeddings`) make a unit vector of a crop. They
learn that crops of one category lie near each other (`siamese_mrcnn.training.verifier_training`).
The vector of a reference is kept beside those that the pyramid is matched with.
"""

import keras
import numpy as np
from keras import layers, ops

from mrcnn.ops.crop_and_resize import crop_and_resize, image_of_each
from mrcnn.ops.gather import gather_rows, top_k
from siamese_mrcnn.modeling.embeddings import EMBEDDING

VERIFIER = ".*verify_?.*"  # regular expression of its layers' names
LEAST_CHANCE = 1e-6  # scores are kept from 0 and 1, whose logits are infinite
# Of a verifier that was not trained: the score of the box head as it is.
UNTRAINED = (1.0, 0.0)


@keras.saving.register_keras_serializable("siamese_mrcnn")
class SquareCrops(layers.Layer):
    """Cuts boxes out of prepared images and scales them as references are.

    Inputs: images [batch or 1, height, width, 3] and normalised boxes [batch, N, (y1, x1, y2, x2)].
    Output: float32 [batch * N, side, side, 3]: the longer side of each box fills the square, what
    lies beyond the box is black. A box without area becomes black altogether.

    Args:
        side: pixels.
    """

    def __init__(self, side, **keywords):
        super().__init__(**keywords)
        self.side = side

    def call(self, inputs):
        images, boxes = inputs
        last_row, last_column = images.shape[1] - 1, images.shape[2] - 1
        # Normalised boxes reach from the centre of the first pixel to that of the last one.
        lengths = np.array([last_row, last_column] * 2, np.float32)
        pixels = ops.reshape(boxes, (-1, 4)) * lengths
        top, left, bottom, right = (pixels[:, column] for column in range(4))
        height, width = bottom - top + 1, right - left + 1
        # between the centres of the outermost samples, each in the middle of its part
        reach = ops.maximum(height, width) * (1 - 1 / self.side)
        y, x = (top + bottom) / 2, (left + right) / 2
        squares = ops.stack([y - reach / 2, x - reach / 2, y + reach / 2, x + reach / 2], axis=1)
        crops = crop_and_resize(
            ops.cast(images, "float32"),
            squares / lengths,
            image_of_each(boxes, ops.shape(images)[0]),
            (self.side, self.side),
        )
        places = ops.abs(ops.arange(self.side, dtype="float32") / (self.side - 1) - 0.5)
        inside_y, inside_x = (
            places * reach[:, None] < length[:, None] / 2 for length in (height, width)
        )
        inside = ops.logical_and(inside_y[:, :, None, None], inside_x[:, None, :, None])
        return ops.where(inside, crops, 0.0)

    def compute_output_shape(self, input_shapes):
        return (None, self.side, self.side, 3)

    def get_config(self):
        return {**super().get_config(), "side": self.side}


@keras.saving.register_keras_serializable("siamese_mrcnn")
class SimilarityScore(layers.Layer):
    """The chance that a find is right: logistic in the box head's score and the similarity.

    Inputs: scores [batch, N], similarities (cosines) [batch, N]; output: [batch, N]. With weights
    (1, 0) and bias 0 the score stays what it is.
    """

    def build(self, input_shapes):
        self.kernel = self.add_weight(
            shape=(2,), initializer=keras.initializers.Constant(UNTRAINED), name="kernel"
        )
        self.bias = self.add_weight(shape=(1,), initializer="zeros", name="bias")

    def call(self, inputs):
        scores, similarities = inputs
        scores = ops.clip(scores, LEAST_CHANCE, 1 - LEAST_CHANCE)
        logits = ops.log(scores) - ops.log(1 - scores)
        return ops.sigmoid(logits * self.kernel[0] + similarities * self.kernel[1] + self.bias)

    def compute_output_shape(self, input_shapes):
        return input_shapes[0]


@keras.saving.register_keras_serializable("siamese_mrcnn")
class VerifiedSelection(layers.Layer):
    """Detections by their new scores: best first, zero padded.

    Inputs: detections [batch, N, 6] of `DetectionSelection` and new scores [batch, N]. Output: as
    the detections. Rows of padding stay so.

    Args:
        min_confidence: leave out what scores less.
    """

    def __init__(self, min_confidence, **keywords):
        super().__init__(**keywords)
        self.min_confidence = min_confidence

    def call(self, inputs):
        detections, scores = inputs
        valid = ops.logical_and(detections[..., 4] > 0, scores >= self.min_confidence)
        rows = ops.concatenate([detections[..., :5], scores[..., None]], axis=-1)
        ranked, order = top_k(ops.where(valid, scores, -1.0), detections.shape[1])
        return ops.where(ranked[..., None] >= 0, gather_rows(rows, order), 0.0)

    def compute_output_shape(self, input_shapes):
        return input_shapes[0]

    def get_config(self):
        return {**super().get_config(), "min_confidence": self.min_confidence}


class Verifier:
    """The layers of the second look.

    Args:
        side: of prepared references, pixels.
        embedding: of crops, see `siamese_mrcnn.modeling.embeddings`.
        finds: detections an image that are looked at, the best.
    """

    def __init__(self, side, embedding, finds):
        self.finds, self.embedding = finds, embedding
        self.crop = SquareCrops(side, name="verify_crops")
        self.score = SimilarityScore(name="verify_score")

    def embed(self, maps):
        """Maps [C1, ..., C5] of crops [N, side, side, 3] to unit vectors [N, EMBEDDING]."""
        return self.unit_vector(self.embedding.features(maps))

    def unit_vector(self, features):
        """Features of the embedding to unit vectors [N, EMBEDDING]."""
        return ops.normalize(self.embedding.vector(features), axis=-1)

    def similarities(self, images, detections, vectors, maps_of):
        """Cosines [batch, N] of what N detections show with the reference.

        Args:
            images: prepared [batch or 1, height, width, 3].
            detections: [batch, N, 6], see `DetectionSelection`.
            vectors: of the references, [batch or 1, EMBEDDING].
            maps_of: function of crops [M, side, side, 3] to their maps [C1, ..., C5].
        """
        crops = self.crop([images, detections[..., :4]])
        embedded = self.embed(maps_of(crops))
        embedded = ops.reshape(embedded, (-1, detections.shape[1], EMBEDDING))
        vectors = ops.normalize(vectors, axis=-1)  # the mean of several is no unit vector
        return ops.sum(embedded * vectors[:, None], axis=-1)

    def look(self, images, detections, vectors, maps_of, min_confidence):
        """Detections scored anew: [batch, min(D, finds), 6], see `VerifiedSelection`.

        The arguments are those of `similarities` and `VerifiedSelection`.
        """
        detections = detections[:, : self.finds]
        similarities = self.similarities(images, detections, vectors, maps_of)
        select = VerifiedSelection(min_confidence, name="verify_selection")
        return select([detections, self.score([detections[..., 5], similarities])])
