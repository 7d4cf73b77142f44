"""Scenes of cut-outs on photos, with the exact pixels of each thing that are seen."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from siamese_mrcnn.cut_paste.appearance import (
    blurred,
    compress,
    relight,
    sample_crop,
    sample_defocus,
    throw_shadow,
)
from siamese_mrcnn.cut_paste.pyramids import FRAME, read_background, read_level
from siamese_mrcnn.cut_paste.seams import OPAQUE, paste, sample_seam
from siamese_mrcnn.synthetic.distortion import sample_distortion, sample_sizes
from siamese_mrcnn.synthetic.glyph_textures import (
    light_and_grain,
    paint_background,
    sample_palette,
)
from siamese_mrcnn.synthetic.pieces import Instance, Scene, category_in_turn, scene_generator
from siamese_mrcnn.synthetic.visibility import Visibility, clipped

THINGS = (2, 13)  # a scene, from, below
OTHER_CATEGORIES = (1, 5)  # besides the first, from, below
SAME_THING = 0.5  # chance of another one of the first category to be the same thing
NEAR = 0.5  # chance of another category to look like the first
PATCHES = (0, 4)  # pieces of photos in the outlines of things, from, below
SMALLEST = 14.0  # square root of the area in pixels
LEAST = 64  # pixels of a thing, thin ones may have fewer than is wanted
LARGEST = 0.6  # the same, of the side
ENLARGED = 1.5  # longer side at most, of the cut-out's own
VISIBLE = (0.4, 1.0)  # bounds of the part of a thing that must at least be seen
INSET = 0.3  # least distance of a thing's middle from the border, of its longer side
SIZES_TRIED, PLACES_TRIED, SHRINKING = 4, 8, 0.7
TURN, UPRIGHT = 180, 25  # degrees at most, of some things and of most
LYING = 0.2  # chance of any turn
STRETCH = 1.15  # longest axis, relative to the undistorted thing
PERSPECTIVE = 0.15  # change of scale across half a thing
MARGIN = 6  # pixels around a thing, for soft seams


@dataclass
class Patch:
    """A thing as it will be seen.

    Attributes:
        pixels: uint8 [h, w, 4], RGB and coverage.
        size: number of its pixels.
        defocus: standard deviation of the blur that it has, pixels.
        top, left: where in the picture, which it may reach beyond.
    """

    pixels: np.ndarray
    size: int
    defocus: float = 0.0
    top: int = 0
    left: int = 0


class Stock:
    """The prepared cut-outs and backgrounds of a folder."""

    def __init__(self, folder, catalogue):
        self.folder, self.catalogue = Path(folder), catalogue
        self.views = {portion: catalogue.of_portion(portion) for portion in ("train", "val")}

    def level(self, view, diameter):
        """The smallest level of a cut-out that is at least as large as it will be seen."""
        number = max(int(np.floor(np.log2(view.longer / diameter))), 0)
        return read_level(self.folder / cutout_name(view.number), number)

    def photo(self, number):
        return read_background(self.folder / background_name(number))


def cutout_name(number):
    return f"cutout_{number:06d}.npz"


def background_name(number):
    return f"background_{number:06d}.jpg"


def draw_indexed_scene(stock, recipe, portion, index):
    """The scene of a number, as `siamese_mrcnn.synthetic.pieces.Scene`.

    Args:
        stock: `Stock`.
        recipe: with "seed" and "image_size".
        portion: "train" or "val".
        index: number in the portion, from 0.
    """
    categories = stock.catalogue.categories
    first = category_in_turn(recipe["seed"], portion, index, len(categories))
    rng = scene_generator(recipe["seed"], portion, index)
    picture, instances, background = compose(rng, recipe["image_size"], stock, portion, first)
    found = []
    for view, mask in instances:
        notes = {"thing": view.thing, "cutout": view.name}
        found.append(Instance(categories.index(view.category), mask, notes))
    return Scene(picture, found, {"background": background})


def compose(rng, side, stock, portion, first):
    """Make one picture and its instances.

    Args:
        rng: numpy Generator.
        side: pixels.
        stock: `Stock`.
        portion: "train" or "val".
        first: category that the scene shows at any rate, several times, as a position.

    Returns:
        uint8 [side, side, 3] RGB; a list of (`View`, bool [side, side]), the parts that are seen,
        of which none overlap; the name of the background, None if it is drawn.
    """
    scene = _Scene(rng, side, stock, portion)
    views = _draw_views(rng, stock, portion, first)
    layers = views + [None] * int(rng.integers(*PATCHES))
    sizes = sample_sizes(rng, SMALLEST, LARGEST * side, len(layers))
    for place, size in zip(rng.permutation(len(layers)), sizes, strict=True):
        view = layers[place]
        if view is None:
            scene.cover(_any_view(rng, stock, portion), size)
        else:
            scene.lay(view, size)
    picture = compress(rng, light_and_grain(rng, scene.picture))
    return picture, scene.instances(), scene.background


def distorted(rng, stock, view, size, longest):
    """A thing turned, mirrored, tilted, and maybe out of focus: a `Patch`.

    Args:
        size: square root of the area that it is to have, pixels.
        longest: that its longer side may be, pixels.
    """
    diameter = min(size * view.longer / np.sqrt(view.area), ENLARGED * view.longer, longest)
    turn = TURN if rng.random() < LYING else UPRIGHT
    transform = sample_distortion(rng, diameter, turn, STRETCH, PERSPECTIVE)
    transform = transform @ np.diag([rng.choice([-1, 1]), 1, 1])
    area = view.area * (diameter / view.longer) ** 2
    defocus = sample_defocus(rng, area)
    pixels = blurred(warped(stock.level(view, diameter), transform), defocus)
    return Patch(pixels, np.count_nonzero(pixels[..., 3] >= OPAQUE), defocus)


def warped(level, transform):
    """A level of a cut-out as a transform shows it, with `MARGIN` around.

    Args:
        level: see `siamese_mrcnn.cut_paste.pyramids.read_level`.
        transform: see `siamese_mrcnn.synthetic.distortion.sample_distortion`.

    Returns:
        uint8 [h, w, 4].
    """
    height, width = (length - 2 * FRAME for length in level.shape[:2])
    longer = max(height, width)
    x, y = width / longer / 2, height / longer / 2
    corners = np.array([[[-x, -y], [x, -y], [x, y], [-x, y]]])
    around = cv2.perspectiveTransform(corners, transform)[0]
    left, top = np.floor(around.min(axis=0)).astype(int) - MARGIN
    right, bottom = np.ceil(around.max(axis=0)).astype(int) + 1 + MARGIN
    middle = np.array([width - 1, height - 1]) / 2 + FRAME
    from_level = np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, longer]]) / longer
    to_patch = np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])
    return cv2.warpPerspective(
        level,
        to_patch @ transform @ from_level,
        (int(right - left), int(bottom - top)),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


class _Scene:
    """A picture in the making: later things cover earlier ones."""

    def __init__(self, rng, side, stock, portion):
        self.rng, self.side, self.stock = rng, side, stock
        self.photos = stock.catalogue.backgrounds[portion]
        self.picture, self.background = self._paint_background()
        self.parts = Visibility(side)
        self.views = []

    def lay(self, view, size):
        """Paste a thing where it hides little, if there is such a place."""
        needed = self.rng.uniform(*VISIBLE)
        patch = self._find_place(
            view, size, lambda *where, size: self.parts.takes(*where, size, needed)
        )
        if patch is not None:
            place, mask = self._paste(patch, relight(self.rng, patch.pixels[..., :3]))
            self.parts.add(place, mask, patch.size, needed)
            self.views.append(view)

    def cover(self, view, size):
        """Paste a piece of another photo in a thing's outline, if there is a place."""
        patch = self._find_place(view, size, lambda *where, size: self.parts.may_hide(*where))
        if patch is not None:
            texture = self._texture(*patch.pixels.shape[:2])
            place, mask = self._paste(patch, relight(self.rng, blurred(texture, patch.defocus)))
            self.parts.hide(place, mask)

    def instances(self):
        return list(zip(self.views, self.parts.masks(), strict=True))

    def _paint_background(self):
        if not self.photos:
            return paint_background(self.rng, self.side, sample_palette(self.rng)), None
        number = self.photos[self.rng.integers(len(self.photos))]
        crop = sample_crop(self.rng, self.stock.photo(number), self.side, self.side)
        crop = blurred(relight(self.rng, crop), sample_defocus(self.rng, self.side**2 / 9))
        return np.clip(crop, 0, 255), self.stock.catalogue.photos[number]

    def _texture(self, height, width):
        """What no thing is: float32 [height, width, 3]."""
        if not self.photos:
            longer = max(height, width)
            drawn = paint_background(self.rng, longer, sample_palette(self.rng))
            return drawn[:height, :width]
        number = self.photos[self.rng.integers(len(self.photos))]
        return sample_crop(self.rng, self.stock.photo(number), height, width)

    def _find_place(self, view, size, allowed):
        for _ in range(SIZES_TRIED):
            patch = distorted(self.rng, self.stock, view, size, self.side)
            height, width = patch.pixels.shape[:2]
            inset = min(INSET * max(height, width), 0.5 * self.side)
            for _ in range(PLACES_TRIED):
                y, x = self.rng.uniform(inset, self.side - inset, 2)
                patch.top, patch.left = round(y - height / 2), round(x - width / 2)
                place, here = clipped(patch.top, patch.left, height, width, self.side)
                mask = patch.pixels[(*here, 3)] >= OPAQUE
                if patch.size >= LEAST and allowed(place, mask, size=patch.size):
                    return patch
            size = max(SHRINKING * size, SMALLEST)
        return None

    def _paste(self, patch, paint):
        """Paste a patch; gives its place and its pixels there."""
        coverage = patch.pixels[..., 3]
        place, here = clipped(patch.top, patch.left, *coverage.shape, self.side)
        throw_shadow(self.rng, self.picture, patch.top, patch.left, coverage, patch.size)
        part, inside = self.picture[place], np.ascontiguousarray(coverage[here])
        paint = np.clip(paint[here], 0, 255)
        paste(self.rng, part, paint, inside, sample_seam(self.rng), patch.size)
        return place, inside >= OPAQUE


def _draw_views(rng, stock, portion, first):
    """The views of the things of a scene, several of the first category, in any order."""
    views, near = stock.views[portion], stock.catalogue.near[first]
    count = int(rng.integers(*THINGS))
    asked = int(rng.integers(2, max(3, count // 2 + 2)))
    thing = _any(rng, [*views[first]])
    chosen = [_any(rng, views[first][thing])]
    for _ in range(min(asked, count) - 1):
        same = rng.random() < SAME_THING
        chosen.append(_any(rng, views[first][thing if same else _any(rng, [*views[first]])]))
    others = [number for number in range(len(views)) if number != first]
    kinds = [
        _any(rng, near if rng.random() < NEAR else others)
        for _ in range(rng.integers(*OTHER_CATEGORIES))
    ]
    while len(chosen) < count:
        chosen.append(_of_category(rng, views[_any(rng, kinds)]))
    return chosen


def _any_view(rng, stock, portion):
    return _of_category(rng, _any(rng, stock.views[portion]))


def _of_category(rng, things):
    return _any(rng, things[_any(rng, [*things])])


def _any(rng, items):
    return items[rng.integers(len(items))]
