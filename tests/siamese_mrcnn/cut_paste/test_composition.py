"""Scenes of cut-outs: masks against looking at pixel after pixel, and what every scene holds."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from siamese_mrcnn.cut_paste import composition
from siamese_mrcnn.cut_paste.composition import Stock, compose, distorted, warped
from siamese_mrcnn.cut_paste.pyramids import FRAME
from siamese_mrcnn.cut_paste.scenes import PREPARED, prepare, read_catalogue
from siamese_mrcnn.own_data.cutouts import find_cutouts, find_pictures

SIDE = 128


@pytest.fixture
def stock(tmp_path, pots, rooms):
    recipe = {"image_size": SIDE, "seed": 0}
    found = find_cutouts([pots])[0], find_pictures([rooms])
    prepare(tmp_path, *found, recipe, progress=False)
    return Stock(tmp_path / PREPARED, read_catalogue(tmp_path))


def generator(number):
    return np.random.default_rng(number)


def test_masks_are_those_of_the_last_thing_at_every_pixel(stock, monkeypatch):
    """The oracle lays every patch on a list of owners, pixel after pixel."""
    layers, paste, cover = [], composition._Scene._paste, composition._Scene.cover

    def record(scene, patch, paint):
        layers.append([patch.top, patch.left, patch.pixels[..., 3].copy(), True])
        return paste(scene, patch, paint)

    def record_cover(scene, view, size):
        before = len(layers)
        cover(scene, view, size)
        for layer in layers[before:]:
            layer[3] = False  # is no thing

    monkeypatch.setattr(composition._Scene, "_paste", record)
    monkeypatch.setattr(composition._Scene, "cover", record_cover)
    covers = 0
    for number in range(6):
        layers.clear()
        _, instances, _ = compose(generator(number), SIDE, stock, "train", 0)
        owner = {}
        things = [n for n, layer in enumerate(layers) if layer[3]]
        covers += len(layers) - len(things)
        for n, (top, left, coverage, _) in enumerate(layers):
            for (y, x), covered in np.ndenumerate(coverage):
                if covered >= 128 and 0 <= top + y < SIDE and 0 <= left + x < SIDE:
                    owner[top + y, left + x] = n
        expected = [{place for place, n in owner.items() if n == thing} for thing in things]
        found = [set(zip(*np.nonzero(mask), strict=True)) for _, mask in instances]
        assert found == expected
    assert covers > 3


def test_the_picture_shows_a_thing_where_its_mask_says(stock, monkeypatch):
    """With hard seams and nothing else, a pixel has a thing's colour just where its mask is."""
    monkeypatch.setattr(composition, "sample_seam", lambda rng: "hard")
    monkeypatch.setattr(composition, "throw_shadow", lambda *arguments: None)
    monkeypatch.setattr(composition, "relight", lambda rng, paint: paint.astype(np.float32))
    monkeypatch.setattr(composition, "light_and_grain", lambda rng, picture: np.rint(picture))
    monkeypatch.setattr(composition, "compress", lambda rng, picture: picture)
    black = np.zeros((SIDE, SIDE, 3), np.float32)
    monkeypatch.setattr(composition._Scene, "_paint_background", lambda scene: (black.copy(), None))
    monkeypatch.setattr(
        composition._Scene, "_texture", lambda scene, h, w: np.zeros((h, w, 3), np.float32)
    )
    for number in range(8):
        picture, instances, _ = compose(generator(number), SIDE, stock, "train", number % 3)
        anywhere = np.zeros((SIDE, SIDE), bool)
        for view, mask in instances:
            level = stock.level(view, 20)
            colour = level[len(level) // 2, level.shape[1] // 2, :3].astype(int)
            assert np.abs(picture[mask].astype(int) - colour).max() <= 2
            anywhere |= mask
        assert not picture[~anywhere].any()


def test_a_warped_cutout_has_the_pixels_that_the_transform_gives(stock):
    view = next(view for view in stock.catalogue.views if view.category == "pen")
    level = stock.level(view, view.longer)
    transform = np.array([[50, -30, 0], [30, 50, 0], [0.2, -0.1, 1.0]])
    found = warped(level, transform)
    height, width = (length - 2 * FRAME for length in level.shape[:2])
    x, y = np.array([width, height]) / max(height, width) / 2
    corners = transform @ np.array([[-x, x, x, -x], [-y, -y, y, y], [1, 1, 1, 1]])
    left, top = np.floor((corners[:2] / corners[2]).min(axis=1)) - composition.MARGIN
    rows, columns = np.indices(found.shape[:2])
    seen = np.stack([columns + left, rows + top, np.ones_like(rows)])
    u, v, w = np.tensordot(np.linalg.inv(transform), seen, 1)
    places = [
        v / w * max(height, width) + (height - 1) / 2 + FRAME,
        u / w * max(height, width) + (width - 1) / 2 + FRAME,
    ]
    for channel in range(4):
        values = level[..., channel].astype(float)
        expected = map_coordinates(values, places, order=1, mode="nearest")
        np.testing.assert_allclose(found[..., channel], expected, atol=9)  # OpenCV counts in 1/32
    middle = found[round(-top), round(-left)]
    assert middle[3] == 255 and not found[0, :, 3].any() and not found[:, -1, 3].any()


def test_things_are_as_large_as_asked_unless_they_would_be_blurred(stock):
    view = next(view for view in stock.catalogue.views if view.category == "cup")
    own = np.sqrt(view.area)
    for number in range(10):
        for size in (15, 30, 0.9 * own):
            patch = distorted(generator(number), stock, view, size, 200)
            assert np.sqrt(patch.size) == pytest.approx(size, rel=0.12)
        largest = distorted(generator(number), stock, view, 10 * own, 1000)
        assert np.sqrt(largest.size) == pytest.approx(composition.ENLARGED * own, rel=0.12)
        small = distorted(generator(number), stock, view, own, 20)
        assert np.sqrt(small.size) == pytest.approx(own * 20 / view.longer, rel=0.12)


def test_what_every_scene_holds(stock):
    counts, pairs, backgrounds = [], set(), {"train": set(), "val": set()}
    for number in range(60):
        portion, first = ("train", "val")[number % 2], number % 3
        picture, instances, background = compose(generator(number), SIDE, stock, portion, first)
        assert picture.shape == (SIDE, SIDE, 3) and picture.dtype == np.uint8
        views, masks = zip(*instances, strict=True)
        assert np.sum(masks, axis=0).max() == 1
        assert min(np.count_nonzero(mask) for mask in masks) >= composition.LEAST * 0.4
        assert all(view.portions == (portion,) for view in views)
        asked = [view.thing for view in views if view.category == stock.catalogue.categories[first]]
        pairs.add(len(asked) > len(set(asked)))
        counts.append((len(views), len(asked)))
        backgrounds[portion].add(background)
    assert all(2 <= things <= 12 for things, _ in counts) and max(counts)[0] > 9
    assert np.mean([asked >= 2 for _, asked in counts]) > 0.95 and min(counts)[1] >= 1
    assert pairs == {True, False}  # scenes with the same thing twice, and with others of its kind
    assert not backgrounds["train"] & backgrounds["val"] and None not in backgrounds["train"]


def test_without_photos_backgrounds_are_drawn(stock):
    stock.catalogue.backgrounds["train"].clear()
    for number in range(3):
        picture, _, background = compose(generator(number), SIDE, stock, "train", 0)
        assert background is None and picture.std() > 5


def test_things_of_which_nothing_is_left_are_not_laid(stock, monkeypatch):
    nothing = composition.Patch(np.zeros((20, 20, 4), np.uint8), 0)
    monkeypatch.setattr(composition, "distorted", lambda *arguments: nothing)
    _, instances, _ = compose(generator(0), SIDE, stock, "train", 0)
    assert instances == []
