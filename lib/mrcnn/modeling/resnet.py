"""ResNets (He et al., arXiv 1512.03385): 50 and 101 in Caffe's variant, and the small 18 and 34.

The stride of a stage sits in the first convolution of its first block and in the shortcut; every
convolution has a bias. Layer names of ResNet-50 and -101 are those of the original checkpoints.
"""

import string

from keras import layers

from mrcnn.conventions import conventions_of
from mrcnn.modeling.conv_norm import NormalizedConvolution

BLOCKS = {  # of stages 2..5
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
}
BASIC = ("resnet18", "resnet34")  # of two 3x3 convolutions a block
WIDTHS = (64, 128, 256, 512)  # of stages 2..5; outputs of bottlenecks have four times as many
USUAL_WIDTH = 64


class ResNet:
    """The backbone: images to feature maps of stages 1 to 5.

    Args:
        architecture: "resnet18", "resnet34", "resnet50" or "resnet101".
        train_norm: whether batch statistics are updated while training.
        width: channels of stage 1; the other stages are as much narrower or wider than usual.
        last_stage: 5, or 4 for a network without the last stage.
        even_padding: max pooling is padded by a cell on every side; else as "same".
    """

    def __init__(
        self,
        architecture,
        train_norm=False,
        width=USUAL_WIDTH,
        last_stage=5,
        even_padding=False,
    ):
        self.pad = layers.ZeroPadding2D(3, name="conv1_pad")
        self.convolution = NormalizedConvolution(
            width, 7, "conv1", "bn_conv1", strides=2, train_norm=train_norm, name="conv1_norm"
        )
        self.activation = layers.Activation("relu", name="conv1_relu")
        # Below the zeros of this padding lies nothing: it follows a rectification.
        self.pool_pad = layers.ZeroPadding2D(1, name="pool1_pad") if even_padding else None
        padding = "valid" if even_padding else "same"
        self.pool = layers.MaxPooling2D(3, strides=2, padding=padding, name="pool1")
        self.stages = [
            stage_blocks(architecture, stage, 2 if stage > 2 else 1, train_norm, width)
            for stage in range(2, last_stage + 1)
        ]
        self.channels = [width, *(blocks[-1].channels for blocks in self.stages)]

    def __call__(self, images):
        """Feature maps [C1, ..., C5] with strides 4, 4, 8, 16, 32 pixels; up to the last stage.

        Args:
            images: float [batch, height, width, 3], RGB, standardized.
        """
        stem = self.activation(self.convolution(self.pad(images)))
        maps = [self.pool(stem if self.pool_pad is None else self.pool_pad(stem))]
        for blocks in self.stages:
            features = maps[-1]
            for block in blocks:
                features = block(features)
            maps.append(features)
        return maps


class Bottleneck:
    """1x1 -> 3x3 -> 1x1 with a shortcut, which is a 1x1 convolution in the first block."""

    def __init__(self, name, width, stride, project, train_norm):
        self.channels = 4 * width
        unit = _units(name, "branch", train_norm)
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


class BasicBlock:
    """3x3 -> 3x3 with a shortcut, which is a 1x1 convolution where the number of channels changes.

    Names differ from those of a bottleneck, so that weights of one are never taken for the other.
    """

    def __init__(self, name, width, stride, project, train_norm):
        self.channels = width
        unit = _units(name, "basic", train_norm)
        self.first = unit("1", width, 3, stride)
        self.first_relu = layers.Activation("relu", name=f"res{name}_basic1_relu")
        self.second = unit("2", width, 3)
        self.shortcut = unit("_shortcut", width, 1, stride) if project and stride > 1 else None
        self.add = layers.Add(name=f"res{name}_add")
        self.activation = layers.Activation("relu", name=f"res{name}_out")

    def __call__(self, features):
        inner = self.second(self.first_relu(self.first(features)))
        shortcut = self.shortcut(features) if self.shortcut else features
        return self.activation(self.add([inner, shortcut]))


def _units(block, branch, train_norm):
    """A maker of the convolutions of a block, with their normalisation."""

    def unit(part, filters, size, strides=1):
        return NormalizedConvolution(
            filters,
            size,
            f"res{block}_{branch}{part}",
            f"bn{block}_{branch}{part}",
            strides=strides,
            padding="same",
            train_norm=train_norm,
            name=f"norm{block}_{branch}{part}",
        )

    return unit


def stage_blocks(architecture, stage, stride, train_norm=False, width=USUAL_WIDTH):
    """The blocks of a stage (2..5), to be called one after another.

    Args:
        stride: of the first block.
        architecture, train_norm, width: as of `ResNet`.
    """
    block = BasicBlock if architecture in BASIC else Bottleneck
    return [
        block(
            name=f"{stage}{letter}",
            width=WIDTHS[stage - 2] * width // USUAL_WIDTH,
            stride=stride if letter == "a" else 1,
            project=letter == "a",
            train_norm=train_norm,
        )
        for letter in string.ascii_lowercase[: BLOCKS[architecture][stage - 2]]
    ]


class ResNetBackbone:
    """What `mrcnn.modeling.backbones` is to know of a ResNet."""

    strides = (4, 4, 8, 16, 32)
    mean = None
    scale = 1
    group = "resnet_model"
    package = None

    def __init__(self, name, **imagenet):
        self.name, self.imagenet = name, {key.replace("_", "-"): imagenet[key] for key in imagenet}

    @property
    def layers(self):
        found = dict.fromkeys(["conv1", "bn_conv1"], 1)
        for stage, blocks in enumerate(BLOCKS[self.name], start=2):
            for letter in string.ascii_lowercase[:blocks]:
                found |= dict.fromkeys(self._block_layers(f"{stage}{letter}", letter == "a"), stage)
        return found

    def _block_layers(self, block, is_first):
        if self.name in BASIC:  # which the originals do not have
            has_shortcut = is_first and block != "2a"  # where no channels are added
            parts = ["_basic1", "_basic2", *["_basic_shortcut"][:has_shortcut]]
            return [f"{kind}{block}{part}" for part in parts for kind in ("res", "bn")]
        inner = [f"{kind}{block}_branch{part}" for part in ("2a", "2b") for kind in ("res", "bn")]
        ends = ("2c", "1") if is_first else ("2c",)
        return [*inner, *(f"{kind}{block}_branch{part}" for kind in ("res", "bn") for part in ends)]

    def make(self, config, last_stage=5):
        return ResNet(
            self.name,
            config.TRAIN_BN,
            config.BACKBONE_WIDTH,
            last_stage,
            conventions_of(config).pads_pool_evenly,
        )

    def make_roi_stage(self, config):
        # It begins with 1x1 convolutions of stride 2, whose places the pooling chooses already.
        return stage_blocks(self.name, 5, 1, config.TRAIN_BN, config.BACKBONE_WIDTH)

    def width_of(self, shapes):
        return shapes["conv1/kernel"][-1] if "conv1/kernel" in shapes else None

    def translated(self, arrays):
        return None


BACKBONES = (
    ResNetBackbone("resnet18"),
    ResNetBackbone("resnet34"),
    ResNetBackbone(
        "resnet50",
        imagenet_1k="imagenet_1k.h5",
        imagenet_771="imagenet_771.h5",
        imagenet_687="imagenet_687.h5",
    ),
    ResNetBackbone("resnet101", imagenet_1k="imagenet_1k_resnet101.h5"),
)
