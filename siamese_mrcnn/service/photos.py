"""Photos that whoever starts the service offers to search: a folder's, or drawn examples."""

import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from mrcnn.images.image import read_image
from siamese_mrcnn.photo_demo import COIN, photographs
from siamese_mrcnn.synthetic.glyph_categories import choose_categories
from siamese_mrcnn.synthetic.glyph_scenes import draw_glyph_scene

SCENES, SIDE, SEED = 12, 256, 7  # of the examples; pixels
CATEGORIES = 80  # that the model of the box was made for
SHOWN = 60  # position of the category to try: ƶ, which the model of the box never saw in training
ENOUGH = 2000  # pixels of a glyph that shows its shape
QUALITY = 90  # of the JPEG files that the page shows


@dataclass(frozen=True)
class Photos:
    """Photos by id, which is a number: no user names a path.

    Attributes:
        names: of the photos, as they are shown.
        sources: a path of each, or its pixels.
        example: (id, box (y1, x1, y2, x2)) of something to search for, or None.
    """

    names: list = field(default_factory=list)
    sources: list = field(default_factory=list)
    example: tuple | None = None

    def index(self, photo):
        """The position of an id, None of one that there is not."""
        known = photo.isascii() and photo.isdigit() and len(photo) < 8
        return int(photo) if known and int(photo) < len(self.sources) else None

    def read(self, index):
        """Pixels of a photo: uint8 [height, width, 3], upright.

        Raises:
            mrcnn.images.image.ImageError: the file is gone, or no picture.
        """
        source = self.sources[index]
        return source if isinstance(source, np.ndarray) else read_image(source, upright=True)

    def as_jpeg(self, index, side=None):
        """A photo as the bytes of a JPEG file, its longer side at most `side` pixels."""
        picture = Image.fromarray(self.read(index))
        if side is not None:
            picture.thumbnail((side, side))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=QUALITY)
        return buffer.getvalue()


def photos_of(paths):
    """`Photos` of picture files."""
    return Photos([path.name for path in paths], list(paths))


def examples_of(name):
    """`Photos` to try a model of the box with, by its configuration's NAME; none for others."""
    if name == "photos":
        pictures = photographs()
        return Photos([*pictures], [*pictures.values()], ("0", COIN))
    return drawn_examples() if name == "glyphs" else Photos()


def drawn_examples():
    """`Photos` of drawn scenes, every second of which shows the glyph to try."""
    characters = [category.character for category in choose_categories(CATEGORIES)]
    sources, shown = [], []
    for number in range(SCENES):
        rng = np.random.default_rng([SEED, number])
        first = SHOWN if number % 2 == 0 else int(rng.integers(SHOWN))
        picture, instances = draw_glyph_scene(rng, SIDE, characters, first)
        sources.append(picture)
        shown += [(number, mask) for label, mask in instances if label == SHOWN]
    number, mask = max(shown, key=lambda each: _clearness(each[1]))
    names = [f"scene {number + 1}" for number in range(SCENES)]
    return Photos(names, sources, (str(number), _box_of(mask)))


def _clearness(mask):
    """How well a mask serves as an example: it is large, and fills much of its box."""
    y1, x1, y2, x2 = _box_of(mask)
    return min(mask.sum(), ENOUGH) * mask.sum() / ((y2 - y1) * (x2 - x1))


def _box_of(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
