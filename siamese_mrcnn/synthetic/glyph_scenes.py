"""Cluttered scenes of glyphs, with the exact pixels of each that are seen."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from siamese_mrcnn.synthetic.distortion import sample_distortion, sample_sizes
from siamese_mrcnn.synthetic.glyph_font import character_ink
from siamese_mrcnn.synthetic.glyph_textures import (
    blend,
    draw_stroke,
    light_and_grain,
    paint_background,
    paint_pattern,
    paint_stroke,
    sample_colour,
    sample_palette,
)
from siamese_mrcnn.synthetic.visibility import Visibility, clipped

GLYPHS = (3, 13)  # a scene, from, below
CATEGORIES = (2, 6)  # a scene, from, below; never more than half the glyphs, rounded up
SMALLEST = 18.0  # square root of the ink's area in pixels
LARGEST = 0.45  # the same, of the image's side
SHRINKING = 0.95  # after each place that was tried in vain
PLACES = 40  # to try
VISIBLE = (0.6, 1.0)  # bounds of the part of a glyph's pixels that must at least be seen
INSET = 0.4  # least distance of a glyph's middle from the border, in glyphs
TURN = 30  # degrees at most, either way
STRETCH = 1.25  # longest axis, relative to the undistorted glyph
PERSPECTIVE = 0.2  # change of scale across half a glyph
OUTLINED = 0.45  # chance of an outline around the ink
OUTLINE = (0.02, 0.06)  # its width, of the glyph's longer side
CROSSING = (0, 3)  # lines over the glyphs, from, below
FIELD = 192  # pixels of a glyph's longer side in its field
MARGIN = 24  # pixels around it
OVERSAMPLING = 2


@dataclass
class PlacedGlyph:
    """A glyph in its place: a patch of the picture's plane, which may reach beyond the picture."""

    top: int
    left: int
    depth: np.ndarray  # float32 [h, w], pixels inwards from the edge of the ink or its outline
    outline: float  # width of the outline, pixels
    needed: float = 0.0  # part of it that must at least be seen

    def within(self, side):
        """The part inside the picture: (rows, columns) of the picture and the depth there."""
        place, here = clipped(self.top, self.left, *self.depth.shape, side)
        return place, self.depth[here]

    @property
    def size(self):
        """Pixels, those outside of the picture included."""
        return np.count_nonzero(self.depth > 0)


def draw_glyph_scene(rng, side, characters, first):
    """Draw one picture and its instances.

    Args:
        rng: numpy Generator.
        side: pixels.
        characters: one for each category.
        first: category that the scene shows at any rate, several times, as a position.

    Returns:
        uint8 [side, side, 3] RGB, and a list of (category position, bool [side, side]): the parts
        that are seen, of which none overlap.
    """
    scene = _Scene(rng, side)
    labels = _draw_labels(rng, len(characters), first)
    sizes = sample_sizes(rng, SMALLEST, LARGEST * side, len(labels))
    for label, size in zip(labels, sizes, strict=True):
        glyph = _find_place(scene, glyph_field(characters[label]), size)
        if glyph is not None:
            scene.paint(glyph, label)
    for _ in range(rng.integers(*CROSSING)):
        scene.cross()
    return light_and_grain(rng, scene.picture), scene.instances()


@lru_cache(maxsize=1024)  # a quarter of a gigabyte, if so many categories are drawn
def glyph_field(character):
    """Distances from the edge of a character's ink, in pixels of this field, inside positive.

    Returns:
        float32 [FIELD + 2 MARGIN, FIELD + 2 MARGIN], with the ink in the middle.
    """
    ink = character_ink(character, OVERSAMPLING * FIELD)
    size = OVERSAMPLING * (FIELD + 2 * MARGIN)
    canvas = np.zeros((size, size), np.uint8)
    top, left = ((size - length) // 2 for length in ink.shape)
    canvas[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    inside, outside = (
        cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for part in (canvas, 1 - canvas)
    )
    # Distances are to centres of pixels, the edge is half a pixel nearer.
    depth = np.where(canvas, inside - 0.5, 0.5 - outside).astype(np.float32)
    small = (FIELD + 2 * MARGIN,) * 2
    return cv2.resize(depth, small, interpolation=cv2.INTER_AREA) / OVERSAMPLING


def place_glyph(field, transform, outline):
    """Put a glyph into the picture's plane.

    Args:
        field: see `glyph_field`.
        transform: [3, 3], from places in the field, (0, 0) in the middle and 1 the longer side of
            the glyph, to (x, y) in the picture, pixels.
        outline: width, of the longer side.

    Returns:
        PlacedGlyph.
    """
    half = 0.5 + MARGIN / FIELD
    corners = np.array([[[-half, -half], [half, -half], [half, half], [-half, half]]])
    around = cv2.perspectiveTransform(corners, transform)[0]
    left, top = np.floor(around.min(axis=0)).astype(int)
    width, height = np.ceil(around.max(axis=0)).astype(int) - (left, top) + 1
    middle = (len(field) - 1) / 2
    from_field = np.array([[1, 0, -middle], [0, 1, -middle], [0, 0, FIELD]]) / FIELD
    to_patch = np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])
    warped = cv2.warpPerspective(
        field,
        to_patch @ transform @ from_field,
        (int(width), int(height)),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=-float(MARGIN),
    )
    scale = np.sqrt(abs(np.linalg.det(transform[:2, :2]))) / FIELD  # at the middle
    depth = (warped + np.float32(outline * FIELD)) * np.float32(scale)
    return PlacedGlyph(int(top), int(left), depth, float(outline * FIELD * scale))


class _Scene:
    """A picture in the making: later glyphs cover earlier ones."""

    def __init__(self, rng, side):
        self.rng, self.side = rng, side
        self.palette = sample_palette(rng)
        self.picture = paint_background(rng, side, self.palette)
        self.parts = Visibility(side)
        self.labels = []

    def takes(self, glyph):
        """Whether enough would be seen of the glyph and of all those before it."""
        place, depth = glyph.within(self.side)
        return self.parts.takes(place, depth > 0, glyph.size, glyph.needed)

    def paint(self, glyph, label):
        place, depth = glyph.within(self.side)
        mask = depth > 0
        part = self.picture[place]
        behind = part[mask].mean(axis=0)
        fill = [sample_colour(self.rng, self.palette, [behind]) for _ in range(2)]
        paint = paint_pattern(self.rng, *depth.shape, fill)
        if glyph.outline:
            edge = sample_colour(self.rng, self.palette, fill).astype(np.float32)
            paint = blend(paint, np.full_like(paint, edge), _coverage(glyph.outline - depth))
        part[:] = blend(part, paint, _coverage(depth))
        self.parts.add(place, mask, glyph.size, glyph.needed)
        self.labels.append(label)

    def cross(self):
        """Draw a line over everything, unless it would hide too much."""
        canvas = np.zeros((self.side, self.side), np.uint8)
        paint_stroke(canvas, draw_stroke(self.rng, self.side), 255)
        mask = canvas > 127
        colour = sample_colour(self.rng, self.palette).astype(np.float32)
        if self.parts.may_hide((), mask):
            self.parts.hide((), mask)
            over = np.full_like(self.picture, colour)
            self.picture = blend(self.picture, over, canvas / np.float32(255))

    def instances(self):
        return list(zip(self.labels, self.parts.masks(), strict=True))


def _coverage(depth):
    """How much of a pixel lies inside, 0 to 1, from the depth of its centre."""
    return np.clip(depth + np.float32(0.5), 0, 1)


def _draw_labels(rng, categories, first):
    """Categories of the glyphs, in any order, with at least two of `first`."""
    glyphs = int(rng.integers(*GLYPHS))
    several = min(int(rng.integers(*CATEGORIES)), (glyphs + 1) // 2, categories)
    others = rng.choice(categories - 1, several - 1, replace=False)
    chosen = [first, *(others + (others >= first)).tolist()]
    more = [chosen[n] for n in rng.integers(0, several, glyphs - several - 1)]
    labels = [*chosen, first, *more]
    return [labels[n] for n in rng.permutation(glyphs)]


def _find_place(scene, field, size):
    """A glyph in a place where it hides little, or None: the scene is full."""
    rng = scene.rng
    filled = np.sqrt(np.count_nonzero(field > 0)) / FIELD
    outline = rng.uniform(*OUTLINE) if rng.random() < OUTLINED else 0.0
    needed = rng.uniform(*VISIBLE)
    for _ in range(PLACES):
        diameter = min(size / filled, scene.side)
        transform = _sample_transform(rng, diameter, scene.side)
        glyph = place_glyph(field, transform, outline)
        glyph.needed = needed
        if scene.takes(glyph):
            return glyph
        size = max(SHRINKING * size, SMALLEST)
    return None


def _sample_transform(rng, diameter, side):
    """A place in the picture, a turn, a stretch in any direction, and a tilt in space."""
    inset = min(INSET * diameter, 0.5 * side)
    transform = sample_distortion(rng, diameter, TURN, STRETCH, PERSPECTIVE)
    shift = np.eye(3)
    shift[:2, 2] = rng.uniform(inset, side - inset, 2)
    return shift @ transform
