"""Cut-outs and backgrounds at the sizes that scenes need, made once and read by all processes."""

import cv2
import numpy as np

from mrcnn.files import atomic_path
from mrcnn.images.image import read_image

LONGEST = 1.0  # side of the largest cut-out, of the scene's
FRAME = 2  # pixels around each level
SMALLEST = 24  # longer side of the smallest level, pixels
BACKGROUND = 1.25  # shorter side of a background, of the scene's, at most
PLAIN = 8  # difference of a channel to a bar's colour at most
MOST_BAR = 0.5  # of a background's side
LARGE = 6  # longer side of a photo in which bars are looked for, of the scene's
EDGE = 0.015  # width of the rim whose colours are the photo's, too; of the root of the area
RIM = 255 - 24  # alpha from which on a pixel is the thing's alone
QUALITY = 95  # of backgrounds as JPEG


def write_pyramid(path, pixels, side):
    """Write a cut-out at halving sizes.

    Around the thing its own colours go on, so that nothing of the photo that it was cut from
    shines through its edge.

    Args:
        path: of the file to write (.npz).
        pixels: uint8 [h, w, 4], RGB and coverage.
        side: of the scenes, pixels.

    Returns:
        the largest level, as `pixels`.
    """
    pixels = shrunk(pixels, side * LONGEST)
    levels = [np.dstack([extended_colours(pixels), pixels[..., 3]])]
    while max(levels[-1].shape) >= 2 * SMALLEST and min(levels[-1].shape[:2]) >= 2:
        height, width = levels[-1].shape[:2]
        half = (max(width // 2, 1), max(height // 2, 1))
        levels.append(cv2.resize(levels[-1], half, interpolation=cv2.INTER_AREA))
    framed = {str(number): _framed(level) for number, level in enumerate(levels)}
    with atomic_path(path, suffix=".npz", durable=False) as passing:
        np.savez(passing, **framed)
    return levels[0]


def read_level(path, number):
    """A level of a pyramid, 0 the largest: uint8 [h + 2 FRAME, w + 2 FRAME, 4].

    The thing's colours go on in the frame, its coverage does not. Where there are fewer levels it
    is the last one.
    """
    with np.load(path) as levels:
        return levels[str(min(number, len(levels.files) - 1))]


def write_background(path, source, side):
    """Write a photo at the size of backgrounds as JPEG.

    Raises:
        ImageError: it cannot be read.
    """
    photo = without_bars(shrunk(read_image(source, upright=True), LARGE * side))
    height, width = photo.shape[:2]
    photo = shrunk(photo, BACKGROUND * side * max(height, width) / min(height, width))
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    with atomic_path(path, durable=False) as passing:
        passing.write_bytes(data)


def read_background(path):
    """A written background: uint8 [H, W, 3]."""
    return cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)


def without_bars(photo):
    """A photo without plain bars along its borders, as programs add to make it square."""
    for _ in range(4):  # each border comes to the top once
        apart = np.abs(photo - np.median(photo[0], axis=0)).max(axis=(1, 2)) > PLAIN
        if apart.any() and apart.argmax() < len(photo) * MOST_BAR:
            photo = photo[apart.argmax() :]
        photo = np.rot90(photo)
    return np.ascontiguousarray(photo)


def shrunk(pixels, longest):
    """A picture whose longer side is at most so long."""
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _framed(level):
    around = [FRAME] * 4
    framed = cv2.copyMakeBorder(level, *around, cv2.BORDER_REPLICATE)
    framed[..., 3] = cv2.copyMakeBorder(level[..., 3], *around, cv2.BORDER_CONSTANT, value=0)
    return framed


def extended_colours(pixels):
    """The colours of a thing, going on beyond its edge.

    Args:
        pixels: uint8 [h, w, 4].

    Returns:
        uint8 [h, w, 3]: those of its inside as they are, elsewhere the mean of what is known
        around, from near to far.
    """
    known = (pixels[..., 3] >= RIM).astype(np.uint8)
    rim = 2 * max(1, round(EDGE * np.sqrt(np.count_nonzero(known)))) + 1
    # Beyond the borders is nothing of the thing, as they are its bounds.
    inner = cv2.erode(known, np.ones((rim, rim), np.uint8), borderValue=0)
    known = inner if inner.any() else np.maximum(known, pixels[..., 3] >= pixels[..., 3].max())
    colours = pixels[..., :3] * known[..., None].astype(np.float32)
    weights, reach = known.astype(np.float32), 3
    while not weights.all():
        size = (reach, reach)
        border = cv2.BORDER_CONSTANT
        total = cv2.boxFilter(weights, -1, size, normalize=False, borderType=border)
        summed = cv2.boxFilter(colours, -1, size, normalize=False, borderType=border)
        new = (weights == 0) & (total > 0.5)
        colours[new] = summed[new] / total[new][:, None]
        weights[new] = 1
        reach = 2 * reach + 1
    return np.rint(colours).astype(np.uint8)
