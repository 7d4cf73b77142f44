"""The family of backbones: what all else may ask of one, and which there are.

To add one: a file beside `resnet` and `efficientnet_lite` with what `Backbone` asks for, its import
and its place in `BACKBONES` here, and its name in `mrcnn.config.BACKBONES`.
"""

from typing import Protocol

import numpy as np
from keras import ops

from mrcnn.config import Config
from mrcnn.modeling import efficientnet_lite, resnet


class Backbone(Protocol):
    """A backbone that BACKBONE can name.

    Attributes:
        name: the value of BACKBONE.
        strides: pixels a cell of the maps C1..C5; 4, 8, 16 and 32 of the last four.
        mean: RGB that it was trained with, to be subtracted from pixels 0..255, unless
            the configuration sets MEAN_PIXEL; None: MEAN_PIXEL as it is.
        scale: what pixels are divided by after that.
        layers: {layer: stage 1..5} of all layers with weights, in the order of the files that
            the originals write. The names are those of no other family.
        group: what the backbone as a whole is called in such files.
        imagenet: {"imagenet-1k" and the like: name of the file in checkpoints/}, see
            `mrcnn.converters.imagenet`.
        package: name of a Python package with a `.pth` file of its weights of ImageNet-1k, which
            `translated` knows; None if there is none.
        published: name of a file, in checkpoints/, with the same as arrays of NumPy; if package.
    """

    name: str
    strides: tuple
    mean: tuple | None
    scale: float
    layers: dict
    group: str
    imagenet: dict
    package: str | None
    published: str

    def make(self, config, **options):
        """Make the layers: an object with `channels` of C1..C5, that makes maps of images.

        Called with standardized images [batch, height, width, 3], it returns [C1, ..., C5].
        Backbones for FEATURES "c4" take `last_stage=4`.

        Raises:
            mrcnn.config.ConfigError: BACKBONE_WIDTH is not possible.
        """

    def make_roi_stage(self, config):
        """The blocks of stage 5, to be called one after another on every second place of RoIs.

        Only where `mrcnn.config.BACKBONES` says "c4".
        """

    def width_of(self, shapes):
        """BACKBONE_WIDTH, from the shapes of tensors by name; None if they do not tell."""

    def translated(self, arrays):
        """Arrays by published names as {"<layer>/<kind>": float32 array}; None: of another."""


BACKBONES = {
    backbone.name: backbone for backbone in (*resnet.BACKBONES, *efficientnet_lite.BACKBONES)
}


def backbone_of(config):
    """The `Backbone` that a configuration names."""
    return BACKBONES[config.BACKBONE]


def standardize(images, config, subtract_mean=True):
    """Pixels as the backbone was trained with: float32.

    Args:
        images: [batch, height, width, 3], RGB 0..255.
        config: `Config`, for BACKBONE and MEAN_PIXEL.
        subtract_mean: False leaves them above 0.
    """
    backbone, pixels = backbone_of(config), ops.cast(images, "float32")
    if subtract_mean:
        usual = config.MEAN_PIXEL is Config.MEAN_PIXEL and backbone.mean is not None
        mean = backbone.mean if usual else config.MEAN_PIXEL
        pixels = ops.subtract(pixels, np.asarray(mean, dtype=np.float32))
    return pixels if backbone.scale == 1 else ops.divide(pixels, np.float32(backbone.scale))


def translated(arrays):
    """The same of whichever backbone arrays {published name: array} are of; None: of none."""
    found = (backbone.translated(arrays) for backbone in BACKBONES.values())
    return next((tensors for tensors in found if tensors is not None), None)


def stages():
    """{layer: stage} of all backbones together."""
    return {layer: n for backbone in BACKBONES.values() for layer, n in backbone.layers.items()}


def architecture_of(names):
    """The backbone, say "resnet50", that tensors or layers belong to, from their names.

    It is the smallest that has most of them; None if no backbone has a layer behind stage 1.
    """
    given, found, most = {name.split("/")[0] for name in names}, None, 0
    for backbone in sorted(BACKBONES.values(), key=lambda each: len(each.layers)):
        count = sum(stage > 1 and layer in given for layer, stage in backbone.layers.items())
        if count > most:
            found, most = backbone.name, count
    return found
