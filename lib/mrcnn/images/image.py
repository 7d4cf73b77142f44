"""From a picture file to the prepared picture: read, scale, pad.

"Prepared" is the uint8 picture that the network gets, scaled and padded; a `Geometry` says
where the original lies in it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import ImageOps

from mrcnn.images.picture_files import ImageError, open_picture
from mrcnn.images.resize import resize, resize_uint8


def read_image(path, upright=False):
    """Read a picture file: uint8 [H, W, 3], RGB.

    Grey, palette, CMYK and 16-bit pictures are converted, transparency is dropped, of an
    animation the first frame counts.

    Args:
        path: of a file in any format that Pillow reads.
        upright: turn the picture as its EXIF orientation says. Off by default, because
            annotations refer to the pixels as they are stored.

    Raises:
        ImageError: naming the file, if it is missing, not a picture, cut off or damaged, or has
            more pixels than `MOST_PIXELS` or what the environment says instead.
    """
    with open_picture(path) as picture:
        image = _decode_jpeg(path, upright) if picture.format in ("JPEG", "MPO") else None
        if image is not None:
            return image
        pixels = np.asarray(_plain_mode(picture, upright))
    try:
        return to_rgb(_without_unit_range(pixels))
    except ImageError as error:
        raise ImageError(f"The image file {path} cannot be used: {error}") from error


def _decode_jpeg(path, upright):
    """Decode a complete JPEG file by OpenCV, which is faster; None where Pillow shall do it.

    OpenCV fills up what is cut off, so the end must be there.
    """
    with open(path, "rb") as file:
        data = file.read()
    if data[:3] != b"\xff\xd8\xff" or data[-2:] != b"\xff\xd9":
        return None
    flags = cv2.IMREAD_COLOR_RGB | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None  # Pillow finds the words for what is wrong


def _plain_mode(picture, upright):
    """The first frame in a mode whose array is grey or RGB."""
    picture.load()
    if upright:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("1", "L", "RGB", "F") or picture.mode.startswith("I"):
        return picture
    if picture.mode in ("P", "PA", "RGBA", "RGBX"):
        return picture.convert("RGBA")  # straight to RGB, transparent colours may change
    return picture.convert("L" if picture.mode == "LA" else "RGB")


def _without_unit_range(pixels):
    """Floats 0..1, as files may hold them, as uint8 0..255; other pixels as they are."""
    if pixels.dtype.kind == "f" and pixels.min() >= 0 and pixels.max() <= 1:
        return np.around(pixels * 255).astype(np.uint8)
    return pixels


def to_rgb(array):
    """Make an array a uint8 RGB image [H, W, 3].

    Args:
        array: [H, W], [H, W, 1] (grey), [H, W, 2] (grey, alpha), [H, W, 3] or [H, W, 4]
            (alpha); bool, numbers 0..255, whole ones or not, or uint16 over its whole range.
            Alpha is dropped. 16 bits whose values are all below 4096 count as 12, as cameras have.

    Raises:
        ImageError: for other shapes, types and ranges.
    """
    array = np.asarray(array)
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or not 1 <= channels <= 4 or array.size == 0:
        raise ImageError(
            "An image must have the shape [height, width] or [height, width, 1 to 4 channels] "
            f"and at least one pixel, but has {list(array.shape)}."
        )
    pixels = _to_uint8(array).reshape(*array.shape[:2], channels)
    if channels <= 2:
        return np.repeat(pixels[..., :1], 3, axis=2)
    return np.ascontiguousarray(pixels[..., :3])


def _to_uint8(array):
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint16:
        return _upper_bits(array)
    if array.dtype.kind not in "iuf":
        raise ImageError(f"An image must consist of numbers, but its type is {array.dtype}.")
    low, high = array.min(), array.max()
    top = 65535 if array.dtype == np.int32 else 255
    if not (low >= 0 and high <= top):
        raise ImageError(
            f"An image of type {array.dtype} must have values from 0 to {top}, but has "
            f"{low} to {high}. Scale it, or convert it to uint8 with values from 0 to 255."
        )
    if array.dtype.kind == "f":
        refuse_unit_range(array)
        return np.around(array).astype(np.uint8)
    return _upper_bits(array) if high > 255 else array.astype(np.uint8)


def _upper_bits(array):
    """The upper 8 bits of 16 or, where none of the upper four is used, of 12 as cameras have."""
    bits = 12 if array.max() < 1 << 12 else 16
    return (array >> bits - 8).astype(np.uint8)


def refuse_unit_range(array):
    """Refuse floats 0..1, which would be black where 255 is white.

    Raises:
        ImageError: the largest value is above 0, but not above 1.
    """
    if array.dtype.kind == "f" and array.size and 0 < array.max() <= 1:
        raise ImageError(
            f"An image of type {array.dtype} must have values from 0 to 255, but has none above "
            f"{array.max():.3g}, as if 1 were white. Multiply it by 255."
        )


@dataclass(frozen=True)
class Geometry:
    """Where an image lies in its prepared version. All numbers are pixels, but for the scale."""

    original_shape: tuple[int, int]  # height, width
    prepared_shape: tuple[int, int]
    window: tuple[int, int, int, int]  # (y1, x1, y2, x2) of the image inside the prepared one
    scale: float = 1.0
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))  # (top, bottom), (l, r)
    crop: tuple[int, int, int, int] | None = None  # (y, x, height, width) of the scaled image

    @property
    def scaled_shape(self):
        """(height, width) after scaling, before padding or cropping; at least one pixel."""
        return _scaled(self.original_shape, self.scale)


def plan_resize(shape, min_dim, max_dim, min_scale=0, mode="square", rng=None):
    """Plan how to prepare an image of this shape: a `Geometry`.

    Args:
        shape: (height, width, ...) of the image.
        min_dim: the short side is scaled up to this, if it is shorter; 0 or None: never.
        max_dim: side of the square in mode "square", which the image always fits into.
        min_scale: scale up at least by this; 0 or None: no limit.
        mode: "square" (scale, pad to a square), "pad64" (scale up, pad to multiples of 64),
            "crop" (scale up, cut a random square of side `min_dim`), "none" (leave alone).
        rng: `numpy.random.Generator`, which draws the place of the crop.

    Raises:
        ImageError: if the mode is not known or the sizes do not allow it.
    """
    shape = _checked_shape(shape)
    if mode == "none":
        return Geometry(shape, shape, (0, 0, *shape))
    if mode not in ("square", "pad64", "crop"):
        raise ImageError(
            f'The resize mode must be "square", "pad64", "crop" or "none", but is {mode!r}.'
        )
    scale = _scale(shape, min_dim, max_dim if mode == "square" else None, min_scale)
    scaled = _scaled(shape, scale)
    if mode == "crop":
        return _plan_crop(shape, scaled, scale, min_dim, rng)
    prepared = (max_dim, max_dim) if mode == "square" else tuple(-(-s // 64) * 64 for s in scaled)
    top, left = ((outer - inner) // 2 for outer, inner in zip(prepared, scaled, strict=True))
    window = (top, left, top + scaled[0], left + scaled[1])
    padding = ((top, prepared[0] - window[2]), (left, prepared[1] - window[3]))
    return Geometry(shape, prepared, window, scale, padding)


def _checked_shape(shape):
    height, width = int(shape[0]), int(shape[1])
    if height < 1 or width < 1:
        raise ImageError(f"An image needs at least one pixel, but this one is {height} x {width}.")
    return height, width


def _scale(shape, min_dim, max_dim, min_scale):
    scale = max(1, min_dim / min(shape)) if min_dim else 1
    scale = max(scale, min_scale or 0)
    if max_dim and round(max(shape) * scale) > max_dim:
        scale = max_dim / max(shape)
    return scale


def _scaled(shape, scale):
    return tuple(max(1, round(side * scale)) for side in shape)


def _plan_crop(shape, scaled, scale, side, rng):
    if rng is None:
        raise ImageError('Mode "crop" draws a random place: pass rng=numpy.random.default_rng().')
    if not side or side > min(scaled):
        raise ImageError(
            f"A crop of side {side} does not fit into an image of {scaled[0]} x {scaled[1]} "
            "pixels: give a min_dim that the short side is scaled up to."
        )
    y, x = (int(rng.integers(0, length - side + 1)) for length in scaled)
    return Geometry(shape, (side, side), (0, 0, side, side), scale, crop=(y, x, side, side))


def prepare_image(image, geometry):
    """Scale, crop and pad an image as planned: [h, w, 3] of the type that it had (uint8).

    Decimals are cut off, the padding is 0.
    """
    if image.shape[:2] != geometry.original_shape:
        raise ImageError(
            f"The plan is for an image of {geometry.original_shape[0]} x "
            f"{geometry.original_shape[1]} pixels, but this one has "
            f"{image.shape[0]} x {image.shape[1]}."
        )
    if geometry.scale != 1:
        scale = resize_uint8 if image.dtype == np.uint8 else resize
        image = scale(image, geometry.scaled_shape).astype(image.dtype, copy=False)
    if geometry.crop:
        y, x, height, width = geometry.crop
        return image[y : y + height, x : x + width]
    y1, x1, y2, x2 = geometry.window
    prepared = np.zeros((*geometry.prepared_shape, *image.shape[2:]), image.dtype)
    prepared[y1:y2, x1:x2] = image
    return prepared


def compose_image_meta(image_id, geometry, active_class_ids):
    """What the network must know of an image: float32 [12 + classes].

    Id (1), original shape (3), prepared shape (3), window (4), scale (1), and for every class
    1 if it is active, else 0. `parse_image_meta` takes it apart.
    """
    meta = [
        image_id,
        *(*geometry.original_shape, 3),
        *(*geometry.prepared_shape, 3),
        *geometry.window,
        geometry.scale,
        *active_class_ids,
    ]
    return np.array(meta, dtype=np.float32)


def parse_image_meta(metas):
    """Name the columns of image metas [batch, 12 + classes], arrays or tensors: a dict."""
    return {
        "image_id": metas[:, 0],
        "original_shape": metas[:, 1:4],
        "prepared_shape": metas[:, 4:7],
        "window": metas[:, 7:11],
        "scale": metas[:, 11],
        "active_class_ids": metas[:, 12:],
    }
