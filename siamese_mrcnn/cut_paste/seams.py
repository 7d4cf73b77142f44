"""How a cut-out meets what it is pasted on: the seams, all of them on things and on nothing."""

import cv2
import numpy as np

OPAQUE = 128  # coverage from which on a pixel shows the thing
SOFTNESS = (0.6, 2.2)  # standard deviation of the Gaussian seam, pixels
SOFTEST = 0.04  # the same, at most, of the root of the thing's area
STRENGTH = (0.2, 0.75)  # part of the Poisson correction that is made; all of it bleaches things
GRIDS = (8, 16, 32)  # cells of the longer side, from coarse to fine, where it is solved
SWEEPS = 40  # on each grid
CROSS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4


def sample_seam(rng):
    """One of the seams, by chance: "hard", "plain", "gaussian" or "poisson"."""
    return ("hard", "plain", "gaussian", "poisson")[rng.integers(4)]


def paste(rng, part, paint, coverage, seam, size):
    """Lay a patch on a part of a picture, in place.

    Args:
        rng: numpy Generator.
        part: float32 [h, w, 3], 0 to 255, changed.
        paint: float32 [h, w, 3].
        coverage: uint8 [h, w], of the patch.
        seam: "hard": whole pixels; "plain": as covered; "gaussian": blurred; "poisson": the
            patch's colours moved smoothly so that they meet those around (Perez et al., 2003).
        size: of the thing, pixels.
    """
    mask = coverage >= OPAQUE
    if seam == "hard":
        weights = mask.astype(np.float32)
    elif seam == "gaussian":
        softness = min(rng.uniform(*SOFTNESS), 0.3 + SOFTEST * np.sqrt(size))
        weights = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), softness)
    else:
        weights = coverage.astype(np.float32) / 255
        if seam == "poisson" and mask.any():
            paint = paint + np.float32(rng.uniform(*STRENGTH)) * membrane(part - paint, mask)
    part[:] = cv2.blendLinear(paint, part, weights, 1 - weights)


def membrane(difference, mask):
    """The smooth surface that has given heights along the rim of a mask.

    It solves Laplace's equation within the rim, on a grid of at most 32 cells, since it is smooth.

    Args:
        difference: float32 [h, w, 3], whose values at the rim count.
        mask: bool [h, w], not empty.

    Returns:
        float32 [h, w, 3]; beyond the rim it goes on somehow.
    """
    height, width = mask.shape
    whole = mask.astype(np.uint8)
    rim = whole - cv2.erode(whole, np.ones((3, 3), np.uint8), borderValue=0)
    heights = np.dstack([difference * rim[..., None], rim.astype(np.float32)])
    surface = None
    for cells in GRIDS:
        scale = min(1.0, cells / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        coarse = cv2.resize(heights, size, interpolation=cv2.INTER_AREA)
        fixed = coarse[..., 3] > 0
        values = coarse[..., :3][fixed] / coarse[..., 3][fixed][:, None]
        if surface is None:
            surface = np.empty((size[1], size[0], 3), np.float32)
            surface[:] = values.mean(axis=0)
        else:
            surface = cv2.resize(surface, size, interpolation=cv2.INTER_LINEAR)
        surface[fixed] = values
        for _ in range(SWEEPS):
            surface = cv2.filter2D(surface, -1, CROSS, borderType=cv2.BORDER_REPLICATE)
            surface[fixed] = values
    return cv2.resize(surface, (width, height), interpolation=cv2.INTER_LINEAR)
