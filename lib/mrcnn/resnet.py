"""ResNet-50 and ResNet-101 (He et al., arXiv 1512.03385), in Caffe's variant.

The stride of a stage sits in the first 1x1 convolution of its first block and in the shortcut;
every convolution has a bias. Layer names are those of the original checkpoints.
"""

import string

from keras import layers

from mrcnn.normalization import NormalizedConvolution

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}  # of stages 2..5
WIDTHS = (64, 128, 256, 512)  # inner channels of stages 2..5; the outputs have four times as many


class ResNet:
    """The backbone: images to feature maps of stages 1 to 5.

    Args:
        architecture: "resnet50" or "resnet101".
        train_norm: whether batch statistics are updated while training.
    """

    def __init__(self, architecture, train_norm=False):
        self.pad = layers.ZeroPadding2D(3, name="conv1_pad")
        self.convolution = NormalizedConvolution(
            64, 7, "conv1", "bn_conv1", strides=2, train_norm=train_norm, name="conv1_norm"
        )
        self.activation = layers.Activation("relu", name="conv1_relu")
        self.pool = layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")
        self.stages = [
            _stage(stage, width, blocks, train_norm)
            for stage, width, blocks in zip(range(2, 6), WIDTHS, BLOCKS[architecture], strict=True)
        ]

    def __call__(self, images):
        """Feature maps [C1, ..., C5] with strides 4, 4, 8, 16, 32 pixels.

        Args:
            images: float [batch, height, width, 3], mean pixel subtracted, RGB.
        """
        maps = [self.pool(self.activation(self.convolution(self.pad(images))))]
        for blocks in self.stages:
            features = maps[-1]
            for block in blocks:
                features = block(features)
            maps.append(features)
        return maps


class Bottleneck:
    """1x1 -> 3x3 -> 1x1 with a shortcut, which is a 1x1 convolution in the first block."""

    def __init__(self, name, width, stride, project, train_norm):
        def unit(branch, filters, size, strides=1):
            return NormalizedConvolution(
                filters,
                size,
                f"res{name}_branch{branch}",
                f"bn{name}_branch{branch}",
                strides=strides,
                padding="same",
                train_norm=train_norm,
                name=f"norm{name}_branch{branch}",
            )

        self.reduce = unit("2a", width, 1, stride)
        self.reduce_relu = layers.Activation("relu", name=f"res{name}_branch2a_relu")
        self.spatial = unit("2b", width, 3)
        self.spatial_relu = layers.Activation("relu", name=f"res{name}_branch2b_relu")
        self.expand = unit("2c", 4 * width, 1)
        self.shortcut = unit("1", 4 * width, 1, stride) if project else None
        self.add = layers.Add(name=f"res{name}_add")
        self.activation = layers.Activation("relu", name=f"res{name}_out")

    def __call__(self, features):
        inner = self.reduce_relu(self.reduce(features))
        inner = self.spatial_relu(self.spatial(inner))
        shortcut = self.shortcut(features) if self.shortcut else features
        return self.activation(self.add([self.expand(inner), shortcut]))


def _stage(stage, width, blocks, train_norm):
    return [
        Bottleneck(
            name=f"{stage}{letter}",
            width=width,
            stride=2 if letter == "a" and stage > 2 else 1,
            project=letter == "a",
            train_norm=train_norm,
        )
        for letter in string.ascii_lowercase[:blocks]
    ]
