"""What the second look makes of a crop's maps: vectors [N, EMBEDDING] that tell things apart.

Each embedding takes `features` of the maps, which its training leaves as they are, and learns a
`vector` of them.
"""

from keras import layers, ops

from mrcnn.config import ConfigError
from mrcnn.modeling.resnet import BasicBlock
from mrcnn.ops.initializers import RandomKernel

EMBEDDING = 128  # channels
WIDEST = (128, 256)  # channels of the third and the fourth stage at most
LEFT_OUT = 0.3  # share of the features that a training step does without


class ShapeEmbedding:
    """Two stages of its own on C2: for things that differ in their strokes, as symbols do.

    Args:
        channels: of C2.
    """

    def __init__(self, channels):
        self.blocks = [
            BasicBlock(
                f"_verify{stage}{letter}",
                min(channels * 2 ** (stage - 2), widest),
                stride=2 if letter == "a" else 1,
                project=letter == "a",
                train_norm=False,
            )
            for stage, widest in zip((3, 4), WIDEST, strict=True)
            for letter in "ab"
        ]
        self.flatten = layers.Flatten(name="verify_flatten")
        self.dense = _dense()

    def features(self, maps):
        """C2."""
        return maps[1]

    def vector(self, features):
        """Features to vectors [N, EMBEDDING]."""
        for block in self.blocks:
            features = block(features)
        return self.dense(self.flatten(features))


class FeatureEmbedding:
    """One layer on C4, halved, and the mean of C5: for a backbone that knows photographs already.

    Each feature is normalised over the crops of training, so that all of them count alike.
    """

    def __init__(self):
        self.halve = layers.AveragePooling2D(2, name="verify_halve")
        self.flatten = layers.Flatten(name="verify_flatten")
        self.norm = layers.BatchNormalization(name="verify_norm")
        self.leave_out = layers.Dropout(LEFT_OUT, name="verify_leave_out")
        self.dense = _dense()

    def features(self, maps):
        """C4, halved, and the mean of C5: [N, features]."""
        parts = [self.flatten(self.halve(maps[3])), ops.mean(maps[4], axis=(1, 2))]
        return ops.concatenate(parts, axis=-1)

    def vector(self, features):
        """Features to vectors [N, EMBEDDING]."""
        return self.dense(self.leave_out(self.norm(features)))


def _dense():
    return layers.Dense(EMBEDDING, kernel_initializer=RandomKernel(), name="verify_embedding")


def make_embedding(kind, channels):
    """The embedding that VERIFIED_BY names.

    Args:
        kind: "shapes" or "features".
        channels: of C1..C5.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind == "shapes":
        return ShapeEmbedding(channels[1])
    if kind == "features":
        return FeatureEmbedding()
    raise ConfigError(f'VERIFIED_BY must be "shapes" or "features", but is {kind!r}.')
