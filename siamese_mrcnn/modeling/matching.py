"""Matching: how much every place of the query differs from the reference (paper, section 4)."""

from collections.abc import Callable
from typing import NamedTuple

import keras
from keras import layers, ops

from mrcnn.config import ConfigError
from mrcnn.ops.initializers import RandomKernel

LEVELS = range(2, 7)


def _distance(features, vectors):
    return ops.abs(ops.subtract(features, vectors))


def _correlation(features, vectors):
    return ops.multiply(features, vectors)


def _cosine(features, vectors):
    return ops.multiply(ops.normalize(features, axis=-1), ops.normalize(vectors, axis=-1))


class Comparison(NamedTuple):
    """How query maps P are compared with reference vectors T."""

    function: Callable | None  # (P, T) to D, all of as many channels; None: T is not looked at
    beside_query: bool = True  # whether P itself is merged too


COMPARISONS = {
    "distance": Comparison(_distance),  # [P, |P - T|], the paper's
    "distance-alone": Comparison(_distance, beside_query=False),  # |P - T|
    "correlation": Comparison(_correlation),  # [P, P * T], products channel by channel
    "cosine": Comparison(_cosine),  # the same of P and T scaled to length 1 along the channels
    "none": Comparison(None),  # P: the reference plays no part
}


@keras.saving.register_keras_serializable("siamese_mrcnn")
class ComparisonMerge(layers.Layer):
    """[P, D] through a 1x1 convolution, for one level of the pyramid.

    P and the comparison D are convolved apart and added, which is the same: so one query map
    serves the vectors of many references, and its own part is computed once for all of them.

    Args:
        filters: channels of the result.
        comparison: a name in `COMPARISONS`.
    """

    def __init__(self, filters, comparison, **keywords):
        super().__init__(**keywords)
        self.filters = filters
        self.comparison = comparison

    def build(self, input_shapes):
        compare, beside_query = COMPARISONS[self.comparison]
        channels = input_shapes[0][-1] * (int(beside_query) + int(compare is not None))
        self.kernel = self.add_weight(
            shape=(1, 1, channels, self.filters), initializer=RandomKernel(), name="kernel"
        )
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, inputs):
        """Merge query maps [batch, rows, columns, channels] and vectors [batch, channels].

        Either batch may be 1 and then serves the whole of the other.
        """
        features, vectors = inputs
        compare, beside_query = COMPARISONS[self.comparison]
        kernel, merged = ops.convert_to_tensor(self.kernel), self.bias
        if beside_query:
            own, kernel = ops.split(kernel, [features.shape[-1]], axis=2)
            merged = ops.add(ops.conv(features, own), merged)
        if compare is not None:
            compared = compare(features, vectors[:, None, None, :])
            merged = ops.add(ops.conv(compared, kernel), merged)
        return merged

    def compute_output_shape(self, input_shapes):
        return (*input_shapes[0][:3], self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "comparison": self.comparison}


class Matching:
    """Merges a query pyramid with the vectors of its reference, level by level.

    D = |P - T| for the query map P and the reference vector T; [P, D] are merged by a 1x1
    convolution without activation, with weights of its own for every level.

    Args:
        channels: of the query pyramid; the matched pyramid has half as many again.
        comparison: a name in `COMPARISONS`; others than the paper's are there to compare with it.

    Raises:
        ConfigError: there is no such comparison.
    """

    def __init__(self, channels, comparison="distance"):
        if comparison not in COMPARISONS:
            raise ConfigError(
                f"COMPARISON must be one of {', '.join(COMPARISONS)}, but is {comparison!r}."
            )
        self.channels = 3 * channels // 2  # of the matched pyramid
        self.pool = {
            level: layers.GlobalAveragePooling2D(name=f"reference_pool_P{level}")
            for level in LEVELS
        }
        self.merge = {
            level: ComparisonMerge(self.channels, comparison, name=f"fpn_distance_P{level}")
            for level in LEVELS
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
