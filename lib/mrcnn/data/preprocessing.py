"""From images to what the network is fed with: their size by the settings, batches of a shape."""

import os
from collections.abc import Iterable

import numpy as np

from mrcnn.config import ConfigError
from mrcnn.images.image import ImageError, plan_resize, prepare_image, read_image, to_rgb
from mrcnn.ops import boxes

PYRAMID_DIVISOR = 64  # the feature pyramid halves the image six times


def is_picture(entry):
    """A path or an array of one picture; arrays of more dimensions are several."""
    return isinstance(entry, (str, os.PathLike)) or getattr(entry, "ndim", None) in (2, 3)


def as_list(images):
    """Images as a list, to which a single one belongs as well.

    Raises:
        mrcnn.images.image.ImageError: they are neither.
    """
    if is_picture(images):
        return [images]
    if not isinstance(images, Iterable):
        raise ImageError(
            f"images must be a list of arrays or paths, or a single one, but is {images!r}."
        )
    return list(images)


def plan_input(shape, config, rng):
    """How an image is resized and padded by the settings: a `mrcnn.images.image.Geometry`.

    Args:
        shape: (height, width, ...) of the image, pixels.
        config: `Config`, for the sizes.
        rng: `numpy.random.Generator`, for IMAGE_RESIZE_MODE "crop".
    """
    return plan_resize(
        shape,
        config.IMAGE_MIN_DIM,
        config.IMAGE_MAX_DIM,
        config.IMAGE_MIN_SCALE,
        config.IMAGE_RESIZE_MODE,
        rng,
    )


def prepare_inputs(images, config):
    """Prepare one image or a list of them: [(uint8 [h, w, 3], `mrcnn.images.image.Geometry`)].

    Args:
        images: arrays [height, width(, channels)] or paths; files are turned upright.
        config: `Config`, for the sizes.

    Raises:
        mrcnn.images.image.ImageError: an image is none, or empty.
        ConfigError: a prepared image has a side that the pyramid cannot halve six times.
    """
    return [_prepare(image, config) for image in as_list(images)]


def _prepare(image, config):
    is_path = isinstance(image, (str, os.PathLike))
    image = read_image(image, upright=True) if is_path else to_rgb(image)
    geometry = plan_input(image.shape, config, np.random.default_rng(config.SEED))
    height, width = geometry.prepared_shape
    if height % PYRAMID_DIVISOR or width % PYRAMID_DIVISOR:
        raise ConfigError(
            f"The prepared image has {height} x {width} pixels, but the feature pyramid halves it "
            f"six times: both sides must be divisible by {PYRAMID_DIVISOR}. Use "
            'IMAGE_RESIZE_MODE "square" or "pad64".'
        )
    return prepare_image(image, geometry), geometry


def same_shape_chunks(prepared, size):
    """Runs of prepared images of one shape, at most `size` long, in the order of the images."""
    chunk = []
    for image in prepared:
        full = len(chunk) == size
        if chunk and (full or image[0].shape != chunk[0][0].shape):
            yield chunk
            chunk = []
        chunk.append(image)
    if chunk:
        yield chunk


def windows_of(geometries, edges=False):
    """Normalised windows [N, 4] of prepared images, where the image is without its padding.

    `edges` says how, see `mrcnn.ops.boxes.normalize`.
    """
    windows = (np.array(geometry.window, dtype=np.float64) for geometry in geometries)
    shapes = (geometry.prepared_shape for geometry in geometries)
    return np.stack([boxes.normalize(*each, edges) for each in zip(windows, shapes, strict=True)])
