"""How a thing, a background or a whole picture looks: light, shadow, blur and compression."""

import cv2
import numpy as np

from siamese_mrcnn.synthetic.visibility import clipped

GAIN = (0.7, 1.3)  # of all channels
TINT = 0.08  # of one channel, either way
CONTRAST = (0.75, 1.25)
SLOPE = 0.25  # of light across a thing, either way
UNTOUCHED = 0.15  # chance of a thing to keep its light
DEFOCUS = 0.2  # chance of a thing or background to be out of focus
DEFOCUSED = (0.004, 0.018)  # standard deviation, of the root of the area
SHADOWS = 0.4  # chance of a thing to throw one
SHADOW = (0.15, 0.6)  # its darkness
SHIFT = 0.25  # of the shadow at most, of the root of the area
PENUMBRA = (0.03, 0.12)  # standard deviation, of the root of the area
SHADOW_GRID = 48  # pixels of a shadow's longer side, where it is blurred
COMPRESSED = 0.6  # chance of a scene
JPEG_QUALITIES = (25, 90)
CROP = (0.5, 1.0)  # part of a photo's shorter side that a background shows
ASPECT = 0.2  # logarithm, either way


def relight(rng, paint):
    """Other light on a thing: float32 [h, w, 3] of uint8 or float pixels."""
    paint = paint.astype(np.float32)
    if rng.random() < UNTOUCHED:
        return paint
    height, width = paint.shape[:2]
    gains = rng.uniform(*GAIN) * (1 + rng.uniform(-TINT, TINT, 3))
    contrast, middle = rng.uniform(*CONTRAST), paint.mean(axis=(0, 1))
    across, down = rng.uniform(-SLOPE, SLOPE, 2)
    slope = np.linspace(-across, across, width, dtype=np.float32)[None]
    slope = 1 + slope + np.linspace(-down, down, height, dtype=np.float32)[:, None]
    scale, shift = gains * contrast, gains * (1 - contrast) * middle
    lit = cv2.transform(paint, np.column_stack([np.diag(scale), shift]).astype(np.float32))
    return cv2.multiply(lit, cv2.merge([slope] * 3))


def sample_defocus(rng, size):
    """Standard deviation of the blur of something of this area, pixels; mostly 0."""
    return rng.uniform(*DEFOCUSED) * np.sqrt(size) if rng.random() < DEFOCUS else 0.0


def blurred(pixels, deviation):
    """Pixels out of focus, if the deviation can be seen."""
    return cv2.GaussianBlur(pixels, (0, 0), deviation) if deviation > 0.3 else pixels


def throw_shadow(rng, picture, top, left, coverage, size):
    """Darken a picture beside and around a thing that is about to be pasted, in place.

    Args:
        picture: float32 [side, side, 3].
        top, left: of the thing's patch, which may reach beyond the picture.
        coverage: uint8 [h, w] of the patch.
        size: of the thing, pixels.
    """
    if rng.random() >= SHADOWS:
        return
    root = np.sqrt(size)
    dark, deviation = rng.uniform(*SHADOW), rng.uniform(*PENUMBRA) * root
    down, across = np.rint(rng.uniform(-SHIFT, SHIFT, 2) * root).astype(int)
    around = int(np.ceil(2.5 * deviation))
    height, width = (length + 2 * around for length in coverage.shape)
    scale = min(1.0, SHADOW_GRID / max(height, width))
    wide = cv2.copyMakeBorder(coverage, *[around] * 4, cv2.BORDER_CONSTANT, value=0)
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    shade = cv2.resize(wide, small, interpolation=cv2.INTER_AREA).astype(np.float32)
    shade = cv2.GaussianBlur(shade, (0, 0), max(deviation * scale, 0.3))
    light = 1 - np.float32(dark / 255) * cv2.resize(shade, (width, height))
    corner = top + int(down) - around, left + int(across) - around
    place, here = clipped(*corner, height, width, len(picture))
    picture[place] *= light[here][..., None]


def sample_crop(rng, photo, height, width):
    """Some part of a photo at a size, maybe mirrored: float32 [height, width, 3]."""
    aspect = np.exp(rng.uniform(-ASPECT, ASPECT)) * width / height
    rows, columns = photo.shape[:2]
    part = rng.uniform(*CROP) * min(rows, columns / aspect)
    down, across = max(round(part), 1), min(max(round(part * aspect), 1), columns)
    top, left = rng.integers(rows - down + 1), rng.integers(columns - across + 1)
    crop = photo[top : top + down, left : left + across]
    shrinks = down > height and across > width
    crop = cv2.resize(
        crop, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return (crop[:, ::-1] if rng.random() < 0.5 else crop).astype(np.float32)


def compress(rng, picture):
    """What JPEG makes of a picture, uint8 [H, W, 3], at some quality, or the picture as it is."""
    if rng.random() >= COMPRESSED:
        return picture
    quality = int(rng.integers(*JPEG_QUALITIES))
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
