"""Matching: how much every place of the query differs from the reference (paper, section 4)."""

from keras import layers, ops

LEVELS = range(2, 7)


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
        self.concatenate = {
            level: layers.Concatenate(name=f"fpn_concatenate_P{level}") for level in LEVELS
        }
        self.merge = {
            level: layers.Conv2D(self.channels, 1, name=f"fpn_distance_P{level}")
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
        """
        matched = []
        for level, features, vector in zip(LEVELS, pyramid, vectors, strict=True):
            distance = ops.abs(ops.subtract(features, vector[:, None, None, :]))
            matched.append(self.merge[level](self.concatenate[level]([features, distance])))
        return matched
