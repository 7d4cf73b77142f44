"""Matching: how much every place of the query differs from the reference (paper, section 4)."""

import keras
from keras import layers, ops

LEVELS = range(2, 7)


@keras.saving.register_keras_serializable("siamese_mrcnn")
class DistanceMerge(layers.Layer):
    """[P, |P - T|] through a 1x1 convolution, for one level of the pyramid.

    P and the distance are convolved apart and added, which is the same: so one query map serves
    the vectors of many references, and its own part is computed once for all of them.
    """

    def __init__(self, filters, **keywords):
        super().__init__(**keywords)
        self.filters = filters

    def build(self, input_shapes):
        channels = input_shapes[0][-1]
        self.kernel = self.add_weight(shape=(1, 1, 2 * channels, self.filters), name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, inputs):
        """Merge query maps [batch, rows, columns, channels] and vectors [batch, channels].

        Either batch may be 1 and then serves the whole of the other.
        """
        features, vectors = inputs
        channels = features.shape[-1]
        kernel = ops.convert_to_tensor(self.kernel)
        distance = ops.abs(ops.subtract(features, vectors[:, None, None, :]))
        own = ops.add(ops.conv(features, kernel[:, :, :channels]), self.bias)
        return ops.add(own, ops.conv(distance, kernel[:, :, channels:]))

    def compute_output_shape(self, input_shapes):
        return (*input_shapes[0][:3], self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


class Matching:
    """Merges a query pyramid with the vectors of its reference, level by level.

    D = |P - T| for the query map P and the reference vector T; [P, D] are merged by a 1x1
    convolution without activation, with weights of its own for every level.

    Args:
        channels: of the query pyramid; the matched pyramid has half as many again.
    """

    def __init__(self, channels):
        self.channels = 3 * channels // 2  # of the matched pyramid
        self.pool = {
            level: layers.GlobalAveragePooling2D(name=f"reference_pool_P{level}")
            for level in LEVELS
        }
        self.merge = {
            level: DistanceMerge(self.channels, name=f"fpn_distance_P{level}") for level in LEVELS
        }

    def summarize(self, pyramid):
        """Reference pyramid [P2, ..., P6] to one vector a level: [[batch, channels], ...].

        The average runs over the whole map, padding of the reference included.
        """
        return [self.pool[level](features) for level, features in zip(LEVELS, pyramid, strict=True)]

    def __call__(self, pyramid, vectors):
        """Matched pyramid [P2, ..., P6], each [batch, rows, columns, 1.5 * channels].

        Args:
            pyramid: of the query, each level [batch, rows, columns, channels].
            vectors: of the references, each level [batch, channels].

        Either batch may be 1 and then serves the whole of the other.
        """
        return [
            self.merge[level]([features, vector])
            for level, features, vector in zip(LEVELS, pyramid, vectors, strict=True)
        ]
