"""The feature pyramid (Lin et al., arXiv 1612.03144)."""

from keras import layers

from mrcnn.modeling.conv_norm import FastConvolution
from mrcnn.ops.initializers import RandomKernel


class FeaturePyramid:
    """Feature maps C2..C5 to pyramid levels P2..P6.

    Args:
        channels: of every level.
        activation: of every lateral and output convolution, say "relu"; None for none.
    """

    def __init__(self, channels, activation=None):
        self.laterals = {
            level: layers.Conv2D(
                channels,
                1,
                activation=activation,
                kernel_initializer=RandomKernel(),
                name=f"fpn_c{level}p{level}",
            )
            for level in range(2, 6)
        }
        self.outputs = {
            level: FastConvolution(
                channels,
                3,
                padding="same",
                activation=activation,
                kernel_initializer=RandomKernel(),
                name=f"fpn_p{level}",
            )
            for level in range(2, 6)
        }
        self.upsample = {
            level: layers.UpSampling2D(2, name=f"fpn_p{level + 1}upsampled")
            for level in range(2, 5)
        }
        self.add = {level: layers.Add(name=f"fpn_p{level}add") for level in range(2, 5)}
        self.subsample = layers.MaxPooling2D(1, strides=2, name="fpn_p6")

    def __call__(self, maps):
        """Pyramid [P2, ..., P6] with strides 4, 8, 16, 32, 64 pixels.

        Args:
            maps: [C2, C3, C4, C5]; each half the size of the one before.
        """
        by_level = dict(zip(range(2, 6), maps, strict=True))
        merged = {5: self.laterals[5](by_level[5])}
        for level in (4, 3, 2):
            lateral = self.laterals[level](by_level[level])
            merged[level] = self.add[level]([self.upsample[level](merged[level + 1]), lateral])
        pyramid = [self.outputs[level](merged[level]) for level in range(2, 6)]
        return [*pyramid, self.subsample(pyramid[-1])]
