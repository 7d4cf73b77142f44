"""The choice of categories: bold shapes, none twice, the same on every machine."""

import cv2
import numpy as np
import pytest

from siamese_mrcnn.synthetic import glyph_categories
from siamese_mrcnn.synthetic.glyph_categories import (
    ANGLES,
    SIDE,
    CategoriesError,
    choose_categories,
    describe,
    is_bold,
    squared_distances,
)
from siamese_mrcnn.synthetic.glyph_font import character_ink, fill_contours, named_characters

FIRST = (
    "\u2660\u07d1\u271c\u29d3\u0275\u0493\u2d65\u25ea\u1d00\u279c"
    "\u2740\u273c\u22f7\U0001031a\u22dc\u2766\u066d\u0423\u27b2\u2530"
)


@pytest.fixture(scope="module")
def eighty():
    return choose_categories(80)


def cross(arm):
    ink = np.zeros((SIDE, SIDE), bool)
    middle = slice(SIDE // 2 - arm // 2, SIDE // 2 + arm // 2)
    ink[middle], ink[:, middle] = True, True
    return ink


def disc():
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    return x**2 + y**2 < (SIDE / 2) ** 2


def test_contours_fill_as_they_wind():
    def square(low, high):
        return np.array([[low, low], [high, low], [high, high], [low, high]], float)

    filled = fill_contours([square(1, 7), square(3, 5)[::-1]], 8, 9)
    expected = np.zeros((8, 9), bool)
    expected[1:7, 1:7] = True
    expected[3:5, 3:5] = False  # the other way round: a hole
    np.testing.assert_array_equal(filled, expected)
    both = fill_contours([square(0, 4), square(2, 6)], 6, 6)
    assert both.sum() == 16 + 16 - 4  # the same way round: an overlap stays ink


def test_contours_fill_the_pixels_whose_centres_are_inside():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 20, (5, 2))
    filled = fill_contours([corners], 20, 20)
    for y, x in np.ndindex(20, 20):  # winding by summed angles
        around = corners - (x + 0.5, y + 0.5)
        angles = np.arctan2(around[:, 1], around[:, 0])
        turns = np.angle(np.exp(1j * (np.roll(angles, -1) - angles))).sum()
        assert filled[y, x] == (abs(turns) > 1)


def test_a_character_fills_the_side_asked_for_and_stands_upright():
    ink = character_ink("L", 100)
    assert ink.shape[0] == 100 and ink.shape[1] < 70
    assert ink[:, :10].mean() > 0.9  # the stem
    assert ink[-8:].mean() > 0.9 and ink[:80, 40:].sum() == 0  # the foot
    assert not character_ink("O", 100)[40:60, 40:60].any()


def test_candidates_have_names_and_are_no_variants():
    characters = named_characters()
    assert {"♛", "A", "ж", "7", "&"} <= set(characters)
    assert not {"é", "²", " ", "\u0301", "\ue000", "ʰ"} & set(characters)


@pytest.mark.parametrize(
    ("ink", "bold"),
    [
        (cross(16), True),
        (cross(2), False),  # hairlines
        (disc(), False),  # a plain blob
        (np.ones((64, 14), bool), False),  # a bar
        (np.tile(np.pad(np.ones((12, 12), bool), 2), (4, 4)), False),  # many parts
        (~np.tile(np.pad(np.ones((8, 8), bool), 4), (4, 4)), False),  # a grid
        (np.zeros((64, 64), bool), False),
    ],
)
def test_what_is_bold(ink, bold):
    assert bool(is_bold(ink)) is bold


def test_turned_mirrored_and_resized_shapes_are_the_same():
    shape = character_ink("R", SIDE)
    others = [np.rot90(shape), shape[:, ::-1], character_ink("R", 2 * SIDE)[::2, ::2]]
    different = [character_ink(other, SIDE) for other in "♠X8A"]
    features = np.stack([describe(ink) for ink in [*others, *different]])
    distances = squared_distances(describe(shape), features)
    size = np.square(describe(shape)).sum()
    assert distances[:3].max() < 0.05 * size
    assert distances[3:].min() > 0.3 * size


def test_distances_equal_those_of_a_slow_search():
    rng = np.random.default_rng(1)
    features = rng.integers(0, 32, (4, ANGLES, 5)).astype(np.float32)
    for feature in features:
        slow = [
            min(
                np.square(np.roll(image, turn, axis=0) - other).sum()
                for image in (feature, feature[::-1])
                for turn in range(ANGLES)
            )
            for other in features
        ]
        np.testing.assert_array_equal(squared_distances(feature, features), slow)


def test_names_are_unique_and_lower_case(eighty):
    names = [category.name for category in eighty]
    assert len(set(names)) == 80 and "black spade suit" in names
    assert all(name and name == name.lower() and "," not in name for name in names)
    assert {category.kind for category in eighty} >= {"letter", "symbol"}


def test_the_choice_is_the_same_everywhere_and_a_shorter_one_its_beginning(eighty):
    assert "".join(category.character for category in eighty[:20]) == FIRST
    assert choose_categories(11) == eighty[:11]


def test_no_two_categories_overlap_much_in_any_position(eighty):
    """By turning pictures rather than by polar coordinates."""
    shapes = [_centred(character_ink(category.character, SIDE)) for category in eighty]
    flat = np.stack(shapes).reshape(80, -1).astype(np.float32)
    for number, shape in enumerate(shapes):
        for image in (shape, shape[:, ::-1]):
            for angle in range(0, 360, 15):
                turn = cv2.getRotationMatrix2D((31.5, 31.5), angle, 1)
                turned = cv2.warpAffine(image, turn, (64, 64)).ravel().astype(np.float32)
                both = flat @ turned
                overlap = both / (flat.sum(axis=1) + turned.sum() - both)
                assert np.delete(overlap, number).max() < 0.72


def test_more_categories_than_shapes_are_refused(monkeypatch):
    features = np.stack([describe(character_ink(each, SIDE)) for each in "AX♠AX"])
    monkeypatch.setattr(glyph_categories, "_described", lambda: (list("AX♠AX"), features))
    assert {category.character for category in choose_categories(3)} == set("AX♠")
    with pytest.raises(CategoriesError, match=r"has 3 shapes .* but 4 categories"):
        choose_categories(4)


def _centred(ink):
    """uint8 [64, 64], the centre of mass in the middle, a spread of 14 pixels."""
    y, x = np.nonzero(ink)
    scale = 14 / np.sqrt(y.var() + x.var())
    shift = np.array([[scale, 0, 31.5 - scale * x.mean()], [0, scale, 31.5 - scale * y.mean()]])
    return cv2.warpAffine(ink.view(np.uint8), shift, (64, 64), flags=cv2.INTER_AREA)
