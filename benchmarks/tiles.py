"""What tiles are worth for small things in large photos: `python -m benchmarks.tiles`.

Searches photos of 4000 x 3000 pixels, on which things of about 40 pixels lie, as a whole and in
tiles: glyphs of categories that the model of the box never saw, among others; and, with the model
for photographs, coins cut out of scikit-image's photograph, turned and made smaller. A thing is
found where a mask has an intersection over union of at least one half with it.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

HEIGHT, WIDTH = 3000, 4000
SPREAD = (0.85, 1.15)  # of sizes
THINGS, OTHERS = 40, 60  # on a photo: what is searched for, and what is not
SHOWN_SIDE = 256  # of the picture that shows the glyph to search for
FOUND = 0.5


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiles", description=__doc__)
    parser.add_argument("--photos", type=int, default=3, help="for each of both models")
    parser.add_argument("--models", nargs="+", default=["glyphs", "photos"])
    parser.add_argument("--size", type=int, default=40, help="of a thing's longer side, pixels")
    parser.add_argument("--save", metavar="FOLDER", help="write the photos, and what is found")
    arguments = parser.parse_args()
    for name in arguments.models:
        measure(name, arguments.photos, arguments.size, arguments.save)


def measure(name, photos, size, folder=None):
    """Print recall, false finds and seconds of both ways, over photos."""
    from siamese_mrcnn.model import SiameseMaskRCNN

    model = SiameseMaskRCNN.from_preset(name)
    model.fold_batch_norm()  # as `siamese-mrcnn detect` does
    model.config.IMAGES_PER_GPU = 1  # likewise
    model.config.DETECTION_MIN_CONFIDENCE = model.threshold
    draw = {"glyphs": glyph_photo, "photos": coin_photo}[name]
    results = {"whole": [], "tiles": []}
    for number in range(photos):
        crop, photo, truth = draw(np.random.default_rng([number, 40]), size)
        for way, tiles in (("whole", None), ("tiles", True)):
            if not number:
                model.detect(crop, photo, tiles=tiles)  # compiles
            began = time.perf_counter()
            (found,) = model.detect(crop, photo, tiles=tiles)
            seconds = time.perf_counter() - began
            results[way].append((recall(found, truth), len(found), seconds))
            if folder:
                save(folder, f"{name}_{number}_{way}", photo, crop, found)
    for way, rows in results.items():
        found, total = (sum(row[column] for row in rows) for column in (0, 1))
        print(
            f"{name:7} {way:6} recall {found / (photos * THINGS):.3f}   right {found} of {total} "
            f"found   median {statistics.median(row[2] for row in rows):.2f} s a photo",
            flush=True,
        )


def recall(found, truth):
    """How many of the true pieces have a mask of their own among what was found."""
    free, count = list(range(len(found))), 0
    masks = found.masks
    pieces = getattr(masks, "pieces", None) or list(map(_piece, np.moveaxis(masks, -1, 0)))
    for thing in truth:
        for index in free:
            shared = pieces[index].shared_with(thing)
            if shared >= FOUND * (pieces[index].area + thing.area - shared) and shared:
                free.remove(index)
                count += 1
                break
    return count


def _piece(mask):
    from mrcnn.images.mask_pieces import MaskPiece

    return MaskPiece.of(mask)


class Canvas:
    """A photo in the making: painted texture, and things in places that none has taken.

    Attributes:
        picture: float32 [HEIGHT, WIDTH, 3].
        truth: `MaskPiece` of each thing that is searched for.
    """

    def __init__(self, rng):
        from siamese_mrcnn.synthetic.glyph_textures import paint_background, sample_palette

        self.rng, self.palette, self.truth = rng, sample_palette(rng), []
        self.picture = paint_background(rng, max(HEIGHT, WIDTH), self.palette)[:HEIGHT, :WIDTH]
        self.taken = np.zeros((HEIGHT, WIDTH), bool)

    def place(self, height, width):
        """A free place for a patch: (rows, columns)."""
        while True:
            top = int(self.rng.integers(0, HEIGHT - height))
            left = int(self.rng.integers(0, WIDTH - width))
            place = slice(top, top + height), slice(left, left + width)
            if not self.taken[place].any():
                self.taken[place] = True
                return place

    def paint(self, place, paint, coverage, is_sought):
        """Lay colours [h, w, 3] over a place, as far as 0..1 says; from a half on it is seen."""
        from mrcnn.images.mask_pieces import MaskPiece
        from siamese_mrcnn.synthetic.glyph_textures import blend

        self.picture[place] = blend(self.picture[place], paint.astype(np.float32), coverage)
        if is_sought:
            top, left = place[0].start, place[1].start
            self.truth.append(MaskPiece.of(coverage >= 0.5).moved(top, left))

    def finished(self):
        from siamese_mrcnn.synthetic.glyph_textures import light_and_grain

        return light_and_grain(self.rng, self.picture)


def glyph_photo(rng, size):
    """A crop that shows a glyph, a photo, and the places of such glyphs in it."""
    from siamese_mrcnn.data.splits import split_classes
    from siamese_mrcnn.synthetic.glyph_categories import choose_categories

    categories = choose_categories(80)
    _, novel = split_classes(1)
    characters = [categories[number - 1].character for number in novel]
    sought = int(rng.integers(len(characters)))
    canvas = Canvas(rng)
    others = [(sought + number) % len(characters) for number in rng.integers(1, 20, OTHERS)]
    for number in rng.permutation([sought] * THINGS + others):
        paint_glyph(canvas, characters[number], size, number == sought)
    return shown_glyph(rng, characters, sought), canvas.finished(), canvas.truth


def paint_glyph(canvas, character, size, is_sought):
    """Paint one as `siamese_mrcnn.synthetic.glyph_scenes` does, without outline."""
    from siamese_mrcnn.synthetic.distortion import sample_distortion
    from siamese_mrcnn.synthetic.glyph_scenes import (
        PERSPECTIVE,
        STRETCH,
        TURN,
        glyph_field,
        place_glyph,
    )
    from siamese_mrcnn.synthetic.glyph_textures import paint_pattern, sample_colour

    rng = canvas.rng
    transform = sample_distortion(rng, size * rng.uniform(*SPREAD), TURN, STRETCH, PERSPECTIVE)
    depth = place_glyph(glyph_field(character), transform, 0.0).depth
    place = canvas.place(*depth.shape)
    behind = canvas.picture[place].mean(axis=(0, 1))
    colours = [sample_colour(rng, canvas.palette, [behind]) for _ in range(2)]
    coverage = np.clip(depth + np.float32(0.5), 0, 1)
    canvas.paint(place, paint_pattern(rng, *depth.shape, colours), coverage, is_sought)


def shown_glyph(rng, characters, sought):
    """The largest such glyph of a scene of its own, cut out."""
    from siamese_mrcnn.synthetic.glyph_scenes import draw_glyph_scene

    picture, instances = draw_glyph_scene(rng, SHOWN_SIDE, characters, sought)
    mask = max((mask for label, mask in instances if label == sought), key=np.count_nonzero)
    rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def coin_photo(rng, size):
    """A crop that shows a coin, a photo, and the places of coins in it."""
    import cv2

    from siamese_mrcnn.photo_demo import COIN, photographs

    photograph = photographs()["coins"]
    coins, canvas = cut_coins(photograph), Canvas(rng)
    for number in rng.integers(len(coins), size=THINGS):
        coin, alpha = coins[number]
        diameter = size * rng.uniform(*SPREAD)
        side = int(np.ceil(diameter * 1.5))
        turn = cv2.getRotationMatrix2D(
            [length / 2 for length in alpha.shape[::-1]],
            rng.uniform(0, 360),
            diameter / max(alpha.shape),
        )
        turn[:, 2] += [(side - length) / 2 for length in alpha.shape[::-1]]
        paint, coverage = (
            cv2.warpAffine(each, turn, (side, side), flags=cv2.INTER_AREA)
            for each in (coin, alpha.astype(np.float32))
        )
        canvas.paint(canvas.place(side, side), paint, coverage, True)
    y1, x1, y2, x2 = COIN
    return photograph[y1:y2, x1:x2], canvas.finished(), canvas.truth


def cut_coins(photograph):
    """[(uint8 [h, w, 3], bool [h, w])] of the coins, by scikit-image's own recipe for them."""
    from scipy.ndimage import binary_fill_holes, find_objects, label
    from skimage.filters import sobel
    from skimage.segmentation import watershed

    grey = photograph[..., 0]
    seeds = (grey < 30).astype(int) + 2 * (grey > 150)
    labels, _ = label(binary_fill_holes(watershed(sobel(grey), seeds) == 2))
    coins = []
    for number, place in enumerate(find_objects(labels), start=1):
        alpha = labels[place] == number
        if min(alpha.shape) > 30 and alpha.mean() > 0.7:
            coins.append((photograph[place], alpha))
    return coins


def save(folder, name, photo, crop, found):
    from siamese_mrcnn.figures.detections import draw_result

    os.makedirs(folder, exist_ok=True)
    draw_result(photo, crop, found, path=os.path.join(folder, f"{name}.png"))


if __name__ == "__main__":
    main()
