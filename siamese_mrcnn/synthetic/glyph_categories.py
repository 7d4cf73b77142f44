"""Which characters become categories: bold enough to segment, and different from each other.

The choice depends on the font and the count alone, and the first categories of a longer choice
are those of a shorter one. Shapes are compared around their centre of mass in polar coordinates,
where a turn is a shift, so that neither turned nor mirrored nor resized copies are chosen twice.
All sums are of whole numbers small enough to be exact, so every machine chooses the same.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from siamese_mrcnn.synthetic.glyph_font import (
    character_ink,
    character_kind,
    character_name,
    named_characters,
)

SIDE = 64  # pixels, of the pictures that are judged
STROKE = 5  # pixels: thinner strokes do not count
BOLD_INK = 0.85  # of the ink must lie in thicker strokes
PARTS = 2  # at most
SMALLEST_PART = 0.14  # of the ink
HOLES = 6  # at most: no grids and grey shades
LEAST_INK = 0.16  # of the surrounding box
ROUNDNESS = 0.45  # least ratio of the spreads along the short and the long axis
SOLID = 0.9  # of the convex hull: discs, squares and bars look like the clutter around them
ANGLES, RADII = 40, 12
REACH = 2.4  # outermost radius, in units of the spread
BLUR = 7  # pixels
LEVELS = 31  # of the ink in comparisons
LEAST_DISTANCE = 0.3  # of categories, 1 for as much as a usual shape has: closer ones look alike


class CategoriesError(ValueError):
    """More categories than the font has shapes that differ."""


@dataclass(frozen=True)
class GlyphCategory:
    """A character to find."""

    character: str
    name: str
    kind: str


def choose_categories(count):
    """The `count` characters of the font that differ most, beginning with the most unusual.

    Each is the one farthest from all before (farthest-point selection).

    Returns:
        list of `GlyphCategory`.

    Raises:
        CategoriesError: if there are not so many.
    """
    characters, features = _described()
    chosen = _farthest_points(features, count)
    if len(chosen) < count:
        raise CategoriesError(
            f"The font has {len(chosen)} shapes that are bold and differ from each other, but "
            f"{count} categories were asked for. Ask for at most {len(chosen)}."
        )
    return [
        GlyphCategory(characters[n], character_name(characters[n]), character_kind(characters[n]))
        for n in chosen
    ]


def is_bold(ink):
    """Whether a shape has thick strokes, few parts, and a form of its own.

    Args:
        ink: bool [height, width], cropped, the longer side `SIDE`.
    """
    solid = np.pad(ink.view(np.uint8), STROKE)
    area = np.count_nonzero(solid)
    if area < LEAST_INK * ink.size:
        return False
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (STROKE, STROKE))
    if np.count_nonzero(cv2.morphologyEx(solid, cv2.MORPH_OPEN, disc)) < BOLD_INK * area:
        return False
    parts, _, statistics, _ = cv2.connectedComponentsWithStats(solid)
    if parts - 1 > PARTS or statistics[1:, cv2.CC_STAT_AREA].min() < SMALLEST_PART * area:
        return False
    if cv2.connectedComponents(1 - solid, connectivity=4)[0] - 2 > HOLES:
        return False
    points = np.argwhere(solid)
    spreads = np.linalg.eigvalsh(np.cov(points.T))
    hull = cv2.contourArea(cv2.convexHull(points[:, ::-1].astype(np.int32)))
    return spreads[0] >= ROUNDNESS**2 * spreads[1] and area < SOLID * hull


def describe(ink):
    """A shape in polar coordinates around its centre of mass, in units of its spread.

    Args:
        ink: bool [height, width].

    Returns:
        float32 [ANGLES, RADII] of whole numbers; the sum of squared differences of two of them
        counts every area alike, wherever it lies.
    """
    y, x, spread = _centre_and_spread(ink)
    radii = REACH * spread * (np.arange(RADII) + 0.5) / RADII
    angles = 2 * np.pi * np.arange(ANGLES)[:, None] / ANGLES
    blurred = _box_means(ink, y + radii * np.sin(angles), x + radii * np.cos(angles))
    return np.rint(LEVELS * blurred * np.sqrt(radii / radii[-1])).astype(np.float32)


def _centre_and_spread(ink):
    down, along = (ink.sum(axis=axis, dtype=np.int64) for axis in (1, 0))
    total, rows, columns = down.sum(), np.arange(len(down)), np.arange(len(along))
    y, x = (down * rows).sum() / total, (along * columns).sum() / total
    variance = (down * (rows - y) ** 2).sum() + (along * (columns - x) ** 2).sum()
    return y, x, np.sqrt(variance / total)


def _box_means(ink, y, x):
    """Means, 0 to 1, over squares of BLUR pixels around points, from exact sums."""
    sums = cv2.integral(ink.view(np.uint8))

    def until(y, x):
        return sums[np.clip(y, 0, ink.shape[0]), np.clip(x, 0, ink.shape[1])].astype(np.float64)

    top, left = (np.rint(place).astype(int) - BLUR // 2 for place in (y, x))
    bottom, right = top + BLUR, left + BLUR
    total = until(bottom, right) - until(top, right) - until(bottom, left) + until(top, left)
    return total / BLUR**2


@lru_cache(maxsize=1)
def _described():
    """Bold characters and their features, float32 [N, ANGLES, RADII]."""
    characters, features = [], []
    for character in named_characters():
        ink = character_ink(character, SIDE)
        if ink is not None and is_bold(ink):
            characters.append(character)
            features.append(describe(ink))
    return characters, np.stack(features)


def squared_distances(feature, features):
    """Squared distances of one shape to many, the least over all turns and both mirror images.

    Args:
        feature: [ANGLES, RADII].
        features: [N, ANGLES, RADII].

    Returns:
        float32 [N] of whole numbers.
    """
    turned = [
        np.roll(image, turn, axis=0) for image in (feature, feature[::-1]) for turn in range(ANGLES)
    ]
    flat = features.reshape(len(features), -1)
    overlap = (flat @ np.stack(turned).reshape(len(turned), -1).T).max(axis=1)
    return np.square(flat).sum(axis=1) + np.square(feature).sum() - 2 * overlap


def _farthest_points(features, count):
    """Positions of up to `count` shapes, each the one farthest from those before it."""
    usual = np.square(features, dtype=np.float64).sum() / len(features)
    chosen = [int(squared_distances(features.mean(axis=0).round(), features).argmax())]
    nearest = np.full(len(features), np.inf, np.float32)
    while len(chosen) < count:
        nearest = np.minimum(nearest, squared_distances(features[chosen[-1]], features))
        farthest = int(nearest.argmax())
        if nearest[farthest] < LEAST_DISTANCE**2 * usual:
            break
        chosen.append(farthest)
    return chosen
