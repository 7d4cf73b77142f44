"""Colours and patterns of the glyph scenes: what glyphs are filled with and lie on."""

import cv2
import numpy as np

PALETTE = (4, 8)  # colours a scene, from, below
SATURATION = (0.2, 1.1)  # of a scene's palette
NEAR_PALETTE = 18.0  # standard deviation of a channel, of 255
CONTRAST = 140  # least distance between colours that must differ, of 441
TRIES = 16  # of colours near the palette, and as many of any
PLAIN = 0.5  # chance of no pattern
WAVES = (2.0, 9.0)  # of a pattern across its size
LEAVES = (0, 16)  # patches of the background, from, below
STROKES = (3, 10)  # lines behind the glyphs, from, below
STROKE_POINTS = 24
STROKE_WIDTH = (0.006, 0.045)  # of the image's side
FIXED_POINT_BITS = 4  # of the coordinates that OpenCV draws


def sample_palette(rng):
    """A few colours that a scene comes back to, from grey to gaudy: float [N, 3] of 0 to 255."""
    colours = rng.uniform(0, 255, (rng.integers(*PALETTE), 3))
    grey = colours.mean(axis=1, keepdims=True)
    return grey + rng.uniform(*SATURATION) * (colours - grey)


def sample_colour(rng, palette, unlike=()):
    """A colour near one of the palette that differs enough from others.

    Args:
        palette: see `sample_palette`.
        unlike: colours to differ from. Where the palette has nothing that does, any colour is
            taken that does; where nothing at all does, the one that differs most of those tried.

    Returns:
        float [3], 0 to 255.
    """
    near = palette[rng.integers(0, len(palette), TRIES)] + rng.normal(0, NEAR_PALETTE, (TRIES, 3))
    tried = np.clip(np.concatenate([near, rng.uniform(0, 255, (TRIES, 3))]), 0, 255)
    if not len(unlike):
        return tried[0]
    differences = tried[:, None] - np.asarray(unlike)
    distances = np.sqrt(np.square(differences).sum(axis=2)).min(axis=1)
    return tried[np.minimum(distances, CONTRAST).argmax()]


def paint_pattern(rng, height, width, colours):
    """The first of two colours plain, or a ramp, stripes, checks, dots or clouds between them.

    Args:
        colours: float [2, 3].

    Returns:
        float32 [height, width, 3].
    """
    pattern = _plain if rng.random() < PLAIN else _PATTERNS[rng.integers(len(_PATTERNS))]
    weights = pattern(rng, height, width)
    first, second = np.asarray(colours, np.float64)
    return cv2.transform(weights, np.stack([second - first, first], axis=1))


def blend(under, over, coverage):
    """Lay one picture over another.

    Args:
        under, over: float32 [H, W, 3].
        coverage: float32 [H, W], 0 to 1, of `over`.

    Returns:
        float32 [H, W, 3].
    """
    return cv2.blendLinear(over, under, coverage, 1 - coverage)


def paint_background(rng, side, palette):
    """A cluttered picture to lay glyphs on: patterns, clouds, patches and lines.

    Returns:
        float32 [side, side, 3], 0 to 255.
    """
    picture = paint_pattern(rng, side, side, _two_colours(rng, palette))
    for _ in range(rng.integers(1, 3)):
        over = paint_pattern(rng, side, side, _two_colours(rng, palette))
        picture = blend(picture, over, _clouds(rng, side, side))
    picture = np.clip(picture, 0, 255).astype(np.uint8)  # OpenCV smooths edges in bytes only
    for _ in range(rng.integers(*LEAVES)):
        _paint_leaf(rng, picture, palette)
    for _ in range(rng.integers(*STROKES)):
        paint_stroke(picture, draw_stroke(rng, side), sample_colour(rng, palette))
    return picture.astype(np.float32)


def draw_stroke(rng, side):
    """A curved or straight line anywhere in a picture.

    Returns:
        int32 [N, 1, 2] points (x, y) in fixed point (FIXED_POINT_BITS), and the width in pixels.
    """
    ends = rng.uniform(-0.1, 1.1, 2)
    reach = np.exp(rng.uniform(np.log(0.08), np.log(0.8)))
    corners = ends + np.concatenate([[[0, 0]], rng.uniform(-reach, reach, (3, 2))])
    if rng.random() < 0.3:  # an angular line
        points = corners[: rng.integers(2, 5)]
    else:
        t = np.linspace(0, 1, STROKE_POINTS)[:, None]
        bernstein = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3]
        points = sum(weight * corner for weight, corner in zip(bernstein, corners, strict=True))
    fixed = np.rint(points * side * 2**FIXED_POINT_BITS).astype(np.int32)
    low, high = np.log(STROKE_WIDTH)
    return fixed[:, None], max(1, int(np.rint(np.exp(rng.uniform(low, high)) * side)))


def paint_stroke(picture, stroke, colour):
    """Draw a line (see `draw_stroke`) into a picture or mask of uint8, in place."""
    points, width = stroke
    colour = np.atleast_1d(colour).tolist()
    cv2.polylines(picture, [points], False, colour, width, cv2.LINE_AA, FIXED_POINT_BITS)


def light_and_grain(rng, picture):
    """Uneven light, a little blur and noise, as a camera adds them.

    Args:
        picture: float32 [H, W, 3], 0 to 255.

    Returns:
        uint8 [H, W, 3].
    """
    height, width = picture.shape[:2]
    light = rng.uniform(0.8, 1.1) + rng.uniform(0, 0.35) * (_clouds(rng, height, width, 2) - 0.5)
    blur = rng.uniform(0, 0.9)
    if blur > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    grain = rng.standard_normal((height, width), np.float32) * np.float32(rng.uniform(1, 9))
    lit = cv2.multiply(picture, cv2.merge([light.astype(np.float32)] * 3))
    return cv2.add(lit, cv2.merge([grain] * 3), dtype=cv2.CV_8U)  # rounds and clips


def _two_colours(rng, palette):
    first, second = (sample_colour(rng, palette) for _ in range(2))
    return np.stack([first, first + rng.uniform(0.3, 1) * (second - first)])


def _paint_leaf(rng, picture, palette):
    """A polygon, often see-through; glyphs are neither convex nor full, so it looks like none."""
    side = len(picture)
    size = side * np.exp(rng.uniform(np.log(0.03), np.log(0.3)))
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
    points = rng.uniform(0, side, 2) + size * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    colour, opacity = sample_colour(rng, palette), rng.uniform(0.3, 1)
    left, top = np.clip(points.min(axis=0) - 2, 0, side).astype(int)
    right, bottom = np.clip(points.max(axis=0) + 2, 0, side).astype(int)
    part = picture[top:bottom, left:right]
    if part.size:
        fixed = np.rint((points - (left, top)) * 2**FIXED_POINT_BITS).astype(np.int32)
        over = part.copy()
        cv2.fillPoly(over, [fixed], colour.tolist(), cv2.LINE_AA, FIXED_POINT_BITS)
        part[:] = cv2.addWeighted(over, opacity, part, 1 - opacity, 0)


def _plain(rng, height, width):
    return np.zeros((height, width), np.float32)


def _ramp(rng, height, width):
    along, _ = _turned_axes(rng, height, width)
    return np.clip(along + 0.5, 0, 1)


def _stripes(rng, height, width):
    along, _ = _turned_axes(rng, height, width)
    return _edge(rng, np.sin(along * np.float32(2 * np.pi * rng.uniform(*WAVES))))


def _checks(rng, height, width):
    along, across = _turned_axes(rng, height, width)
    turns = np.float32(2 * np.pi * rng.uniform(*WAVES))
    return _edge(rng, np.sin(along * turns) * np.sin(across * turns))


def _dots(rng, height, width):
    along, across = _turned_axes(rng, height, width)
    turns = np.float32(2 * np.pi * rng.uniform(*WAVES))
    return _edge(rng, (np.cos(along * turns) + np.cos(across * turns)) / 2 - 0.4)


def _clouds(rng, height, width, cells=None):
    """Smooth noise of two scales, 0 to 1."""
    total = np.zeros((height, width), np.float32)
    for weight in (0.65, 0.35):
        size = cells or int(rng.integers(2, 14))
        coarse = rng.random((size + 1, size + 1), np.float32)
        total += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(2 * total - 0.5, 0, 1)


def _turned_axes(rng, height, width):
    """Two coordinates at right angles, about -0.5 to 0.5, turned by any angle."""
    angle, size = rng.uniform(0, 2 * np.pi), max(height, width)
    x = (np.arange(width, dtype=np.float32) - width / 2) / size
    y = ((np.arange(height, dtype=np.float32) - height / 2) / size)[:, None]
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def _edge(rng, wave):
    """A wave between -1 and 1 as weights, soft or sharp."""
    return np.clip(wave * np.float32(rng.uniform(0.6, 4)) + np.float32(0.5), 0, 1)


_PATTERNS = (_ramp, _stripes, _checks, _dots, _clouds)
